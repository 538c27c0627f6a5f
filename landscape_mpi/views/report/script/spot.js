// The marked point, the same in every picture.

const NOTHING_MARKED = "Point at a picture or tap it to read its values.";

function nearest(axis, value) {
  let best = 0;
  for (let k = 1; k < axis.length; k += 1) if (Math.abs(axis[k] - value) < Math.abs(axis[best] - value)) best = k;
  return best;
}

const spotOf = (view) => (state.spot ? spotAt(view, state.spot) : null);

// The grid point nearest to a place; null where the place is beyond the edge.
function spotAt(view, place) {
  const [i, j] = [nearest(view.alpha, place.alpha), nearest(view.beta, place.beta)];
  const off = (axis, k, value) => axis.length > 1 && Math.abs(axis[k] - value) > 0.51 * Math.abs(axis[1] - axis[0]) + 1e-12 * Math.abs(value);
  if (view.isLine) return lineAxis(view) === "alpha" ? { i, j: 0 } : { i: 0, j };
  return off(view.alpha, i, place.alpha) || off(view.beta, j, place.beta) ? null : { i, j };
}

// Held, it stays until another is set; the words do not wait for the pictures.
function setSpot(place, isHeld) {
  Object.assign(state, { spot: place, held: isHeld });
  showReadouts();
  markSpot();
}

const markSpot = latestOnly(async () => {
  for (const view of views) await Plotly.relayout(view.flat, { shapes: view.isLine ? crosshair(view) : shapesOf(view) });
  for (const view of views.filter((each) => !each.isLine)) {
    const { x, y, z } = pin(view);
    await Plotly.restyle(view.space, { x: [x], y: [y], z: [z], visible: isPinned(view) }, [view.spotTrace]);
  }
  count("moved", 1);
});

function crosshair(view) {
  const spot = spotOf(view);
  if (!spot) return [];
  const place = { alpha: view.alpha[spot.i], beta: view.beta[spot.j] };
  const line = { color: "#e6399b", width: 1.5, dash: "dot" };
  const along = lineAxis(view);
  if (view.isLine) return [{ type: "line", x0: place[along], x1: place[along], y0: 0, y1: 1, yref: "paper", line }];
  const { alpha: x, beta: y } = place;
  return [
    { type: "line", x0: x, x1: x, y0: view.beta[0], y1: view.beta.at(-1), line },
    { type: "line", x0: view.alpha[0], x1: view.alpha.at(-1), y0: y, y1: y, line },
    { type: "circle", xsizemode: "pixel", ysizemode: "pixel", xanchor: x, yanchor: y, x0: -6, x1: 6, y0: -6, y1: 6, fillcolor: "#e6399b", line: { color: "#ffffff", width: 2 } },
  ];
}

// From the first marked point on: for lines and dots in space plotly.js links 28 programs of its
// graphics, beside 24 for a surface and its axes, and without a GPU each takes time.
const isPinned = (view) => (view.isPinned ||= state.spot !== null);

function spotTrace(view) {
  return {
    type: "scatter3d", name: "spot", mode: "lines+markers", showlegend: false, visible: isPinned(view), ...pin(view),
    marker: { size: [0.1, 8], color: "#e6399b", line: { color: "#ffffff", width: 2 } }, line: { color: "#e6399b", width: 5 },
  };
}

// A pin that stands on the marked point: its upper end and its head.
function pin(view) {
  const spot = spotOf(view);
  const height = spot && view.heights ? view.heights.space[spot.i * view.beta.length + spot.j] : NaN;
  if (Number.isNaN(height)) return { x: [null, null], y: [null, null], z: [null, null] };
  const room = view.shown.space[1] - view.shown.space[0];
  const [x, y] = [view.alpha[spot.i], view.beta[spot.j]];
  return { x: [x, x], y: [y, y], z: [height + 0.24 * room, height + 0.03 * room] };
}

function told(view) {
  const spot = spotOf(view);
  if (!spot) return null;
  const n = view.beta.length;
  const axes = view.isLine
    ? [[lineAxis(view) === "alpha" ? "α" : "β", lineAxis(view) === "alpha" ? view.alpha[spot.i] : view.beta[spot.j]]]
    : [["α", view.alpha[spot.i]], ["β", view.beta[spot.j]]];
  const rows = axes.map(([letter, value]) => [letter, format(Math.abs(value) < 1e-12 ? 0 : value, 4)]);
  for (const q of view.quantities.values()) {
    view.lines.concat(view.isLine ? [] : [""]).slice(0, 8).forEach((words, number) => {
      const place = view.isLine && lineAxis(view) === "alpha" ? spot.i * n + number : spot.i * n + spot.j;
      const done = !q.done || q.done[place];
      rows.push([[titleOf(q), words].filter(Boolean).join(", "), done ? withUnit(format(q.values[place]), q) : "not computed"]);
    });
  }
  return rows;
}

const inWords = (rows, separator) => rows.map(([name, value]) => `${escaped(name)} <b>${escaped(value)}</b>`).join(separator);

function showReadouts() {
  for (const view of views) {
    const rows = told(view);
    const place = byId(`readout-${view.number}`);
    place.innerHTML = rows ? inWords(rows, " &nbsp; ") : NOTHING_MARKED;
    place.classList.toggle("idle", !rows);
  }
}

function showTip(view, event) {
  const tip = byId("tip");
  const rows = view && told(view);
  tip.hidden = !rows;
  if (!rows) return;
  tip.innerHTML = inWords(rows, "<br>");
  const { width, height } = tip.getBoundingClientRect();
  const { clientX: x, clientY: y } = event;
  const left = x + 18 + width > innerWidth ? x - width - 18 : x + 18;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, Math.min(y + 14, innerHeight - height - 4))}px`;
}

function listen(view) {
  keepFromPlotly(view.flat, "flat");
  listenToPointer(view, view.flat);
  view.flat.addEventListener("keydown", (event) => step(view, event));
  if (view.isLine) return;
  keepFromPlotly(view.space, "space");
  listenToPointer(view, view.space);
  view.space.addEventListener("keydown", turn);
  view.space.addEventListener("wheel", roll, { passive: false, capture: true });
  listenToDrags(view.space);
}

function step(view, event) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
  const move = moves[event.key];
  if (event.key === "Escape") setSpot(null, true);
  else if (event.key === "Enter" && state.spot && !view.isLine) letDown({ ...state.spot });
  else if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
  else {
    const here = spotOf(view) ?? { i: nearest(view.alpha, 0), j: nearest(view.beta, 0) };
    const by = event.shiftKey ? 5 : 1;
    const inside = (k, axis) => axis[Math.max(0, Math.min(axis.length - 1, k))];
    const [right, up] = view.isLine && lineAxis(view) === "beta" ? [0, move[0]] : move;
    setSpot({ alpha: inside(here.i + by * right, view.alpha), beta: inside(here.j + by * up, view.beta) }, true);
  }
  event.preventDefault();
}
