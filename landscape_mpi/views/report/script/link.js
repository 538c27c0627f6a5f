// The address of a view: the controls, the camera and the marked point as words after the #.

const PLACE_DIGITS = 4;

// For each word of an address: what it says of the state, and what of the state it sets; a value that
// this page cannot have is left out.
const WORDS = {
  quantity: { say: () => state.quantity, set: (text) => { if (quantityNames().includes(text)) chooseQuantity(text); } },
  scale: { say: () => state.scale, set: (text) => { if (SCALE_NAMES.includes(text)) chooseScale(text); } },
  floor: numberWord("floor"),
  clip: numberWord("clip"),
  shared: switchWord("shared"),
  paths: switchWord("paths"),
  light: { say: () => state.light, set: (text) => { if (Object.hasOwn(LIGHTS, text)) state.light = text; } },
  wires: switchWord("wires"),
  camera: { say: cameraInWords, set: setCameraByWords },
  turning: { say: () => (state.turning ? "yes" : null), set: (text) => { if (text === "yes" && !isMotionReduced()) startTurning(); } },
  spot: { say: () => (state.spot && state.held ? inNumbers([state.spot.alpha, state.spot.beta]) : null), set: setSpotByWords },
  method: { say: () => state.ball && state.method, set: (text) => { if (Object.hasOwn(METHODS, text)) state.method = text; } },
  ball: { say: () => state.ball && inNumbers([state.ball.alpha, state.ball.beta]), set: setBallByWords },
};

function numberWord(name) {
  return { say: () => (state[name] === null ? null : String(state[name])), set: (text) => setNumbers(text, 1, ([value]) => { state[name] = value; }) };
}

function switchWord(name) {
  return { say: () => (state[name] ? "yes" : "no"), set: (text) => { if (["yes", "no"].includes(text)) state[name] = text === "yes"; } };
}

const inNumbers = (values) => values.map((value) => Number(value.toFixed(PLACE_DIGITS))).join(",");

// Sets by so many finite numbers, and by nothing else.
function setNumbers(text, n, set) {
  const values = text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)));
  if (values.length === n && values.every(Number.isFinite)) set(values);
}

// Angles and distance as they would be where a picture is wide: a phone moves further away.
function cameraInWords() {
  const { center } = state.camera;
  const [azimuth, elevation, distance] = placeOf(state.camera);
  return inNumbers([azimuth, elevation, distance / narrowness(), center.x, center.y, center.z]);
}

function setCameraByWords(text) {
  setNumbers(text, 6, ([azimuth, elevation, distance, x, y, z]) => {
    const center = { x, y, z };
    const place = onSphere(azimuth, limited(elevation, [-STEEPEST, STEEPEST]), limited(distance * narrowness(), DISTANCES));
    state.camera = { center, eye: plus(center, place), up: { x: 0, y: 0, z: 1 } };
  });
}

function setSpotByWords(text) {
  setNumbers(text, 2, ([alpha, beta]) => Object.assign(state, { spot: { alpha, beta }, held: true }));
}

function setBallByWords(text) {
  setNumbers(text, 2, ([alpha, beta]) => { state.ball = { alpha, beta }; });
}

function fragmentOf() {
  const words = new URLSearchParams();
  for (const [name, { say }] of Object.entries(WORDS)) if (say() !== null) words.set(name, say());
  return `#${words.toString().replaceAll("%2C", ",")}`;
}

// Whether the address said anything about the view.
function restore() {
  const words = new URLSearchParams(location.hash.slice(1));
  const known = Object.keys(WORDS).filter((name) => words.has(name));
  for (const name of known) WORDS[name].set(words.get(name));
  return known.length > 0;
}

// Of another link to this page that is opened in its window.
function reopen() {
  if (location.hash === fragmentOf() || !restore()) return;
  redraw();
  showReadouts();
}

async function copyLink() {
  const button = byId("link");
  location.replace(fragmentOf());
  try {
    await navigator.clipboard.writeText(location.href);
    answer(button, "Copied");
  } catch {
    answer(button, "In the address bar");
  }
}
