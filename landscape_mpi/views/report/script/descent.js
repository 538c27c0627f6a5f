// The way of a ball that is let down on a plane: gradient descent, or descent with momentum, on the
// interpolated values. Lengths are in sides of the box, as the ball is seen to go.

const STEPS = 1500;
const LONGEST = 0.008; // of a step of gradient descent: steeper slopes count as this one
const MOMENTUM = 0.9; // what a step keeps of the one before
const STILL = 1e-5; // a step as short as that is the last, if the slope asks for no longer one

// Places, values at both ends, and why it ended; null where there is no value to begin with.
function descend(view, values, start, method) {
  const sides = sidesOf(view);
  const scale = { alpha: sides.x / spanOf(view.alpha), beta: sides.y / spanOf(view.beta) };
  const rate = rateOf(view, values, scale);
  const keep = method === "momentum" ? MOMENTUM : 0;
  let [place, here, speed, end] = [start, valueAndSlope(view, values, start), { alpha: 0, beta: 0 }, "moving"];
  if (Number.isNaN(here.value)) return null;
  const way = [start];
  const first = here.value;
  for (let k = 0; k < STEPS && end === "moving"; k += 1) {
    const downhill = stepDown(here, scale, rate);
    speed = { alpha: keep * speed.alpha + downhill.alpha, beta: keep * speed.beta + downhill.beta };
    const next = { alpha: place.alpha + speed.alpha / scale.alpha, beta: place.beta + speed.beta / scale.beta };
    const there = valueAndSlope(view, values, next);
    if (Number.isNaN(there.value)) end = isOn(view, next) ? "broken" : "edge";
    else [place, here] = [next, there];
    if (end === "moving" && Math.max(Math.hypot(speed.alpha, speed.beta), Math.hypot(downhill.alpha, downhill.beta)) < STILL) end = "rest";
    way.push(place);
  }
  return { way, end, values: [first, here.value] };
}

const isOn = (view, { alpha, beta }) => placeOn(view.alpha, alpha)[0] >= 0 && placeOn(view.beta, beta)[0] >= 0;

// The longest step is taken on the median slope of the plane, and on all that are steeper.
function rateOf(view, values, scale) {
  const n = view.beta.length;
  const slopes = [...values.keys()].map((k) => {
    const { alpha, beta } = valueAndSlope(view, values, { alpha: view.alpha[Math.floor(k / n)], beta: view.beta[k % n] });
    return Math.hypot(alpha / scale.alpha, beta / scale.beta);
  }).filter(Number.isFinite).sort((a, b) => a - b);
  const middle = slopes[slopes.length >> 1];
  return middle > 0 ? LONGEST / middle : 0;
}

// Against the slope in the box, whose sides are stretched axes.
function stepDown({ alpha, beta }, scale, rate) {
  const [right, up] = [-rate * alpha / scale.alpha, -rate * beta / scale.beta];
  const part = Math.min(1, LONGEST / Math.hypot(right, up)) || 0;
  return { alpha: part * right, beta: part * up };
}
