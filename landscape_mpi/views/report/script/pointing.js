// Which place of the plane lies under a pointer: plotly.js itself tells it a redraw of the surface
// later, and to a finger not at all.

const VIEW_ANGLE = Math.PI / 4; // of the camera of plotly.js, from the lowest to the highest pixel
const NEAR_A_DOT = 14; // pixels

function placeUnder(view, plot, event) {
  const place = plot === view.flat ? placeOnFlat(view, event) : placeInSpace(view, event);
  const spot = place && spotAt(view, place);
  return spot && { alpha: view.alpha[spot.i], beta: view.beta[spot.j] };
}

function placeOnFlat(view, { clientX, clientY }) {
  const { left, right, top, bottom } = view.flat.querySelector(".nsewdrag").getBoundingClientRect();
  if (clientX < left || clientX > right || clientY < top || clientY > bottom) return null;
  const { xaxis, yaxis } = view.flat._fullLayout;
  const [x, y] = [within(xaxis.range, (clientX - left) / (right - left)), within(yaxis.range, (bottom - clientY) / (bottom - top))];
  if (!view.isLine) return { alpha: x, beta: y };
  return lineAxis(view) === "alpha" ? { alpha: x, beta: view.beta[0] } : { alpha: view.alpha[0], beta: x };
}

const within = ([low, high], share) => low + share * (high - low);

function placeInSpace(view, event) {
  if (!view.heights) return null;
  return anyFace(view) ? hitOf(view, rayUnder(view, event)) : nearestDot(view, event);
}

// The camera's axes: unit vectors to the right, upward, and to what it looks at.
function axesOfCamera({ eye, center }) {
  const [azimuth, elevation] = placeOf({ eye, center });
  const toEye = onSphere(azimuth, elevation, 1);
  return { right: { x: -Math.sin(azimuth), y: Math.cos(azimuth), z: 0 }, up: onSphere(azimuth, elevation + Math.PI / 2, 1), forward: plus({ x: 0, y: 0, z: 0 }, toEye, -1) };
}

// From the eye through a pixel, in shares of the box of the surface: 0 to 1 along each side.
function rayUnder(view, { clientX, clientY }) {
  const { left, top, width, height } = view.space.getBoundingClientRect();
  const { right, up, forward } = axesOfCamera(state.camera);
  const reach = Math.tan(VIEW_ANGLE / 2);
  const across = (2 * (clientX - left) - width) / height;
  const upward = 1 - (2 * (clientY - top)) / height;
  const direction = plus(plus(forward, right, reach * across), up, reach * upward);
  const sides = sidesOf(view);
  const shares = (point, middle) => ["x", "y", "z"].map((axis) => point[axis] / sides[axis] + middle);
  return { from: shares(state.camera.eye, 0.5), along: shares(direction, 0) };
}

// Where a ray meets the surface first; null where it does not.
function hitOf(view, { from, along }) {
  const ways = from.map((start, k) => [-start / along[k], (1 - start) / along[k]].sort((a, b) => a - b));
  const near = Math.max(0, ...ways.map((way) => way[0]));
  const far = Math.min(...ways.map((way) => way[1]));
  const n = 3 * Math.max(view.alpha.length, view.beta.length);
  let above = NaN; // of the surface, a step before
  for (let k = 0; k <= n && near < far; k += 1) {
    const way = near + (k / n) * (far - near);
    const place = placeAt(view, from, along, way);
    const gap = from[2] + way * along[2] - shareOfHeight(view, heightAt(view, place.alpha, place.beta));
    if (gap * above <= 0) return placeAt(view, from, along, way - ((far - near) / n) * (gap === above ? 0 : gap / (gap - above)));
    above = gap;
  }
  return null;
}

function placeAt(view, from, along, way) {
  const on = (axis, k) => within([axis[0], axis.at(-1)], limited(from[k] + way * along[k], [0, 1]));
  return { alpha: on(view.alpha, 0), beta: on(view.beta, 1) };
}

const shareOfHeight = (view, height) => (height - view.ends[0]) / (view.ends[1] - view.ends[0]);

// Pixels from the left and from the top of the picture.
function pixelOf(view, share) {
  const { clientWidth, clientHeight } = view.space;
  const sides = sidesOf(view);
  const [x, y, z] = ["x", "y", "z"].map((axis, k) => (share[k] - 0.5) * sides[axis]);
  const { right, up, forward } = axesOfCamera(state.camera);
  const off = plus({ x, y, z }, state.camera.eye, -1);
  const size = clientHeight / (2 * Math.tan(VIEW_ANGLE / 2) * dot(off, forward));
  return [clientWidth / 2 + size * dot(off, right), clientHeight / 2 - size * dot(off, up)];
}

const dot = (a, b) => a.x * b.x + a.y * b.y + a.z * b.z;

function nearestDot(view, { clientX, clientY }) {
  const { left, top } = view.space.getBoundingClientRect();
  const n = view.beta.length;
  const share = (axis, value) => (axis.length > 1 ? (value - axis[0]) / (axis.at(-1) - axis[0]) : 0.5);
  let best = { distance: NEAR_A_DOT, place: null };
  view.heights.space.forEach((height, k) => {
    if (Number.isNaN(height)) return;
    const place = { alpha: view.alpha[Math.floor(k / n)], beta: view.beta[k % n] };
    const [x, y] = pixelOf(view, [share(view.alpha, place.alpha), share(view.beta, place.beta), shareOfHeight(view, height)]);
    const distance = Math.hypot(clientX - left - x, clientY - top - y);
    if (distance < best.distance) best = { distance, place };
  });
  return best.place;
}
