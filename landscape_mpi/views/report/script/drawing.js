// All pictures.

function look() {
  const style = getComputedStyle(root);
  const of = (name) => style.getPropertyValue(name).trim();
  return { ink: of("--ink"), soft: of("--soft"), line: of("--line"), card: of("--card"), font: getComputedStyle(document.body).fontFamily, letters: 1 };
}

const quantityOf = (view) => view.quantities.get(state.quantity);

async function drawAll() {
  prepare();
  rollBalls();
  showControls();
  for (const view of views) {
    if (view.isLine) await drawLine(view);
    else await drawPlane(view);
    showNotes(view);
    showBallWords(view);
  }
  count("drawn", 1);
}

const redraw = latestOnly(drawAll);

const absent = () => ({ text: `this file has no ${escaped(state.quantity)}`, showarrow: false, xref: "paper", yref: "paper", x: 0.5, y: 0.5 });
// With options that hold a function of their own, plotly.js takes every change for another plot: it
// would draw all of it twice, in a WebGL context that is made for it. They stay those of the first time.
const show = (plot, traces, layout, options) => Plotly.react(plot, traces, layout, plot._context ? undefined : options);

// The buttons are named one by one: among those of plotly.js is one that sends the numbers away.
const config = (buttons, plot) => ({
  displaylogo: false, responsive: true, scrollZoom: true, modeBarButtons: [[imageButton(plot), ...buttons]], plotlyServerURL: "", showSendToCloud: false,
  plotGlPixelRatio: DENSITY,
});
// Pixels that are drawn for one that is shown; without a GPU, four times as many would be slow.
const DENSITY = isDrawnByCpu() ? 1 : 2;
const IN_SPACE = [];
const FLAT = ["zoom2d", "pan2d", "resetScale2d"];

function isDrawnByCpu() {
  const gl = document.createElement("canvas").getContext("webgl");
  const asked = gl?.getExtension("WEBGL_debug_renderer_info");
  const name = asked ? gl.getParameter(asked.UNMASKED_RENDERER_WEBGL) : "";
  gl?.getExtension("WEBGL_lose_context")?.loseContext();
  return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
}
