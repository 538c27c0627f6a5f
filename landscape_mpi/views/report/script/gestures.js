// What the mouse and fingers do to the pictures. On a phone a swipe upward or downward scrolls the
// page, wherever it begins; a swipe sideways turns a surface, two fingers zoom and turn it, and a tap
// reads a point of any picture.

const SLOP = 8; // pixels that a finger may move in a tap
const OF_PLOTLY = { space: ["mousedown", "mousemove", "mouseup", "touchstart", "touchmove", "touchend"], flat: ["touchstart", "touchmove", "touchend"] };
const distanceOf = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);

// plotly.js would hold a swipe on a picture, and turn surfaces itself.
function keepFromPlotly(plot, kind) {
  for (const name of OF_PLOTLY[kind]) plot.addEventListener(name, (event) => event.stopPropagation(), { capture: true, passive: true });
}

function listenToTaps(plot, act) {
  let start = null;
  plot.addEventListener("pointerdown", (event) => { start = event.isPrimary && event.button === 0 ? event : null; }, true);
  // Of the window: plotly.js covers it while the mouse is down.
  addEventListener("pointerup", (event) => {
    const isTap = start?.pointerId === event.pointerId && distanceOf(start, event) < SLOP;
    start = null;
    if (isTap) act(event);
  }, true);
  addEventListener("pointercancel", () => { start = null; }, true);
}

function listenToPointer(view, plot) {
  plot.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch" && !event.buttons) pointAt(view, plot, event);
  }, true);
  plot.addEventListener("pointerleave", (event) => {
    if (event.pointerType !== "touch") leave();
  });
  listenToTaps(plot, (event) => tap(view, plot, event));
}

function pointAt(view, plot, event) {
  const place = placeUnder(view, plot, event);
  if (!place) return;
  setSpot(place, false);
  showTip(view, event);
}

function leave() {
  showTip(null);
  if (state.spot && !state.held) setSpot(null, false);
}

function tap(view, plot, event) {
  const place = event.target.closest(".modebar") ? null : placeUnder(view, plot, event);
  if (event.pointerType === "touch") setSpot(place, true);
  if (state.ball && place && !view.isLine) letDown(place);
}

function listenToDrags(space) {
  const held = new Map(); // by pointer: its last event, and whether it turns yet
  space.addEventListener("pointerdown", (event) => {
    if (event.target.tagName !== "CANVAS") return; // not the button of the picture
    if (event.pointerType !== "touch") stopTurning(); // a finger may be about to scroll or to tap
    held.set(event.pointerId, { last: event, turns: event.pointerType !== "touch" });
    event.target.setPointerCapture(event.pointerId);
  });
  space.addEventListener("pointermove", (event) => {
    const finger = held.get(event.pointerId);
    if (!finger || !(held.size > 1 || (finger.turns ||= isTurn(space, finger.last, event)))) return;
    stopTurning();
    setCamera(held.size > 1 ? pinched([...held.values()], finger, event, space.clientHeight) : draggedBy(finger.last, event, space.clientHeight));
    finger.last = event;
  });
  // Also where the browser takes a finger away, to scroll.
  space.addEventListener("lostpointercapture", (event) => held.delete(event.pointerId));
}

// Not a swipe that the browser is about to scroll by.
function isTurn(space, start, event) {
  const [right, down] = [event.clientX - start.clientX, event.clientY - start.clientY];
  const scrolls = getComputedStyle(space).touchAction !== "none";
  return Math.hypot(right, down) >= SLOP && !(scrolls && Math.abs(down) > Math.abs(right));
}

function draggedBy(last, event, height) {
  return dragged(state.camera, event, (event.clientX - last.clientX) / height, (event.clientY - last.clientY) / height);
}

// Over the height of a picture, the left button and a finger turn by half a circle.
function dragged(camera, { buttons, ctrlKey, altKey }, right, down) {
  if (buttons & 4 || altKey) return zoomed(camera, Math.exp(down));
  if (buttons & 2 || ctrlKey) return shifted(camera, -right, down);
  return turned(camera, -Math.PI * right, Math.PI * down);
}

// By two fingers, one of which has moved: their distance zooms, and their middle turns.
function pinched(fingers, finger, event, height) {
  const other = fingers.find((each) => each !== finger).last;
  const [right, down] = [event.clientX - finger.last.clientX, event.clientY - finger.last.clientY].map((pixels) => pixels / 2 / height);
  const camera = turned(state.camera, -Math.PI * right, Math.PI * down);
  return zoomed(camera, distanceOf(finger.last, other) / Math.max(1, distanceOf(event, other)));
}

function roll(event) {
  event.preventDefault();
  event.stopPropagation();
  stopTurning();
  const pixels = event.deltaY * (event.deltaMode === WheelEvent.DOM_DELTA_LINE ? LINE : 1);
  setCamera(zoomed(state.camera, Math.exp(WHEEL * pixels)));
}
