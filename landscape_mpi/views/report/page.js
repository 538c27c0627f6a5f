"use strict";
// Draws the surfaces. What is set in the controls is `state`; a change of it draws again. Heights
// are values, or log10 of them on a log scale, as far as the clipping lets them.

const LEVELS = 12; // contour levels, at most about
const POINTS_3D = 251; // of an axis in space; finer grids are thinned there
const TURN = Math.PI / 30; // by an arrow key
const SHADOW = "0 0 3px #000000, 0 0 2px #000000, 0 0 1px #000000"; // of white letters on any colour
const RELIEF = 0.66; // height of the box over its longer side
const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const START = { azimuth: -58, elevation: 36, distance: 1.86 }; // degrees, and sides of the box
const ABOVE = { azimuth: -90, elevation: 89.9, distance: 1.7 };
const root = document.documentElement;
const byId = (id) => document.getElementById(id);

const state = { quantity: null, log: false, chosen: false, clip: null, shared: true, paths: true, camera: cameraAt(START), spot: null, byKeys: false };
let views = [];

// Unpacking.

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

async function unpack(id) {
  const element = byId(id);
  const stream = new Blob([bytesOf(element.textContent.trim())]).stream();
  element.remove();
  return new Response(stream.pipeThrough(new DecompressionStream("gzip"))).text();
}

const floats = (text) => new Float64Array(bytesOf(text).buffer);
const integers = (text) => new Int32Array(bytesOf(text).buffer);

function viewOf(packed, number) {
  const quantities = new Map(packed.quantities.map((q) => [q.name, unpackQuantity(q)]));
  const paths = packed.paths.map((path) => ({
    ...path, alpha: floats(path.alpha), beta: floats(path.beta),
  }));
  return {
    ...packed, number, quantities, paths,
    alpha: floats(packed.alpha), beta: floats(packed.beta), isLine: packed.kind === "line",
    space: byId(`space-${number}`), flat: byId(`flat-${number}`),
  };
}

function unpackQuantity(q) {
  const gaps = q.gaps && { places: integers(q.gaps.places), corners: integers(q.gaps.corners), weights: floats(q.gaps.weights) };
  return { ...q, values: floats(q.values), done: q.done && bytesOf(q.done), gaps };
}

// Numbers in words.

function format(value, digits = 5) {
  if (Number.isNaN(value)) return "not a number";
  if (!Number.isFinite(value)) return value > 0 ? "infinite" : "−infinite";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-4 || size >= 1e6) {
    const [mantissa, power] = value.toExponential(digits - 1).split("e");
    const raised = [...String(Math.abs(power))].map((c) => SUPERSCRIPTS[c]).join("");
    const times = Number(mantissa) === 1 ? "" : `${Number(mantissa)} × `;
    return `${times}10${power < 0 ? "⁻" : ""}${raised}`.replace("-", "−");
  }
  return String(Number(value.toPrecision(digits))).replace("-", "−");
}

const titleOf = (q) => q.name.replaceAll("_", " ");
const withUnit = (text, q) => (q.unit ? `${text} ${q.unit}` : text);
const escaped = (text) => text.replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);

// Heights, ranges, ticks.

function heightsOf(q) {
  const least = state.log ? smallestPositive(q.values) : 0;
  const heights = Float64Array.from(q.values, (value) => {
    if (!Number.isFinite(value)) return NaN;
    return state.log ? Math.log10(Math.max(value, least)) : value;
  });
  if (q.gaps) fillGaps(heights, q.gaps);
  return heights;
}

function smallestPositive(values) {
  let least = Infinity;
  for (const value of values) if (value > 0 && value < least) least = value;
  return least;
}

function fillGaps(heights, { places, corners, weights }) {
  places.forEach((place, k) => {
    let sum = 0;
    for (let c = 3 * k; c < 3 * k + 3; c += 1) sum += weights[c] * heights[corners[c]];
    heights[place] = sum; // NaN beside a point that is not finite: nothing is drawn across it
  });
}

function rangeOf(arrays) {
  let [low, high] = [Infinity, -Infinity];
  for (const array of arrays) {
    for (const height of array) {
      if (height < low) low = height;
      if (height > high) high = height;
    }
  }
  return low <= high ? [low, high] : null;
}

function shownRange(range) {
  if (!range) return [0, 1];
  const [low, high] = range;
  const top = state.clip === null ? high : Math.min(high, heightOf(state.clip));
  if (top - low > 1e-12 * Math.max(Math.abs(low), Math.abs(top))) return [low, top];
  const margin = 0.1 * Math.abs(low) || 1;
  return [low - margin, low + margin];
}

const heightOf = (value) => (state.log ? Math.log10(value) : value);
const valueOf = (height) => (state.log ? 10 ** height : height);

function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 2.5, 5, 10].map((m) => m * power).find((step) => step >= rough * 0.999);
}

