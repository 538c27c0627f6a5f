// How a surface in space is lit, and its grid of wires.

const LIGHTS = {
  soft: { lighting: { ambient: 0.52, diffuse: 0.6, specular: 0.06, roughness: 0.75, fresnel: 0.05 }, lightposition: { x: -900, y: -1400, z: 2600 } },
  low: { lighting: { ambient: 0.2, diffuse: 0.95, specular: 0.25, roughness: 0.4, fresnel: 0.1 }, lightposition: { x: -3000, y: 1500, z: 300 } },
  none: { lighting: { ambient: 1, diffuse: 0, specular: 0, roughness: 1, fresnel: 0 } }, // the colours of the bar
};
const WIRES = 50; // along an axis, at most

// The lines of a surface over x, y and z. Surfaces with holes have no lines of equal height: on 21 x 17
// points with 64 holes, plotly.js searched for them for half a minute, and the browser stood still.
function linesInSpace(view) {
  const hidden = { show: false, highlight: false };
  if (state.wires) return { x: wiresAlong(view.alpha), y: wiresAlong(view.beta), z: hidden };
  if (view.heights.space.some(Number.isNaN)) return { x: hidden, y: hidden, z: hidden };
  return { x: hidden, y: hidden, z: { show: true, color: "rgba(255,255,255,0.45)", width: 1, highlight: false, ...evenLevels(view.shown.space) } };
}

// On the points of the grid; at its ends plotly.js draws none.
function wiresAlong(axis) {
  const size = (spanOf(axis) / (axis.length - 1)) * Math.ceil((axis.length - 1) / WIRES);
  return { show: true, highlight: false, usecolormap: true, width: 2, start: axis[0] + size, end: axis.at(-1) - size / 2, size };
}
