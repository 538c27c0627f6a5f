// Values of a plane between its points: cubic between four points along each axis, so that the slope
// has no jumps; a polynomial of degree two is met everywhere. Source: Catmull and Rom 1974.

function cubicWeights(t) {
  const [t2, t3] = [t * t, t * t * t];
  return {
    value: [(2 * t2 - t - t3) / 2, (2 - 5 * t2 + 3 * t3) / 2, (t + 4 * t2 - 3 * t3) / 2, (t3 - t2) / 2],
    slope: [(4 * t - 1 - 3 * t2) / 2, (9 * t2 - 10 * t) / 2, (1 + 8 * t - 9 * t2) / 2, (3 * t2 - 2 * t) / 2],
  };
}

// Places and weights along an axis of n points at index k + t; beyond the ends a parabola goes on.
function cubicStencil(n, k, t) {
  if (n < 3) return { places: [k, Math.min(k + 1, n - 1)], value: [1 - t, t], slope: [-1, 1] };
  const sums = { value: new Map(), slope: new Map() };
  const { value, slope } = cubicWeights(t);
  for (let p = 0; p < 4; p += 1) {
    for (const [place, part] of insidePlaces(n, k - 1 + p)) {
      sums.value.set(place, (sums.value.get(place) ?? 0) + part * value[p]);
      sums.slope.set(place, (sums.slope.get(place) ?? 0) + part * slope[p]);
    }
  }
  return { places: [...sums.value.keys()], value: [...sums.value.values()], slope: [...sums.slope.values()] };
}

function insidePlaces(n, place) {
  if (place < 0) return [[0, 3], [1, -3], [2, 1]];
  if (place >= n) return [[n - 1, 3], [n - 2, -3], [n - 3, 1]];
  return [[place, 1]];
}

// Value and slopes along alpha and beta, in units of the axes; NaN outside, and beside what is not finite.
function valueAndSlope(view, values, { alpha, beta }) {
  const [[i, s], [j, t]] = [inCell(view.alpha, alpha), inCell(view.beta, beta)];
  if (i < 0 || j < 0) return { value: NaN, alpha: NaN, beta: NaN };
  const [first, second] = [cubicStencil(view.alpha.length, i, s), cubicStencil(view.beta.length, j, t)];
  let [value, alongAlpha, alongBeta] = [0, 0, 0];
  first.places.forEach((row, p) => second.places.forEach((column, q) => {
    const here = values[row * view.beta.length + column];
    value += first.value[p] * second.value[q] * here;
    alongAlpha += first.slope[p] * second.value[q] * here;
    alongBeta += first.value[p] * second.slope[q] * here;
  }));
  return { value, alpha: alongAlpha / (view.alpha[i + 1] - view.alpha[i]), beta: alongBeta / (view.beta[j + 1] - view.beta[j]) };
}

// The place below a value, and the part of the way to the next; the last point is the end of a cell.
function inCell(axis, value) {
  const [k, part] = placeOn(axis, value);
  return k === axis.length - 1 ? [k - 1, 1] : [k, part];
}
