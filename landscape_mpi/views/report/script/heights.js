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
const CLOSE = { linear: 100, other: 4 }; // ranges up to so many times wider share one with the middle one
let usualScales = {}; // by quantity: how it is drawn where nobody says how
let scales = null; // that are drawn now, by kind of picture
let common = {}; // range of all that share one, by kind of picture

// Linear around zero, logarithmic beyond the threshold.
const bent = (size) => (size > 1 ? 1 + Math.log10(size) : size);

function chosenScales() {
  const usual = usualScales[state.quantity];
  const make = (kind, more = {}) => ({ top: null, levels: [], ...usual, ...more, kind, ...SCALES[kind](usual) });
  if (state.scale !== "auto") {
    const scale = make(state.scale, { top: null, levels: [], end: null });
    return { flat: scale, space: scale };
  }
  const flat = make(usual.kind);
  return { flat, space: usual.added === null ? flat : make("shifted", { top: null, levels: [] }) };
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
  common.flat = shareRange("flat");
  common.space = shareHeights();
  for (const view of views) view.shown = Object.fromEntries(KINDS.map((kind) => [kind, shownRange(view, kind)]));
}

// One range for those whose range is like the middle one; the others would flatten them, or be flat.
function shareRange(kind) {
  const known = views.filter((view) => view.ranges[kind] && view.isLine === views[0].isLine);
  const span = ([low, high]) => high - low;
  const spans = known.map((view) => span(view.ranges[kind])).filter((size) => size > 0).sort((a, b) => a - b);
  const middle = known.find((view) => span(view.ranges[kind]) === spans[(spans.length - 1) >> 1]);
  const close = CLOSE[scales[kind].kind] ?? CLOSE.other;
  const sharing = known.filter((view) => !middle || span(rangeOf([middle.ranges[kind], view.ranges[kind]])) <= close * span(middle.ranges[kind]));
  for (const view of views) view.isAlone = { ...view.isAlone, [kind]: !sharing.includes(view) };
  return sharing.length ? rangeOf(sharing.map((view) => view.ranges[kind])) : null;
}

// The heights that planes share, as all pictures choose them: an outlier is cut, or has its own.
function shareHeights() {
  const { end, alone } = scales.space.common[scales.space.kind];
  const isAlone = (view) => view.isLine !== views[0].isLine || alone.includes(view.number);
  for (const view of views) view.isAlone.space = isAlone(view);
  const sharing = views.filter((view) => view.ranges.space && !isAlone(view));
  if (!sharing.length) return null;
  const [low, high] = rangeOf(sharing.map((view) => view.ranges.space));
  return [low, end === null ? high : Math.min(high, end)];
}

function shownRange(view, kind) {
  const { up, top, end } = scales[kind];
  const own = view.ranges[kind];
  if (!own) return [0, 1];
  let [low, high] = state.shared && !view.isAlone[kind] && common[kind] ? common[kind] : own;
  if (kind === "flat" && end !== null) high = Math.min(high, up(end));
  if (top !== null) [low, high] = [up(0), view.isLine ? Math.min(high, up(top)) : up(top)];
  if (state.floor !== null && Number.isFinite(up(state.floor))) low = up(state.floor);
  if (state.clip !== null) high = top === null ? Math.min(high, up(state.clip)) : up(state.clip);
  return widened(low, high);
}

function widened(low, high) {
  if (high - low > 1e-12 * Math.max(Math.abs(low), Math.abs(high))) return [low, high];
  const margin = 0.1 * Math.abs(low) || 1;
  return [low - margin, low + margin];
}
