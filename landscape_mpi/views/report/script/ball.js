// The ball: let down at one place of all planes, it rolls on the values of each.

const BALL = { color: "#ff7a1a", trail: "#ff7a1a", rim: "#ffffff" };
const PACE = 200; // steps a second
const METHODS = { descent: "gradient descent", momentum: "gradient descent with momentum 0.9" };
const NOT_TRAINING = "It follows the values of this plane between its points. This is not the training, which moves all weights in all directions.";
const ENDS = {
  rest: "came to rest", edge: "left the plane", broken: "stopped beside a point that is not finite", moving: `was still moving after ${STEPS} steps`,
};

// Where a ball is let down if nobody marks a place: on a circle around the middle, each time further on.
const starts = { number: 0, radius: 0.7, angle: 2.4 };

let shownSteps = Infinity;

function nextStart() {
  const view = views.find((each) => !each.isLine);
  const angle = 0.8 + starts.angle * starts.number;
  starts.number += 1;
  const on = (axis, part) => (axis[0] + axis.at(-1)) / 2 + 0.5 * starts.radius * part * spanOf(axis);
  return { alpha: on(view.alpha, Math.cos(angle)), beta: on(view.beta, Math.sin(angle)) };
}

// The ways of a ball that is let down, as the values that are shown say.
function rollBalls() {
  for (const view of views) {
    const q = quantityOf(view);
    const key = state.ball && q && JSON.stringify([state.ball, state.method, q.name]);
    if (key === view.ballKey) continue;
    view.ballKey = key;
    view.ball = key && !view.isLine && anyFace(view) ? descend(view, heightsOf(q, SCALES.linear()), state.ball, state.method) : null;
  }
}

function letDown(place) {
  state.ball = place;
  rollBalls();
  showBallControls();
  shownSteps = isMotionReduced() ? Infinity : 0;
  if (shownSteps === Infinity) { markBalls(); return; }
  let first = null;
  const { ball } = state;
  requestAnimationFrame(function roll(now) {
    if (state.ball !== ball) return;
    first ??= now;
    const last = Math.max(0, ...views.map((view) => view.ball?.way.length ?? 0));
    shownSteps = (PACE * (now - first)) / 1000;
    if (shownSteps >= last) shownSteps = Infinity;
    else requestAnimationFrame(roll);
    markBalls();
  });
}

function takeBall() {
  state.ball = null;
  rollBalls();
  showBallControls();
  markBalls();
}

const markBalls = latestOnly(async () => {
  for (const view of views.filter((each) => !each.isLine)) {
    const traces = ballTraces(view);
    const of = (axis) => traces.map((trace) => trace[axis]);
    const places = traces.map((trace) => view.spotTrace + 1 + traces.indexOf(trace));
    await Plotly.restyle(view.space, { x: of("x"), y: of("y"), z: of("z"), visible: hasRolled(view) }, places);
    await Plotly.relayout(view.flat, { shapes: shapesOf(view) });
    showBallWords(view);
  }
  count("rolled", 1);
});

const wayOf = (view) => (view.ball && view.heights ? view.ball.way.slice(0, Math.floor(Math.min(shownSteps, STEPS + 1)) + 1) : []);

// As the pin, from the first ball on.
const hasRolled = (view) => (view.hasRolled ||= state.ball !== null);

function ballTraces(view) {
  const way = wayOf(view);
  const lift = 0.02 * (view.shown.space[1] - view.shown.space[0]);
  const on = (places) => ({
    x: places.length ? places.map(({ alpha }) => alpha) : [null], y: places.length ? places.map(({ beta }) => beta) : [null],
    z: places.length ? places.map(({ alpha, beta }) => heightAt(view, alpha, beta) + lift) : [null],
  });
  const base = { type: "scatter3d", showlegend: false, visible: hasRolled(view) };
  return [
    { ...base, name: "way of the ball", mode: "lines", line: { color: BALL.trail, width: 5 }, ...on(way) },
    { ...base, name: "ball", mode: "markers", marker: { color: BALL.color, size: 9, line: { color: BALL.rim, width: 2 } }, ...on(way.slice(-1)) },
  ];
}

function ballShapes(view) {
  const way = wayOf(view);
  if (!way.length) return [];
  const { alpha: xanchor, beta: yanchor } = way.at(-1);
  const path = `M ${way.map(({ alpha, beta }) => `${alpha},${beta}`).join(" L ")}`;
  return [
    { type: "path", name: "way of the ball", path, line: { color: BALL.trail, width: 2.5 } },
    { type: "circle", name: "ball", xsizemode: "pixel", ysizemode: "pixel", xanchor, yanchor, x0: -6, x1: 6, y0: -6, y1: 6, fillcolor: BALL.color, line: { color: BALL.rim, width: 2 } },
  ];
}

function showBallWords(view) {
  const place = byId(`ball-${view.number}`);
  place.hidden = !state.ball || view.isLine || !quantityOf(view);
  const words = place.hidden ? "" : ballWords(view);
  if (place.textContent !== words) place.textContent = words; // read aloud once
}

function ballWords(view) {
  if (!view.ball) return "The ball is not let down here: there is no value at its place.";
  if (shownSteps < view.ball.way.length) return `The ball rolls by ${METHODS[state.method]}. ${NOT_TRAINING}`;
  const { way, end, values } = view.ball;
  const q = quantityOf(view);
  const at = ({ alpha, beta }, value) => `α ${format(alpha, 3)}, β ${format(beta, 3)} (${withUnit(format(value, 3), q)})`;
  const after = end === "moving" ? "" : ` after ${way.length - 1} steps`;
  return `The ball, by ${METHODS[state.method]} from ${at(way[0], values[0])}, ${ENDS[end]}${after} at ${at(way.at(-1), values[1])}. ${NOT_TRAINING}`;
}

function showBallControls() {
  byId("ball").setAttribute("aria-pressed", state.ball !== null);
  byId("method").value = state.method;
}

function listenToBall() {
  byId("ball").addEventListener("click", () => (state.ball ? takeBall() : letDown(state.held && state.spot ? { ...state.spot } : nextStart())));
  byId("method").addEventListener("change", (event) => {
    state.method = event.target.value;
    if (state.ball) letDown({ ...state.ball });
  });
}
