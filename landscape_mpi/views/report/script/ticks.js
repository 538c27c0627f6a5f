// Round values for axes, bars and contour lines.

const LEVELS = 12; // contour levels, at most about
const FEW = 3; // levels: with fewer between ends that were moved, others are drawn
const LABELS = 9; // labels that have room along an axis in space

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 2.5, 5, 10].map((m) => m * power).find((step) => step >= rough * 0.999);
}

function linearTicks(low, high, n) {
  const step = niceStep((high - low) / n);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) ticks.push(k * step);
  return ticks;
}

// Heights and their labels: round values, at most about n.
function ticksOf(scale, [low, high], n = 6) {
  const isInside = (value) => scale.up(value) >= low - 1e-9 && scale.up(value) <= high + 1e-9;
  const inside = roundValues(scale, low, high, n).filter(isInside);
  const found = inside.length > 1 ? inside : linearTicks(scale.down(low), scale.down(high), n).filter(isInside);
  return labelled(scale, withRoom(found, scale.up, (high - low) / LABELS));
}

// Of the edges of a plane in space: at their ends, labels would lie on those of the next edge.
function innerTicks(axis) {
  const [low, high] = [axis[0], axis.at(-1)];
  const margin = 0.08 * (high - low);
  return labelled(SCALES.linear(), linearTicks(low, high, 6).filter((value) => value > low + margin && value < high - margin));
}

// The values whose labels touch neither that of 0 nor that of the value before.
function withRoom(values, up, least) {
  const kept = [];
  const isFarFrom0 = (value) => value === 0 || !values.includes(0) || Math.abs(up(value) - up(0)) >= least;
  for (const value of values.filter(isFarFrom0)) if (!kept.length || up(value) - up(kept.at(-1)) >= least) kept.push(value);
  return kept;
}

function roundValues(scale, low, high, n) {
  if (scale.kind === "log") return high - low < 0.8 ? [] : decadesOf(low, high, n);
  if (scale.kind === "shifted") return [0, ...decadesOf(Math.log10(scale.added), high, n)];
  if (scale.kind === "symlog") return symlogTicks(scale, low, high, n);
  return linearTicks(low, high, n);
}

function symlogTicks({ threshold, down }, low, high, n) {
  const largest = Math.max(-low, high);
  if (largest <= 1) return [];
  const side = decadesOf(Math.log10(threshold), Math.log10(down(largest)), low < 0 && high > 0 ? n / 2 : n);
  return [...side.map((value) => -value).reverse(), 0, ...side.filter((value) => value >= 0.999 * threshold)];
}

// Powers of ten and, where there are few, values between; low and high are their logarithms.
function decadesOf(low, high, n) {
  const decades = high - low;
  const mantissas = [[1, 2, 5], [1, 3], [1]].find((m) => decades * m.length <= 1.3 * n) ?? [1];
  const stride = mantissas.length > 1 ? 1 : Math.max(1, Math.ceil(decades / n));
  const values = [];
  const first = stride * Math.floor(Math.floor(low + 1e-9) / stride);
  for (let power = first; power <= high; power += stride) values.push(...mantissas.map((m) => m * 10 ** power));
  return values;
}

function labelled(scale, values) {
  return { tickvals: values.map(scale.up), ticktext: values.map((value) => format(value, digitsOf(scale, values))) };
}

// As many as tell each value from the one before: three, or more where a small range is far from zero.
function digitsOf(scale, values) {
  const largest = Math.max(...values.map(Math.abs));
  const steps = values.slice(1).map((value, k) => Math.abs(value - values[k])).filter((step) => step > 0);
  if (scale.kind !== "linear" || !steps.length || !largest) return 3;
  return Math.min(15, Math.max(3, Math.ceil(Math.log10(largest / Math.min(...steps))) + 2));
}

// Even in height: 1, 1.78, 3.16, 5.62, 10 on a logarithmic scale where 4 make a decade.
function evenLevels([low, high]) {
  const size = niceStep((high - low) / LEVELS);
  return { start: Math.ceil(low / size - 1e-9) * size, end: high, size };
}

const heightsAt = ({ start, end, size }) => Array.from({ length: Math.floor((end - start) / size + 1.1) }, (_, k) => start + k * size);

// Of the colours as they are usual, and others where the reader moved their ends.
function levelsOf(view) {
  const [low, high] = view.shown.flat;
  const given = (view.colors?.levels ?? []).map(scales.flat.up).filter((height) => height >= low - 1e-9 && height <= high + 1e-9);
  const isMoved = state.clip !== null || state.floor !== null;
  return given.length < (isMoved ? FEW : 1) ? ticksOf(scales.flat, [low, high], LEVELS).tickvals : given;
}

// Runs of even levels, which is all that plotly.js draws, the longest first: on a logarithmic scale those
// of 1, 10, 100 and then those of 2, 20, 200.
function runsOfLevels(heights) {
  const runs = [];
  let left = [...heights];
  while (left.length) {
    const longest = longestRun(left);
    const run = runs.length && longest.length < FEW ? left.slice(0, 1) : longest;
    runs.push({ start: run[0], end: run.at(-1), size: run.length > 1 ? (run.at(-1) - run[0]) / (run.length - 1) : 1 });
    left = left.filter((height) => !run.includes(height));
  }
  return runs;
}

function longestRun(heights) {
  let longest = [heights[0]];
  heights.forEach((start, k) => {
    for (const next of heights.slice(k + 1)) {
      const size = next - start;
      const run = [start, next];
      for (let found; (found = heights.find((height) => Math.abs(height - run.at(-1) - size) < 1e-6 * size)) !== undefined;) run.push(found);
      if (run.length > longest.length) longest = run;
    }
  });
  return longest;
}