function linearTicks(low, high, n) {
  const step = niceStep((high - low) / n);
  const ticks = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) ticks.push(k * step);
  return ticks;
}

// Heights and their labels: round values, at most about n.
function ticksOf([low, high], n = 6) {
  if (!state.log) return labelled(linearTicks(low, high, n));
  const decades = high - low;
  if (decades < 0.8) return labelled(linearTicks(10 ** low, 10 ** high, n).filter((v) => v > 0).map(Math.log10));
  const mantissas = [[1, 2, 5], [1, 3], [1]].find((m) => decades * m.length <= 1.3 * n) ?? [1];
  const stride = Math.max(1, Math.ceil(decades / n));
  const ticks = [];
  const first = stride * Math.floor(Math.floor(low) / stride);
  for (let power = first; power <= high; power += mantissas.length > 1 ? 1 : stride) {
    for (const m of mantissas) ticks.push(power + Math.log10(m));
  }
  return labelled(ticks.filter((height) => height >= low - 1e-9 && height <= high + 1e-9));
}

function labelled(heights) {
  const values = heights.map(valueOf);
  return { tickvals: heights, ticktext: values.map((value) => format(value, digitsOf(values))) };
}

// As many as tell each value from the one before: three, or more where a small range is far from zero.
function digitsOf(values) {
  const largest = Math.max(...values.map(Math.abs));
  const steps = values.slice(1).map((value, k) => Math.abs(value - values[k])).filter((step) => step > 0);
  if (state.log || !steps.length || !largest) return 3;
  return Math.min(15, Math.max(3, Math.ceil(Math.log10(largest / Math.min(...steps))) + 2));
}

// Drawing.

function look() {
  const style = getComputedStyle(root);
  const of = (name) => style.getPropertyValue(name).trim();
  return { ink: of("--ink"), soft: of("--soft"), line: of("--line"), card: of("--card"), font: getComputedStyle(document.body).fontFamily };
}

const quantityOf = (view) => view.quantities.get(state.quantity);

function prepare() {
  for (const view of views) {
    const q = quantityOf(view);
    view.heights = q ? heightsOf(q) : null;
    view.range = q ? rangeOf([view.heights]) : null;
  }
  const known = views.filter((view) => view.range && view.isLine === views[0].isLine);
  state.common = known.length ? rangeOf(known.map((view) => view.range)) : null;
}

async function drawAll() {
  prepare();
  showControls();
  for (const view of views) {
    const whole = state.shared ? state.common ?? view.range : view.range;
    view.shown = shownRange(view.range && whole);
    view.drawn = view.heights && clipped(view.heights);
    if (view.isLine) await drawLine(view);
    else await drawPlane(view);
    showNotes(view);
  }
  root.dataset.drawn = Number(root.dataset.drawn ?? 0) + 1;
}

function clipped(heights) {
  if (state.clip === null) return heights;
  const top = heightOf(state.clip);
  return heights.map((height) => Math.min(height, top));
}

// Rows along beta, as plotly.js wants them; null is a hole.
function rowsOf(view, step = 1) {
  const [nAlpha, nBeta] = [view.alpha.length, view.beta.length];
  const rows = [];
  for (const j of thinned(nBeta, step)) {
    rows.push(thinned(nAlpha, step).map((i) => {
      const height = view.drawn[i * nBeta + j];
      return Number.isNaN(height) ? null : height;
    }));
  }
  return rows;
}

function thinned(n, step) {
  const places = [];
  for (let k = 0; k < n; k += step) places.push(k);
  if (places.at(-1) !== n - 1) places.push(n - 1);
  return places;
}

async function drawPlane(view) {
  const colors = look();
  const q = quantityOf(view);
  const ticks = ticksOf(view.shown);
  const hasFaces = q && anyFace(view);
  const space = [];
  const flat = [];
  if (hasFaces) {
    space.push(surfaceTrace(view));
    flat.push(contourTrace(view, q, colors));
  } else if (q) {
    space.push(dots(view, true));
    flat.push(dots(view, false));
  }
  space.push(spotTrace(view));
  view.spotTrace = space.length - 1;
  if (q && state.paths) {
    space.push(...pathTraces(view, true));
    flat.push(...pathTraces(view, false));
  }
  if (q) flat.push(...brokenTrace(view, q, colors));
  const marks = markTraces(view, colors);
  await Plotly.react(view.space, [...space, ...marks.space], spaceLayout(view, q, ticks, colors), config(IN_SPACE));
  await Plotly.react(view.flat, [...flat, ...marks.flat], flatLayout(view, q, colors), config(FLAT));
}

function anyFace(view) {
  const n = view.beta.length;
  const here = (i, j) => !Number.isNaN(view.heights[i * n + j]);
  for (let i = 0; i + 1 < view.alpha.length; i += 1) {
    for (let j = 0; j + 1 < n; j += 1) {
      if (here(i, j) && here(i + 1, j) && here(i, j + 1) && here(i + 1, j + 1)) return true;
    }
  }
  return false;
}

