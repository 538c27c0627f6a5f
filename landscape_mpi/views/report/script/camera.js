// The camera, the same for every surface. Only the page moves it, and plotly.js shows it: turned by
// plotly.js itself, a surface keeps its camera in a layout that may have been replaced, so that the
// next drawing undoes the turn, and what it tells of a wheel is the camera before.

const TURN = Math.PI / 30; // by an arrow key
const STEEPEST = (89.9 * Math.PI) / 180; // right above there is no left and right
const DISTANCES = [0.05, 50]; // of the camera, in sides of the box
const WHEEL = 0.001; // change of the logarithm of the distance by a pixel; a notch has 100
const LINE = 20; // pixels, where a wheel counts lines
const VIEWS = { // degrees, and sides of the box
  reset: { azimuth: -58, elevation: 38.4, distance: 1.92 },
  above: { azimuth: -90, elevation: 89.9, distance: 1.8 },
  front: { azimuth: -90, elevation: 12, distance: 1.8 },
  side: { azimuth: 0, elevation: 12, distance: 1.8 },
  below: { azimuth: -58, elevation: -30, distance: 1.9 },
};
const CENTER = { x: 0, y: 0, z: -0.15 };

const plus = (a, b, factor = 1) => ({ x: a.x + factor * b.x, y: a.y + factor * b.y, z: a.z + factor * b.z });
const limited = (value, [low, high]) => Math.max(low, Math.min(high, value));

function onSphere(azimuth, elevation, distance) {
  const [flat, z] = [distance * Math.cos(elevation), distance * Math.sin(elevation)];
  return { x: flat * Math.cos(azimuth), y: flat * Math.sin(azimuth), z };
}

function cameraAt({ azimuth, elevation, distance }) {
  const [a, e] = [azimuth, elevation].map((degrees) => (degrees * Math.PI) / 180);
  return { eye: plus(CENTER, onSphere(a, e, distance)), up: { x: 0, y: 0, z: 1 }, center: { ...CENTER } };
}

// Further away where a picture is narrow, so that the labels are in it.
function narrowness() {
  const { clientWidth, clientHeight } = views.find((view) => !view.isLine)?.space ?? root;
  return Math.max(1, (1.45 * clientHeight) / clientWidth);
}

const fitted = (place) => cameraAt({ ...place, distance: place.distance * narrowness() });

function setCamera(camera) {
  state.camera = camera;
  showCamera();
}

const showCamera = latestOnly(async () => {
  for (const view of views) {
    if (!view.isLine) await Plotly.relayout(view.space, { "scene.camera": structuredClone(state.camera) });
  }
});

// Where the camera is, seen from what it looks at: angles, and the distance.
function placeOf({ eye, center }) {
  const { x, y, z } = plus(eye, center, -1);
  const distance = Math.hypot(x, y, z);
  return [Math.atan2(y, x), Math.asin(z / distance), distance];
}

function turned(camera, right, up) {
  const [azimuth, elevation, distance] = placeOf(camera);
  const place = onSphere(azimuth + right, limited(elevation + up, [-STEEPEST, STEEPEST]), distance);
  return { ...camera, eye: plus(camera.center, place) };
}

function zoomed(camera, factor) {
  const [azimuth, elevation, distance] = placeOf(camera);
  return { ...camera, eye: plus(camera.center, onSphere(azimuth, elevation, limited(factor * distance, DISTANCES))) };
}

// Right and up are shares of the distance, on the screen.
function shifted(camera, right, up) {
  const [azimuth, elevation, distance] = placeOf(camera);
  const upward = onSphere(azimuth, elevation + Math.PI / 2, distance);
  const by = plus(plus({ x: 0, y: 0, z: 0 }, upward, up), { x: -Math.sin(azimuth), y: Math.cos(azimuth), z: 0 }, right * distance);
  return { ...camera, eye: plus(camera.eye, by), center: plus(camera.center, by) };
}

function turn(event) {
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  const { camera } = state;
  const moves = {
    ArrowLeft: () => turned(camera, -TURN, 0), ArrowRight: () => turned(camera, TURN, 0),
    ArrowUp: () => turned(camera, 0, TURN), ArrowDown: () => turned(camera, 0, -TURN),
    "+": () => zoomed(camera, 0.9), "=": () => zoomed(camera, 0.9), "-": () => zoomed(camera, 1 / 0.9),
    0: () => fitted(VIEWS.reset),
  };
  if (!Object.hasOwn(moves, event.key)) return;
  event.preventDefault();
  stopTurning();
  setCamera(moves[event.key]());
}
