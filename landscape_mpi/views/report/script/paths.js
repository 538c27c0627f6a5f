// Paths of training runs and curves, and the letters of solutions.

function pathTraces(view, inSpace) {
  return view.paths.flatMap((path) => {
    const fine = path.dash ? between(path) : path;
    const base = { showlegend: !inSpace, name: path.name, legendgroup: path.name };
    const traces = [];
    if (path.dash) {
      traces.push(laid(view, inSpace, fine, { ...base, name: path.name, mode: "lines", line: { color: "#ffffff", width: inSpace ? 8 : 4 }, showlegend: false }));
      traces.push(laid(view, inSpace, fine, { ...base, mode: "lines", line: { color: path.color, width: inSpace ? 5 : 2, dash: path.dash } }));
    }
    if (path.dots) {
      const drops = new Set(path.drops);
      const dotted = (places, name, color, size) => laid(view, inSpace, pointsOf(path, places), {
        ...base, mode: "markers", name, legendgroup: name, showlegend: !inSpace && name !== path.name, marker: { color, size: inSpace ? 0.5 * size : size, line: { color: "#ffffff", width: 1 } },
      });
      const places = [...path.alpha.keys()];
      traces.push(dotted(places.filter((k) => !drops.has(k)), path.name, path.color, 5));
      if (drops.size) traces.push(dotted(path.drops, "learning rate dropped", path.dropped, 9));
    }
    return traces;
  });
}

const pointsOf = (path, places) => ({ alpha: places.map((k) => path.alpha[k]), beta: places.map((k) => path.beta[k]) });

// A path with places between its points, so that it follows the surface.
function between(path) {
  const [alpha, beta] = [[], []];
  for (let k = 0; k + 1 < path.alpha.length; k += 1) {
    for (let part = 0; part < 12; part += 1) {
      alpha.push(path.alpha[k] + (part / 12) * (path.alpha[k + 1] - path.alpha[k]));
      beta.push(path.beta[k] + (part / 12) * (path.beta[k + 1] - path.beta[k]));
    }
  }
  return { alpha: [...alpha, path.alpha.at(-1)], beta: [...beta, path.beta.at(-1)] };
}

function laid(view, inSpace, path, trace) {
  const [x, y] = [Array.from(path.alpha), Array.from(path.beta)];
  if (!inSpace) return { type: "scatter", x, y, ...trace };
  const lift = 0.008 * (view.shown.space[1] - view.shown.space[0]);
  return { type: "scatter3d", x, y, z: x.map((a, k) => heightAt(view, a, y[k]) + lift), ...trace };
}

// Bilinear; NaN outside the plane.
function heightAt(view, alpha, beta) {
  const [i, s] = placeOn(view.alpha, alpha);
  const [j, t] = placeOn(view.beta, beta);
  const n = view.beta.length;
  if (i < 0 || j < 0 || !view.heights) return NaN;
  const at = (a, b) => view.heights.space[Math.min(a, view.alpha.length - 1) * n + Math.min(b, n - 1)];
  const weigh = (first, second, part) => (part === 0 ? first : (1 - part) * first + part * second);
  return weigh(weigh(at(i, j), at(i, j + 1), t), weigh(at(i + 1, j), at(i + 1, j + 1), t), s);
}

// The place below a value on a rising axis, and the part of the way to the next; -1 outside.
function placeOn(axis, value) {
  const n = axis.length;
  if (!(value >= axis[0] && value <= axis[n - 1])) return [-1, 0];
  if (n === 1) return [0, 0];
  let [below, above] = [0, n - 1];
  while (above - below > 1) {
    const middle = (below + above) >> 1;
    if (axis[middle] <= value) below = middle;
    else above = middle;
  }
  return [below, (value - axis[below]) / (axis[above] - axis[below])];
}

function markTraces(view) {
  const inside = (axis, value) => value >= axis[0] && value <= axis.at(-1);
  const marks = view.marks.filter((mark) => inside(view.alpha, mark.alpha) && inside(view.beta, mark.beta));
  const center = !marks.length && inside(view.alpha, 0) && inside(view.beta, 0);
  const places = center ? [{ letter: "", name: "center (0, 0)", alpha: 0, beta: 0 }] : marks;
  if (!places.length || !view.heights) return { space: [], flat: [] };
  const [x, y] = [places.map((p) => p.alpha), places.map((p) => p.beta)];
  const text = places.map((p) => p.letter);
  const base = { x, y, text, showlegend: false, mode: center ? "markers" : "markers+text" };
  const marker = { color: "#ffffff", line: { color: "#000000", width: 1 } };
  const font = { color: "#000000", size: 11, weight: 700 };
  const lift = 0.012 * (view.shown.space[1] - view.shown.space[0]);
  const z = x.map((a, k) => heightAt(view, a, y[k]) + lift);
  return {
    space: center ? [] : [{ ...base, type: "scatter3d", name: "marks", z, marker: { ...marker, size: 9 }, textfont: font }],
    flat: [{ ...base, type: "scatter", name: "marks", cliponaxis: false, marker: { ...marker, size: center ? 13 : 17, symbol: center ? "star" : "circle" }, textfont: font }],
  };
}