// On a logarithmic scale they are even in the logarithm: 1, 1.78, 3.16, 5.62, 10 where 4 make a decade.
function levelsOf([low, high]) {
  const size = niceStep((high - low) / LEVELS);
  return { start: Math.ceil(low / size - 1e-9) * size, end: high, size };
}

// plotly.js takes the words of its colour bar for the labels on the lines, where both have a level.
function levelTicks(range) {
  const { start, end, size } = levelsOf(range);
  const heights = [];
  for (let k = 0; start + k * size <= end + 0.1 * size; k += 1) heights.push(start + k * size);
  return labelled(heights);
}

function surfaceTrace(view) {
  const step = Math.ceil(Math.max(view.alpha.length, view.beta.length) / POINTS_3D);
  const [low, high] = view.shown;
  return {
    type: "surface", name: "surface", hoverinfo: "none", showscale: false, colorscale: "Viridis", cmin: low, cmax: high,
    x: thinned(view.alpha.length, step).map((i) => view.alpha[i]),
    y: thinned(view.beta.length, step).map((j) => view.beta[j]),
    z: rowsOf(view, step),
    lighting: { ambient: 0.66, diffuse: 0.62, specular: 0.08, roughness: 0.75, fresnel: 0.05 },
    lightposition: { x: -900, y: -1400, z: 2600 },
    contours: { x: { highlight: false }, y: { highlight: false }, z: { show: true, color: "rgba(255,255,255,0.45)", width: 1, highlight: false, ...levelsOf(view.shown) } },
  };
}

function contourTrace(view, q, colors) {
  const [low, high] = view.shown;
  return {
    type: "contour", name: "contour", hoverinfo: "none", colorscale: "Viridis", zmin: low, zmax: high, autocontour: false,
    x: [...view.alpha], y: [...view.beta], z: rowsOf(view), connectgaps: false,
    contours: { coloring: "heatmap", showlabels: true, labelfont: { color: "#ffffff", size: 10, shadow: SHADOW }, ...levelsOf(view.shown) },
    line: { color: "rgba(255,255,255,0.55)", width: 0.8 },
    colorbar: { thickness: 14, len: 1, lenmode: "fraction", outlinewidth: 0, tickfont: { color: colors.soft, size: 11 }, ...levelTicks(view.shown),
      title: { text: withUnit(titleOf(q), { unit: q.unit && `(${q.unit})` }), side: "right", font: { color: colors.ink, size: 12 } } },
  };
}

// Points that make no face: an early round, or holes all around them.
function dots(view, inSpace) {
  const n = view.beta.length;
  const places = [...view.heights.keys()].filter((k) => !Number.isNaN(view.heights[k]));
  const [low, high] = view.shown;
  const trace = {
    type: inSpace ? "scatter3d" : "scatter", name: "points", mode: "markers", hoverinfo: "none", showlegend: false,
    x: places.map((k) => view.alpha[Math.floor(k / n)]), y: places.map((k) => view.beta[k % n]),
    marker: { size: inSpace ? 6 : 11, color: places.map((k) => view.drawn[k]), colorscale: "Viridis", cmin: low, cmax: high, line: { width: 1, color: "#888" } },
  };
  return inSpace ? { ...trace, z: places.map((k) => view.drawn[k]) } : trace;
}

function spotTrace(view) {
  return {
    type: "scatter3d", name: "spot", mode: "lines+markers", hoverinfo: "skip", showlegend: false, ...pin(view),
    marker: { size: [0.1, 8], color: "#e6399b", line: { color: "#ffffff", width: 2 } }, line: { color: "#e6399b", width: 5 },
  };
}

// A pin that stands on the marked point: its upper end and its head.
function pin(view) {
  const spot = spotOf(view);
  const height = spot && view.drawn ? view.drawn[spot.i * view.beta.length + spot.j] : NaN;
  if (Number.isNaN(height)) return { x: [null, null], y: [null, null], z: [null, null] };
  const room = view.shown[1] - view.shown[0];
  const [x, y] = [view.alpha[spot.i], view.beta[spot.j]];
  return { x: [x, x], y: [y, y], z: [height + 0.24 * room, height + 0.03 * room] };
}

