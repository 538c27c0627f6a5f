// Sentences below the pictures.

const isComputed = (q, k) => !q.done || q.done[k];

// The width of the cell around each coordinate, relative to the widest, as in views/areas.py.
function widthsOf(axis) {
  const width = (k) => Math.abs(axis[Math.min(k + 1, axis.length - 1)] - axis[Math.max(k - 1, 0)]) / (k > 0 && k < axis.length - 1 ? 2 : 1);
  const widths = axis.length > 1 ? Array.from(axis, (_, k) => width(k)) : [1];
  const most = Math.max(...widths);
  return widths.map((each) => each / most);
}

// The area that the given points of a plane stand for.
function areaOf(view, q, places) {
  const across = q.values.length / view.alpha.length;
  const [alpha, beta] = [widthsOf(view.alpha), across === view.beta.length ? widthsOf(view.beta) : Array(across).fill(1)];
  return places.reduce((sum, k) => sum + alpha[Math.floor(k / across)] * beta[k % across], 0);
}

// How much of a surface lies beyond an end of its colours, in words; null where nothing does.
function wordsBeyond(view, q, end, isBeyond, [word, far], pick) {
  const places = [...q.values.keys()].filter((k) => isComputed(q, k) && !Number.isNaN(q.values[k]));
  const outside = places.filter((k) => isBeyond(q.values[k]));
  if (!outside.length) return null;
  const finite = outside.map((k) => q.values[k]).filter(Number.isFinite);
  const share = format((100 * areaOf(view, q, outside)) / areaOf(view, q, places), 2);
  const reach = finite.length ? `, ${far} ${format(finite.reduce((one, other) => pick(one, other)), 3)}` : "";
  const whole = q.done && !q.done.every(Boolean) ? "what is computed" : view.isLine ? "the line" : "the plane";
  return `${share} % of ${whole} is ${word} ${withUnit(format(end, 3), q)}${reach}`;
}

function beyond(view) {
  const q = quantityOf(view);
  if (!q || (!view.colors?.isEnd && state.clip === null)) return null;
  const end = scales.flat.down(view.shown.flat[1]);
  return wordsBeyond(view, q, end, (value) => value > end * (1 + 1e-9), ["above", "up to"], Math.max);
}

// The same of what lies below the colours.
function below(view) {
  const q = quantityOf(view);
  if (!q || !view.colors?.isEnd) return null;
  const start = scales.flat.down(view.shown.flat[0]);
  return wordsBeyond(view, q, start, (value) => value < start - 1e-6 * Math.abs(start), ["below", "down to"], Math.min);
}

function notesOf(view, q) {
  const notes = [];
  const computed = q.done ? q.done.reduce((sum, flag) => sum + flag, 0) : q.values.length;
  const broken = q.values.filter((value, k) => isComputed(q, k) && !Number.isFinite(value)).length;
  const range = view.ranges.flat;
  if (computed < q.values.length) notes.push(`${computed} of ${q.values.length} points are computed; between them the picture joins the nearest.`);
  if (broken) notes.push(`${broken} ${broken === 1 ? "point is" : "points are"} not finite: nothing is drawn there${view.isLine ? "" : `, and × marks ${broken === 1 ? "it" : "them"}`}.`);
  const floored = scales.flat.kind === "log" ? q.values.filter((value) => value <= 0).length : 0;
  if (floored) notes.push(`${floored} values are zero or negative, and ${view.isLine ? "left out" : "drawn as the smallest positive one"}.`);
  if (!range) notes.push("No point is finite.");
  else if (range[0] === range[1]) notes.push(`The same everywhere: ${withUnit(format(scales.flat.down(range[0]), 6), q)}.`);
  return [...notes, ...notesOnScale(view, q)];
}

function notesOnScale(view, q) {
  const notes = [];
  const words = beyond(view);
  if (words) notes.push(`${words}: the colours end there.`);
  if (below(view)) notes.push(`${below(view)}: the colours begin there.`);
  if (!view.isLine && scales.space.kind === "shifted") notes.push(`Heights in space are log₁₀(${titleOf(q)} + ${withUnit(scales.space.added, q)}).`);
  if (!view.isLine && isCutBelow(view)) notes.push(`Heights below ${withUnit(format(scales.space.down(view.shown.space[0]), 2), q)} are cut off, as they would flatten the rest.`);
  if (!view.isLine && isCutForOthers(view)) notes.push(`Heights above ${withUnit(format(scales.space.down(view.shown.space[1]), 2), q)} are cut off, as they would flatten the rest.`);
  if (scales.flat.kind === "symlog") notes.push(`The scale is linear up to ${withUnit(format(scales.flat.threshold), q)} on both sides of zero, and logarithmic beyond.`);
  if (state.shared && isApart(view)) notes.push("Its values differ so much from those of the others that it has its own range.");
  return notes;
}

const isCutBelow = (view) => state.floor === null && view.ranges.space && view.shown.space[0] > view.ranges.space[0];

const isCutForOthers = (view) => state.clip === null && view.ranges.space && view.shown.space[1] < view.ranges.space[1];

const isApart = (view) => KINDS.some((kind) => view.ranges[kind] && view.isAlone[kind] && !(view.isLine && kind === "space"));

function showNotes(view) {
  const q = quantityOf(view);
  const notes = q ? notesOf(view, q) : [];
  const outside = view.paths.filter((path) => path.dots).reduce((sum, path) => sum + [...path.alpha.keys()].filter((k) => placeOn(view.alpha, path.alpha[k])[0] < 0 || placeOn(view.beta, path.beta[k])[0] < 0).length, 0);
  if (outside && state.paths) notes.push(`${outside} ${outside === 1 ? "point of a path lies" : "points of paths lie"} outside the picture.`);
  for (const mark of view.marks) notes.push(`${mark.letter}: ${mark.name}.`);
  const place = byId(`notes-${view.number}`);
  place.textContent = notes.join(" ");
  place.hidden = !notes.length;
}
