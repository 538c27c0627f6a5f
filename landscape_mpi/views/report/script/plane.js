// A surface in space, and its contours.

const POINTS_3D = 401; // of an axis in space; finer grids are thinned there
const SHADOW = "0 0 3px #000000, 0 0 2px #000000, 0 0 1px #000000"; // of white letters on any colour
const BAR = { left: 16, width: 14, above: 12, labels: 16 }; // pixels; labels that have room
const BRIGHTEST = "#fde725"; // of the colours
const HEIGHTS = 4; // ticks on the upright axis, at most about: a turned one has less room
const NARROW = 420; // pixels: a flat picture with room for few words
const SMOOTH = 101; // points of an axis: with more, curved lines look like straight ones and take twice the time
const REACH = 1000; // times the height of the box
const RELIEF = 0.66; // height of the box over its longer side

// Rows along beta, as plotly.js wants them; null is a hole.
function rowsOf(view, heights, step = 1) {
  const [nAlpha, nBeta] = [view.alpha.length, view.beta.length];
  const rows = [];
  for (const j of thinned(nBeta, step)) {
    rows.push(thinned(nAlpha, step).map((i) => {
      const height = heights[i * nBeta + j];
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
  const hasFaces = q && anyFace(view);
  const space = [];
  const flat = [];
  if (hasFaces) {
    space.push(surfaceTrace(view));
    flat.push(...contourTraces(view, q, colors));
  } else if (q) {
    space.push(dots(view, true));
    flat.push(dots(view, false));
  }
  space.push(spotTrace(view), ...ballTraces(view));
  view.spotTrace = space.findIndex((trace) => trace.name === "spot");
  if (q && state.paths) {
    space.push(...pathTraces(view, true));
    flat.push(...pathTraces(view, false));
  }
  if (q) flat.push(...brokenTrace(view, q, colors));
  const marks = markTraces(view, colors);
  const lines = hasFaces ? Object.values(linesInSpace(view)).map(({ show }) => show).join() : "none";
  if (![undefined, lines].includes(view.linesShown)) Plotly.purge(view.space); // or plotly.js leaves the old ones
  view.linesShown = lines;
  await show(view.space, [...space, ...marks.space], spaceLayout(view, q, colors), { ...config(IN_SPACE, view.space), scrollZoom: false });
  await show(view.flat, [...flat, ...marks.flat], flatLayout(view, q, colors), config(FLAT, view.flat));
}

function anyFace(view) {
  const n = view.beta.length;
  const here = (i, j) => !Number.isNaN(view.heights.flat[i * n + j]);
  for (let i = 0; i + 1 < view.alpha.length; i += 1) {
    for (let j = 0; j + 1 < n; j += 1) {
      if (here(i, j) && here(i + 1, j) && here(i, j + 1) && here(i + 1, j + 1)) return true;
    }
  }
  return false;
}

// Graphics have 7 digits: beside heights far beyond a cut, all others would be equal.
function inReach(heights, [low, high]) {
  const reach = REACH * (high - low);
  return heights.map((height) => Math.max(low - reach, Math.min(high + reach, height)));
}

function surfaceTrace(view) {
  const step = Math.ceil(Math.max(view.alpha.length, view.beta.length) / POINTS_3D);
  const [low, high] = view.shown.flat;
  return {
    type: "surface", name: "surface", showscale: false, colorscale: "Viridis", cmin: low, cmax: high,
    x: thinned(view.alpha.length, step).map((i) => view.alpha[i]),
    y: thinned(view.beta.length, step).map((j) => view.beta[j]),
    z: rowsOf(view, inReach(view.heights.space, view.shown.space), step), surfacecolor: rowsOf(view, view.heights.flat, step),
    ...LIGHTS[state.light], hidesurface: state.wires, contours: linesInSpace(view),
  };
}

// The colours with the lines of the longest run of levels, and the lines of the others.
function contourTraces(view, q, colors) {
  const levels = levelsOf(view);
  const runs = runsOfLevels(levels);
  const [low, high] = view.shown.flat;
  const base = {
    type: "contour", autocontour: false, connectgaps: false, zmin: low, zmax: high,
    x: [...view.alpha], y: [...view.beta], z: rowsOf(view, view.heights.flat), line: { color: "rgba(255,255,255,0.55)", width: 0.8, smoothing: Math.max(view.alpha.length, view.beta.length) < SMOOTH ? 1 : 0 },
  };
  return runs.map((run, k) => {
    const contours = { coloring: k ? "none" : "heatmap", showlabels: true, labelfont: { color: "#ffffff", size: 10, shadow: SHADOW }, ...run };
    // Labels of one trace know nothing of those of another, and without a bar they are heights.
    if (k) return { ...base, name: "more lines", contours: { ...contours, showlabels: k === 1 && scales.flat.kind === "linear" }, showscale: false, showlegend: false };
    return { ...base, name: "contour", contours, colorscale: "Viridis", colorbar: barOf(view, q, levels, run, colors) };
  });
}

// plotly.js takes the words of its colour bar for the labels on the lines, where both have a level.
function barOf(view, q, levels, run, colors) {
  const { up, down } = scales.flat;
  const [low, high] = view.shown.flat;
  const labels = heightsAt(run);
  const isFree = (height) => labels.every((other) => Math.abs(other - height) >= (high - low) / BAR.labels);
  for (const height of [up(0), ...levels]) if (height >= low && height <= high && isFree(height)) labels.push(height);
  const ticks = labelled(scales.flat, labels.sort((a, b) => a - b).map(down));
  return {
    x: 1, xpad: BAR.left, ypad: BAR.above, thickness: BAR.width, len: 1, lenmode: "fraction", outlinewidth: 0, tickfont: { color: colors.soft, size: 11 }, ...ticks,
    title: { text: withUnit(titleOf(q), { unit: q.unit && `(${q.unit})` }), side: "right", font: { color: colors.ink, size: 12 } },
  };
}

// On the bar, where values lie above its end.
function arrowOf(view, aboveEnd) {
  if (!aboveEnd) return [];
  const [left, bottom] = [BAR.left, -BAR.above];
  const path = `M ${left} ${bottom} L ${left + BAR.width} ${bottom} L ${left + BAR.width / 2} ${bottom + BAR.above} Z`;
  return [{ type: "path", name: "arrow", path, xref: "paper", yref: "paper", xsizemode: "pixel", ysizemode: "pixel", xanchor: 1, yanchor: 1, fillcolor: BRIGHTEST, line: { width: 0 } }];
}

// Points that make no face: an early round, or holes all around them.
function dots(view, inSpace) {
  const n = view.beta.length;
  const { flat, space } = view.heights;
  const places = [...flat.keys()].filter((k) => !Number.isNaN(flat[k]));
  const [low, high] = view.shown.flat;
  const trace = {
    type: inSpace ? "scatter3d" : "scatter", name: "points", mode: "markers", showlegend: false,
    x: places.map((k) => view.alpha[Math.floor(k / n)]), y: places.map((k) => view.beta[k % n]),
    marker: { size: inSpace ? 6 : 11, color: places.map((k) => flat[k]), colorscale: "Viridis", cmin: low, cmax: high, line: { width: 1, color: "#888" } },
  };
  return inSpace ? { ...trace, z: places.map((k) => space[k]) } : trace;
}

function brokenTrace(view, q, colors) {
  const n = view.beta.length;
  const places = [...q.values.keys()].filter((k) => (!q.done || q.done[k]) && !Number.isFinite(q.values[k]));
  if (!places.length) return [];
  return [{
    type: "scatter", name: "not finite", mode: "markers", showlegend: true,
    x: places.map((k) => view.alpha[Math.floor(k / n)]), y: places.map((k) => view.beta[k % n]),
    marker: { symbol: "x-thin", size: 6, line: { width: 1.4, color: colors.soft } },
  }];
}

const spanOf = (axis) => axis.at(-1) - axis[0];
const isComparable = (width, depth) => Math.max(width / depth, depth / width) <= 2.5;

// Of the box in space.
function sidesOf(view) {
  const [width, depth] = [spanOf(view.alpha), spanOf(view.beta)];
  const [x, y] = isComparable(width, depth) ? [width, depth].map((side) => side / Math.max(width, depth)) : [1, 1];
  return { x, y, z: RELIEF };
}

// Of the upright axis; plotly.js draws nothing outside it, which cuts a surface.
function endsOf(view) {
  const [low, high] = view.shown.space;
  const pad = 0.02 * (high - low);
  // The same for all planes, so that the same height is at the same place.
  const drawn = views.filter((other) => !other.isLine && other.ranges.space && other.isAlone.space === view.isAlone.space);
  const [isCutBelow, isCutAbove] = [drawn.some((other) => low > other.ranges.space[0]), drawn.some((other) => high < other.ranges.space[1])];
  return [isCutBelow ? low : low - pad, isCutAbove ? high : high + pad];
}

function spaceLayout(view, q, colors) {
  view.ends = endsOf(view);
  const { letters } = colors;
  const axis = { color: colors.soft, gridcolor: colors.line, zerolinecolor: colors.line, showbackground: false, showspikes: false, tickfont: { size: 11 * Math.sqrt(letters) } }; // plotly.js draws them larger by its square
  const title = (text) => ({ text, font: { size: 12 * letters } });
  return {
    margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: colors.card, font: { family: colors.font, color: colors.ink }, hovermode: false, showlegend: false,
    scene: {
      camera: structuredClone(state.camera), dragmode: false, aspectmode: "manual",
      aspectratio: sidesOf(view), hovermode: false,
      xaxis: { ...axis, title: title("α"), range: [view.alpha[0], view.alpha.at(-1)], ...innerTicks(view.alpha) },
      yaxis: { ...axis, title: title("β"), range: [view.beta[0], view.beta.at(-1)], ...innerTicks(view.beta) },
      zaxis: { ...axis, title: title(q ? titleOf(q) : ""), range: view.ends, ...ticksOf(scales.space, view.ends, HEIGHTS) },
    },
    annotations: q ? [] : [absent()],
  };
}

function flatLayout(view, q, colors, width = view.flat.clientWidth) {
  const comparable = isComparable(spanOf(view.alpha), spanOf(view.beta));
  const axis = { color: colors.soft, gridcolor: colors.line, zeroline: false, ticks: "outside", ticklen: 4, tickcolor: colors.line, tickfont: { size: 11 }, constrain: "domain", constraintoward: "right", nticks: 7 };
  return {
    margin: { l: 52, r: 10, t: 36, b: 46 }, paper_bgcolor: colors.card, plot_bgcolor: colors.card, font: { family: colors.font, color: colors.ink }, hovermode: false,
    dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    legend: { orientation: "h", x: 0, y: -0.14, font: { size: 11 } }, showlegend: view.paths.length > 0 && state.paths,
    xaxis: { ...axis, title: { text: `α  ${axisWords(view, "alpha")}`, font: { size: 12 } }, range: [view.alpha[0], view.alpha.at(-1)] },
    yaxis: { ...axis, constraintoward: "middle", title: { text: `β  ${axisWords(view, "beta")}`, font: { size: 12 } }, range: [view.beta[0], view.beta.at(-1)], ...(comparable ? { scaleanchor: "x", scaleratio: 1 } : {}) },
    modebar: { bgcolor: "rgba(0,0,0,0)" }, annotations: q ? beyondNote(view, colors, width) : [absent()],
    uirevision: "plane", shapes: shapesOf(view),
  };
}

// What the axis is, where the file says more than that it is one.
function axisWords(view, name) {
  const words = view.axes[name];
  return /^coordinate along the (first|second) direction$/.test(words) ? "" : escaped(words);
}

const shapesOf = (view) => [...crosshair(view), ...arrowOf(view, beyond(view)), ...ballShapes(view)];

function beyondNote(view, colors, width) {
  const words = beyond(view);
  const isNarrow = width < NARROW;
  return words ? [{ text: isNarrow ? words.replace(/ of the (plane|line) is/, "") : words, showarrow: false, xref: "x domain", yref: "y domain", x: 0, y: 1, xanchor: "left", yanchor: "bottom", yshift: 17, font: { size: 11, color: colors.soft } }] : [];
}