function pathTraces(view, inSpace) {
  return view.paths.flatMap((path) => {
    const fine = path.dash ? between(path) : path;
    const base = { hoverinfo: "skip", showlegend: !inSpace, name: path.name, legendgroup: path.name };
    const traces = [];
    if (path.dash) {
      traces.push(laid(view, inSpace, fine, { ...base, name: path.name, mode: "lines", line: { color: "#ffffff", width: inSpace ? 8 : 4 }, showlegend: false }));
      traces.push(laid(view, inSpace, fine, { ...base, mode: "lines", line: { color: path.color, width: inSpace ? 5 : 2, dash: path.dash } }));
    }
    if (path.dots) {
      const drops = new Set(path.drops);
      const dotted = (places, name, color, size) => laid(view, inSpace, pick(path, places), {
        ...base, mode: "markers", name, legendgroup: name, showlegend: !inSpace && name !== path.name, marker: { color, size: inSpace ? 0.5 * size : size, line: { color: "#ffffff", width: 1 } },
      });
      const places = [...path.alpha.keys()];
      traces.push(dotted(places.filter((k) => !drops.has(k)), path.name, path.color, 5));
      if (drops.size) traces.push(dotted(path.drops, "learning rate dropped", path.dropped, 9));
    }
    return traces;
  });
}

const pick = (path, places) => ({ alpha: places.map((k) => path.alpha[k]), beta: places.map((k) => path.beta[k]) });

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
  const lift = 0.008 * (view.shown[1] - view.shown[0]);
  return { type: "scatter3d", x, y, z: x.map((a, k) => heightAt(view, a, y[k]) + lift), ...trace };
}

// Bilinear; NaN outside the plane.
function heightAt(view, alpha, beta) {
  const [i, s] = placeOn(view.alpha, alpha);
  const [j, t] = placeOn(view.beta, beta);
  const n = view.beta.length;
  if (i < 0 || j < 0 || !view.drawn) return NaN;
  const at = (a, b) => view.drawn[Math.min(a, view.alpha.length - 1) * n + Math.min(b, n - 1)];
  const weigh = (first, second, part) => (part === 0 ? first : (1 - part) * first + part * second);
  return weigh(weigh(at(i, j), at(i, j + 1), t), weigh(at(i + 1, j), at(i + 1, j + 1), t), s);
}

function placeOn(axis, value) {
  const n = axis.length;
  if (value < axis[0] || value > axis[n - 1]) return [-1, 0];
  let k = 0;
  while (k + 2 < n && axis[k + 1] <= value) k += 1;
  return n === 1 ? [0, 0] : [k, (value - axis[k]) / (axis[k + 1] - axis[k])];
}

function brokenTrace(view, q, colors) {
  const n = view.beta.length;
  const places = [...q.values.keys()].filter((k) => (!q.done || q.done[k]) && !Number.isFinite(q.values[k]));
  if (!places.length) return [];
  return [{
    type: "scatter", name: "not finite", mode: "markers", hoverinfo: "none", showlegend: true,
    x: places.map((k) => view.alpha[Math.floor(k / n)]), y: places.map((k) => view.beta[k % n]),
    marker: { symbol: "x-thin", size: 6, line: { width: 1.4, color: colors.soft } },
  }];
}

function markTraces(view) {
  const inside = (axis, value) => value >= axis[0] && value <= axis.at(-1);
  const marks = view.marks.filter((mark) => inside(view.alpha, mark.alpha) && inside(view.beta, mark.beta));
  const center = !marks.length && inside(view.alpha, 0) && inside(view.beta, 0);
  const places = center ? [{ letter: "", name: "center (0, 0)", alpha: 0, beta: 0 }] : marks;
  if (!places.length || !view.drawn) return { space: [], flat: [] };
  const [x, y] = [places.map((p) => p.alpha), places.map((p) => p.beta)];
  const text = places.map((p) => p.letter);
  const base = { x, y, text, hoverinfo: "skip", showlegend: false, mode: center ? "markers" : "markers+text" };
  const marker = { color: "#ffffff", line: { color: "#000000", width: 1 } };
  const font = { color: "#000000", size: 11, weight: 700 };
  const lift = 0.012 * (view.shown[1] - view.shown[0]);
  const z = x.map((a, k) => heightAt(view, a, y[k]) + lift);
  return {
    space: center ? [] : [{ ...base, type: "scatter3d", name: "marks", z, marker: { ...marker, size: 9 }, textfont: font }],
    flat: [{ ...base, type: "scatter", name: "marks", cliponaxis: false, marker: { ...marker, size: center ? 13 : 17, symbol: center ? "star" : "circle" }, textfont: font }],
  };
}

function spaceLayout(view, q, ticks, colors) {
  const [width, depth] = [view.alpha, view.beta].map((axis) => axis.at(-1) - axis[0]);
  const longer = Math.max(width, depth);
  const comparable = Math.max(width / depth, depth / width) <= 2.5;
  const axis = { color: colors.soft, gridcolor: colors.line, zerolinecolor: colors.line, showbackground: false, showspikes: false, tickfont: { size: 11 } };
  const pad = 0.02 * (view.shown[1] - view.shown[0]);
  return {
    margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: colors.card, font: { family: colors.font, color: colors.ink }, hovermode: "closest", showlegend: false,
    scene: {
      camera: state.camera, dragmode: "turntable", aspectmode: "manual",
      aspectratio: { x: comparable ? width / longer : 1, y: comparable ? depth / longer : 1, z: RELIEF },
      xaxis: { ...axis, title: { text: "α" }, range: [view.alpha[0], view.alpha.at(-1)], nticks: 6 },
      yaxis: { ...axis, title: { text: "β" }, range: [view.beta[0], view.beta.at(-1)], nticks: 6 },
      zaxis: { ...axis, title: { text: q ? titleOf(q) : "" }, range: [view.shown[0] - pad, view.shown[1] + pad], ...ticks },
    },
    annotations: q ? [] : [absent()],
  };
}

