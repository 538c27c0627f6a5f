// A scale takes values to heights and back. Pictures are drawn in heights: those of flat pictures are
// their colours, also in space, so that one bar says what a colour is; those in space are their own.

const SCALES = {
  linear: () => ({ up: (value) => value, down: (height) => height }),
  log: () => ({ up: Math.log10, down: (height) => 10 ** height }),
  shifted: ({ added }) => ({ up: (value) => Math.log10(value + added), down: (height) => 10 ** height - added }),
  symlog: ({ threshold }) => ({
    up: (value) => Math.sign(value) * bent(Math.abs(value) / threshold),
    down: (height) => Math.sign(height) * threshold * (Math.abs(height) > 1 ? 10 ** (Math.abs(height) - 1) : Math.abs(height)),
  }),
};
const KINDS = ["flat", "space"]; // of pictures
let usualScales = {}; // by quantity: how it is drawn where nobody says how
let scales = null; // that are drawn now, by kind of picture
let common = null; // range of the heights in space that planes share

// Linear around zero, logarithmic beyond the threshold.
const bent = (size) => (size > 1 ? 1 + Math.log10(size) : size);

function chosenScales() {
  const usual = usualScales[state.quantity];
  const make = (kind) => ({ ...usual, kind, colors: usual.colors[state.scale], ...SCALES[kind](usual) });
  if (state.scale === "auto") return { flat: make(usual.kind), space: make(usual.space) };
  return { flat: make(state.scale), space: make(state.scale) };
}

function heightsOf(q, scale) {
  const least = scale.kind === "log" ? smallestPositive(q.values) : -Infinity;
  const heights = Float64Array.from(q.values, (value) => (Number.isFinite(value) ? scale.up(Math.max(value, least)) : NaN));
  if (q.gaps) fillGaps(heights, q.gaps);
  return heights;
}

function smallestPositive(values) {
  let least = Infinity;
  for (const value of values) if (value > 0 && value < least) least = value;
  return least;
}

function fillGaps(heights, { places, corners, weights }) {
  places.forEach((place, k) => {
    let sum = 0;
    for (let c = 3 * k; c < 3 * k + 3; c += 1) sum += weights[c] * heights[corners[c]];
    heights[place] = sum; // NaN beside a point that is not finite: nothing is drawn across it
  });
}

function rangeOf(arrays) {
  let [low, high] = [Infinity, -Infinity];
  for (const array of arrays) {
    for (const height of array) {
      if (height < low) low = height;
      if (height > high) high = height;
    }
  }
  return low <= high ? [low, high] : null;
}

function prepare() {
  scales = chosenScales();
  for (const view of views) {
    const all = view.isLine ? together(view) : [quantityOf(view)].filter(Boolean);
    const drawn = KINDS.map((kind) => [kind, all.map((q) => heightsOf(q, scales[kind]))]);
    view.heights = all.length ? Object.fromEntries(drawn.map(([kind, heights]) => [kind, heights[0]])) : null;
    view.ranges = Object.fromEntries(drawn.map(([kind, heights]) => [kind, rangeOf(heights)]));
  }
  for (const view of views) {
    view.colors = colorsOf(view);
    view.isAlone = { flat: Boolean(view.colors?.isAlone) };
  }
  common = shareHeights();
  for (const view of views) view.shown = Object.fromEntries(KINDS.map((kind) => [kind, shownRange(view, kind)]));
}

// The ends of the colours and the levels that this surface shares, or has alone, as in all pictures. An
// axis of a line holds the values of both splits.
function colorsOf(view) {
  const which = state.shared ? "shared" : "own";
  const names = view.isLine ? together(view).map((q) => q.name) : [state.quantity];
  const found = names.map((name) => usualScales[name].colors[state.scale][which][view.number]).filter(Boolean);
  if (!found.length) return null;
  const [low, high] = [Math.min(...found.map((one) => one.low)), Math.max(...found.map((one) => one.high))];
  return { ...found[0], low, high, isAlone: found.some((one) => one.isAlone), isEnd: found.some((one) => one.isEnd) };
}

// The heights that planes share, as all pictures choose them: an outlier is cut, or has its own.
function shareHeights() {
  const { start, end, alone } = scales.space.common[scales.space.kind];
  const hasPlanes = views.some((view) => !view.isLine);
  const isAlone = (view) => (hasPlanes && view.isLine) || alone.includes(view.number);
  for (const view of views) view.isAlone.space = isAlone(view);
  const sharing = views.filter((view) => view.ranges.space && !isAlone(view));
  if (!sharing.length) return null;
  const [low, high] = rangeOf(sharing.map((view) => view.ranges.space));
  return [start === null ? low : Math.max(low, start), end === null ? high : Math.min(high, end)];
}

function shownRange(view, kind) {
  const { up } = scales[kind];
  const own = view.ranges[kind];
  if (!own) return [0, 1];
  let [low, high] = own;
  if (kind === "flat" && view.colors) [low, high] = [up(view.colors.low), up(view.colors.high)];
  if (kind === "space" && state.shared && !view.isAlone.space && common) [low, high] = common;
  if (state.floor !== null && Number.isFinite(up(state.floor))) low = up(state.floor);
  if (state.clip !== null) high = view.colors?.isEnd ? up(state.clip) : Math.min(high, up(state.clip));
  return widened(low, high);
}

function widened(low, high) {
  if (high - low > 1e-12 * Math.max(Math.abs(low), Math.abs(high))) return [low, high];
  const margin = 0.1 * Math.abs(low) || 1;
  return [low - margin, low + margin];
}
