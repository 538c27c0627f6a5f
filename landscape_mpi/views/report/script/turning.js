// The slow turning of all surfaces, until somebody takes hold of them.

const CIRCLE_S = 30; // for a whole turn
const LONGEST_FRAME_S = 0.1; // a page that was hidden, or a slow computer, does not jump

function startTurning() {
  state.turning = true;
  showTurning();
  let last = null;
  requestAnimationFrame(function step(now) {
    if (!state.turning) return;
    const passed = last === null ? 0 : Math.min(LONGEST_FRAME_S, (now - last) / 1000);
    last = now;
    setCamera(turned(state.camera, (2 * Math.PI * passed) / CIRCLE_S, 0));
    requestAnimationFrame(step);
  });
}

function stopTurning() {
  state.turning = false;
  showTurning();
}

function showTurning() {
  byId("turn").setAttribute("aria-pressed", state.turning);
}

const isMotionReduced = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