function flatLayout(view, q, colors) {
  const [width, depth] = [view.alpha, view.beta].map((axis) => axis.at(-1) - axis[0]);
  const comparable = Math.max(width / depth, depth / width) <= 2.5;
  const axis = { color: colors.soft, gridcolor: colors.line, zeroline: false, ticks: "outside", ticklen: 4, tickcolor: colors.line, tickfont: { size: 11 }, constrain: "domain", constraintoward: "right", nticks: 7 };
  return {
    margin: { l: 52, r: 10, t: 30, b: 46 }, paper_bgcolor: colors.card, plot_bgcolor: colors.card, font: { family: colors.font, color: colors.ink }, hovermode: "closest",
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    legend: { orientation: "h", x: 0, y: -0.14, font: { size: 11 } }, showlegend: view.paths.length > 0 && state.paths,
    xaxis: { ...axis, title: { text: `α  ${axisWords(view, "alpha")}`, font: { size: 12 } }, range: [view.alpha[0], view.alpha.at(-1)] },
    yaxis: { ...axis, constraintoward: "middle", title: { text: `β  ${axisWords(view, "beta")}`, font: { size: 12 } }, range: [view.beta[0], view.beta.at(-1)], ...(comparable ? { scaleanchor: "x", scaleratio: 1 } : {}) },
    annotations: q ? [] : [absent()],
    uirevision: "plane", shapes: crosshair(view),
  };
}

// What the axis is, where the file says more than that it is one.
function axisWords(view, name) {
  const words = view.axes[name];
  return /^coordinate along the (first|second) direction$/.test(words) ? "" : escaped(words);
}

const absent = () => ({ text: `this file has no ${escaped(state.quantity)}`, showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 });
// The buttons are named one by one: among those of plotly.js is one that sends the numbers away.
const config = (buttons) => ({
  displaylogo: false, responsive: true, scrollZoom: true, modeBarButtons: [buttons], plotlyServerURL: "", showSendToCloud: false,
  plotGlPixelRatio: DENSITY,
  toImageButtonOptions: { scale: 2 },
});
// Pixels that are drawn for one that is shown; without a GPU, four times as many would be slow.
const DENSITY = isDrawnByCpu() ? 1 : 2;
const IN_SPACE = ["toImage"];
const FLAT = ["toImage", "zoom2d", "pan2d", "resetScale2d"];

function isDrawnByCpu() {
  const gl = document.createElement("canvas").getContext("webgl");
  const asked = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = asked ? gl.getParameter(asked.UNMASKED_RENDERER_WEBGL) : "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}

// Lines.

const lineAxis = (view) => (view.beta.length === 1 || view.lines.length > 1 ? "alpha" : "beta");

// The same measure on both splits in one picture: training solid, test dashed.
function together(view) {
  const [, split, measure] = /^(train|test)_(loss|error)$/.exec(state.quantity) ?? [];
  const names = split ? [`train_${measure}`, `test_${measure}`] : [state.quantity];
  return names.map((name) => view.quantities.get(name)).filter(Boolean);
}

function lineValues(view, q, number) {
  const n = view.beta.length;
  if (lineAxis(view) === "beta") return [...q.values];
  return [...view.alpha.keys()].map((i) => q.values[i * n + number]);
}

async function drawLine(view) {
  const colors = look();
  const shownLines = together(view);
  const hues = ["#2a78b5", "#d1651f", "#2f9e74", "#b5488f", "#8a7a1f", "#6a5acd"];
  const traces = shownLines.flatMap((q) => view.lines.map((words, number) => ({
    type: "scatter", mode: view[lineAxis(view)].length > 60 ? "lines" : "lines+markers", hoverinfo: "none",
    name: [titleOf(q), words].filter(Boolean).join(", "), x: [...view[lineAxis(view)]],
    y: lineValues(view, q, number).map((v) => (Number.isFinite(v) && (!state.log || v > 0) ? v : null)),
    line: { color: hues[number % hues.length], width: 2, dash: q.name.startsWith("test_") ? "dash" : "solid" }, marker: { size: 4 },
  })));
  await Plotly.react(view.flat, traces, lineLayout(view, shownLines[0], colors), config(FLAT));
}

function lineLayout(view, q, colors) {
  const axis = { color: colors.soft, gridcolor: colors.line, zerolinecolor: colors.line, tickfont: { size: 11 } };
  const top = state.clip === null ? null : heightOf(state.clip);
  const heights = together(view).flatMap((one) => [rangeOf([heightsOf(one)])]).filter(Boolean);
  const [low, high] = shownRange(heights.length ? rangeOf(heights) : null);
  const pad = 0.04 * ((top ?? high) - low) || 1;
  const ticks = ticksOf([low, top ?? high]);
  const name = lineAxis(view);
  const letter = name === "alpha" ? "α" : "β";
  return {
    margin: { l: 64, r: 14, t: 30, b: 46 }, paper_bgcolor: colors.card, plot_bgcolor: colors.card, font: { family: colors.font, color: colors.ink },
    hovermode: "closest", hoverdistance: 60, dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    legend: { orientation: "h", x: 0, y: -0.16, font: { size: 11 } }, showlegend: true,
    xaxis: { ...axis, title: { text: `${letter}  ${axisWords(view, name)}`, font: { size: 12 } } },
    yaxis: { ...axis, type: state.log ? "log" : "linear", range: [low - pad, (top ?? high) + pad], tickvals: ticks.tickvals.map(valueOf), ticktext: ticks.ticktext,
      title: { text: q ? withUnit(titleOf(q).replace(/^(train|test) /, ""), { unit: q.unit && `(${q.unit})` }) : "", font: { size: 12 } } },
    annotations: q ? lettersOnLine(view, name, colors) : [absent()], shapes: crosshair(view),
  };
}

function lettersOnLine(view, name, colors) {
  return view.marks.map((mark) => ({ text: `<b>${mark.letter}</b>`, x: mark[name], y: 1, yref: "paper", yanchor: "top", showarrow: false, bgcolor: colors.card, bordercolor: colors.line }));
}

// The marked point, the same in every picture.

function nearest(axis, value) {
  let best = 0;
  for (let k = 1; k < axis.length; k += 1) if (Math.abs(axis[k] - value) < Math.abs(axis[best] - value)) best = k;
  return best;
}

function spotOf(view) {
  if (!state.spot) return null;
  const [i, j] = [nearest(view.alpha, state.spot.alpha), nearest(view.beta, state.spot.beta)];
  const off = (axis, k, value) => axis.length > 1 && Math.abs(axis[k] - value) > 0.51 * Math.abs(axis[1] - axis[0]) + 1e-12 * Math.abs(value);
  if (view.isLine) return lineAxis(view) === "alpha" ? { i, j: 0 } : { i: 0, j };
  return off(view.alpha, i, state.spot.alpha) || off(view.beta, j, state.spot.beta) ? null : { i, j };
}

const moveSpot = latestOnly(async () => {
  showReadouts();
  await markSpot();
  root.dataset.moved = Number(root.dataset.moved ?? 0) + 1;
});

async function markSpot() {
  for (const view of views) {
    await Plotly.relayout(view.flat, { shapes: crosshair(view) });
    if (view.isLine) continue;
    const { x, y, z } = pin(view);
    await Plotly.restyle(view.space, { x: [x], y: [y], z: [z] }, [view.spotTrace]);
  }
}

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

// Runs a task for the last call only, while one is under way.
function latestOnly(task) {
  let [busy, again] = [false, false];
  return async function ask() {
    if (busy) { again = true; return; }
    busy = true;
    await new Promise(requestAnimationFrame);
    try { await task(); } finally { busy = false; }
    if (again) { again = false; ask(); }
  };
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
    byId(`readout-${view.number}`).innerHTML = rows ? inWords(rows, " &nbsp; ") : "Point at a picture to read its values.";
  }
}

const pointer = { x: 0, y: 0 };

function showTip(view) {
  const tip = byId("tip");
  const rows = view && told(view);
  tip.hidden = !rows;
  if (!rows) return;
  tip.innerHTML = inWords(rows, "<br>");
  const { width, height } = tip.getBoundingClientRect();
  const left = pointer.x + 18 + width > innerWidth ? pointer.x - width - 18 : pointer.x + 18;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, Math.min(pointer.y + 14, innerHeight - height - 4))}px`;
}

function listen(view) {
  const point = (event) => {
    const { x, y } = event.points[0];
    if (typeof x !== "number") return;
    state.byKeys = false;
    state.spot = view.isLine && lineAxis(view) === "beta" ? { alpha: view.alpha[0], beta: x } : { alpha: x, beta: view.isLine ? view.beta[0] : y };
    moveSpot();
    showTip(view);
  };
  const leave = () => {
    showTip(null);
    if (!state.spot || state.byKeys) return;
    state.spot = null;
    moveSpot();
  };
  for (const plot of view.isLine ? [view.flat] : [view.space, view.flat]) {
    plot.on("plotly_hover", point);
    plot.addEventListener("mouseleave", leave);
  }
  view.flat.addEventListener("keydown", (event) => step(view, event));
  if (view.isLine) return;
  view.space.addEventListener("keydown", turn);
  const follow = (event) => { if (event["scene.camera"]) setCamera(event["scene.camera"], view); };
  view.space.on("plotly_relayouting", follow);
  view.space.on("plotly_relayout", follow);
}

function step(view, event) {
  const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowDown: [0, -1], ArrowUp: [0, 1] };
  const move = moves[event.key];
  if (event.key === "Escape") state.spot = null;
  else if (!move || event.altKey || event.ctrlKey || event.metaKey) return;
  else {
    const here = spotOf(view) ?? { i: nearest(view.alpha, 0), j: nearest(view.beta, 0) };
    const by = event.shiftKey ? 5 : 1;
    const within = (k, axis) => axis[Math.max(0, Math.min(axis.length - 1, k))];
    const [right, up] = view.isLine && lineAxis(view) === "beta" ? [0, move[0]] : move;
    state.spot = { alpha: within(here.i + by * right, view.alpha), beta: within(here.j + by * up, view.beta) };
  }
  event.preventDefault();
  state.byKeys = true;
  moveSpot();
}

// The camera, the same for every surface.

function cameraAt({ azimuth, elevation, distance }) {
  const [a, e] = [azimuth, elevation].map((degrees) => (degrees * Math.PI) / 180);
  return {
    eye: { x: distance * Math.cos(e) * Math.cos(a), y: distance * Math.cos(e) * Math.sin(a), z: distance * Math.sin(e) },
    up: { x: 0, y: 0, z: 1 }, center: { x: 0, y: 0, z: -0.1 },
  };
}

// Further away where a picture is narrow, so that the labels are in it.
function fitted(place) {
  const { clientWidth, clientHeight } = views.find((view) => !view.isLine)?.space ?? root;
  return cameraAt({ ...place, distance: place.distance * Math.max(1, (1.32 * clientHeight) / clientWidth) });
}

function setCamera(camera, from = null) {
  if (JSON.stringify(camera) === JSON.stringify(state.camera)) return;
  state.camera = structuredClone(camera);
  for (const view of views) {
    if (view !== from && !view.isLine) Plotly.relayout(view.space, { "scene.camera": structuredClone(camera) });
  }
}

function turn(event) {
  const eye = state.camera.eye;
  const distance = Math.hypot(eye.x, eye.y, eye.z);
  let [azimuth, elevation, factor] = [Math.atan2(eye.y, eye.x), Math.asin(eye.z / distance), 1];
  if (event.altKey || event.ctrlKey || event.metaKey) return;
  if (event.key === "ArrowLeft") azimuth -= TURN;
  else if (event.key === "ArrowRight") azimuth += TURN;
  else if (event.key === "ArrowUp") elevation += TURN;
  else if (event.key === "ArrowDown") elevation -= TURN;
  else if (event.key === "+" || event.key === "=") factor = 0.9;
  else if (event.key === "-") factor = 1 / 0.9;
  else if (event.key !== "0") return;
  event.preventDefault();
  const degrees = 180 / Math.PI;
  const place = { azimuth: azimuth * degrees, elevation: Math.max(-89.9, Math.min(89.9, elevation * degrees)), distance: distance * factor };
  setCamera(event.key === "0" ? fitted(START) : { ...state.camera, eye: cameraAt(place).eye });
}

// Controls.

function showControls() {
  const known = views.map(quantityOf).filter(Boolean);
  byId("log").disabled = !known.some((q) => q.values.some((value) => value > 0));
  byId("log").checked = state.log;
  byId("linear").checked = !state.log;
  byId("quantity").value = state.quantity;
  byId("shared").checked = state.shared;
  byId("paths").checked = state.paths;
  showClip();
}

function clipRange() {
  return state.common ?? views.map((view) => view.range).find(Boolean) ?? null;
}

function showClip() {
  const [slider, output, range] = [byId("clip"), byId("clipped"), clipRange()];
  slider.disabled = !range || range[0] === range[1];
  if (state.clip !== null && range && heightOf(state.clip) >= range[1]) state.clip = null;
  const part = state.clip === null ? 1 : (heightOf(state.clip) - range[0]) / (range[1] - range[0]);
  slider.value = Math.round(1000 * Math.max(0, part));
  const q = views.map(quantityOf).find(Boolean);
  output.textContent = state.clip === null ? "off" : withUnit(format(state.clip, 3), q);
  slider.setAttribute("aria-valuetext", output.textContent);
}

function showNotes(view) {
  const q = quantityOf(view);
  const notes = [];
  if (q) {
    const computed = q.done ? q.done.reduce((sum, flag) => sum + flag, 0) : q.values.length;
    const broken = q.values.filter((value, k) => (!q.done || q.done[k]) && !Number.isFinite(value)).length;
    if (computed < q.values.length) notes.push(`${computed} of ${q.values.length} points are computed; between them the picture joins the nearest.`);
    if (broken) notes.push(`${broken} ${broken === 1 ? "point is" : "points are"} not finite: nothing is drawn there${view.isLine ? "" : `, and × marks ${broken === 1 ? "it" : "them"}`}.`);
    const floored = state.log ? q.values.filter((value) => value <= 0).length : 0;
    if (floored) notes.push(`${floored} values are zero or negative, and ${view.isLine ? "left out" : "drawn as the smallest positive one"}.`);
    if (view.range && view.range[0] === view.range[1]) notes.push(`The same everywhere: ${withUnit(format(valueOf(view.range[0]), 6), q)}.`);
    if (!view.range) notes.push("No point is finite.");
  }
  const outside = view.paths.filter((path) => path.dots).reduce((sum, path) => sum + [...path.alpha.keys()].filter((k) => placeOn(view.alpha, path.alpha[k])[0] < 0 || placeOn(view.beta, path.beta[k])[0] < 0).length, 0);
  if (outside && state.paths) notes.push(`${outside} ${outside === 1 ? "point of a path lies" : "points of paths lie"} outside the picture.`);
  for (const mark of view.marks) notes.push(`${mark.letter}: ${mark.name}.`);
  const place = byId(`notes-${view.number}`);
  place.textContent = notes.join(" ");
  place.hidden = !notes.length;
}

const redraw = latestOnly(drawAll);

function suits() {
  const known = views.map(quantityOf).filter(Boolean);
  return known.some((q) => q.log) && !known.some((q) => q.values.some((value) => value <= 0));
}

function chooseQuantity(name) {
  state.quantity = name;
  state.clip = null;
  const positive = views.map(quantityOf).some((q) => q && q.values.some((value) => value > 0));
  state.log = positive && (state.chosen ? state.log : suits());
}

function listenToControls() {
  byId("quantity").addEventListener("change", (event) => { chooseQuantity(event.target.value); redraw(); });
  for (const id of ["linear", "log"]) {
    byId(id).addEventListener("change", () => {
      state.log = byId("log").checked;
      state.chosen = true;
      if (state.log && state.clip !== null && state.clip <= 0) state.clip = null;
      redraw();
    });
  }
  byId("clip").addEventListener("input", (event) => {
    const [low, high] = clipRange();
    const part = Number(event.target.value) / 1000;
    state.clip = part >= 1 ? null : valueOf(low + Math.max(part, 0.001) * (high - low));
    redraw();
  });
  for (const id of ["shared", "paths"]) {
    byId(id).addEventListener("change", (event) => { state[id] = event.target.checked; redraw(); });
  }
  byId("reset").addEventListener("click", () => setCamera(fitted(START)));
  byId("above").addEventListener("click", () => setCamera(fitted(ABOVE)));
  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", () => copy(button));
  }
}

async function copy(button) {
  const text = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(text.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(text);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

function fillControls() {
  const names = new Map(views.flatMap((view) => [...view.quantities.values()].map((q) => [q.name, titleOf(q)])));
  for (const [name, words] of names) byId("quantity").add(new Option(words, name));
  byId("shared-field").hidden = views.length < 2;
  byId("paths-field").hidden = !views.some((view) => view.paths.length);
  document.querySelector(".buttons").hidden = views.every((view) => view.isLine);
  return [...names.keys()];
}

// A page that is being watched loads itself again, and goes on where it was.

function restore(names) {
  try {
    Object.assign(state, JSON.parse(decodeURIComponent(location.hash.slice(1))));
  } catch { /* no state in the address, or another's */ }
  return names.includes(state.quantity);
}

function watch(seconds) {
  setInterval(() => {
    if (document.hidden || document.querySelector(":active")) return;
    const { quantity, log, chosen, clip, shared, paths, camera } = state;
    location.replace(`#${encodeURIComponent(JSON.stringify({ quantity, log, chosen, clip, shared, paths, camera }))}`);
    location.reload();
  }, 1000 * seconds);
}

async function start() {
  const script = document.createElement("script");
  script.textContent = await unpack("library");
  document.head.append(script);
  const content = JSON.parse(await unpack("data"));
  views = content.surfaces.map(viewOf);
  const names = fillControls();
  state.camera = fitted(START);
  if (content.log !== null) Object.assign(state, { log: content.log, chosen: true });
  if (!restore(names)) chooseQuantity(names[0]);
  await drawAll();
  views.forEach(listen);
  listenToControls();
  addEventListener("mousemove", (event) => { pointer.x = event.clientX; pointer.y = event.clientY; }, true);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  if (content.reload) watch(content.reload);
  root.dataset.state = "ready";
}

start().catch((problem) => {
  const place = byId("problem");
  place.hidden = false;
  place.textContent = `The pictures cannot be drawn in this browser (${problem.message}). It takes one of 2023 or later, with WebGL; the numbers below do not need it.`;
  root.dataset.state = "failed";
  console.error(problem);
});
