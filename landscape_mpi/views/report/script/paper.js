// Printing: black on white. What WebGL has drawn is not printed, so each surface leaves an image of
// itself; flat pictures are drawn again for the width of a column, and the style makes them fit.

const PAPER = { ink: "#000000", soft: "#000000", line: "#bbbbbb", card: "#ffffff" };
const COLUMN = 360; // pixels of a column on paper, in which letters have the size that they have on the page
const SHAPES = { plane: 0.8, line: 0.72 }; // height of a flat picture over its width

// Without waiting for anything: the browser prints as soon as this has run.
function toPaper() {
  const colors = { ...look(), ...PAPER };
  for (const view of views) {
    if (!view.isLine) leaveStill(view, colors);
    fitToColumn(view, colors);
  }
}

// Its letters have on paper the size of all others.
function leaveStill(view, colors) {
  const letters = Math.max(1, view.space.clientWidth / COLUMN);
  Plotly.react(view.space, view.space.data, spaceLayout(view, quantityOf(view), { ...colors, letters }), view.space._context);
  view.space._fullLayout.scene._scene.glplot.redraw();
  const drawn = view.space.querySelector("canvas");
  const still = document.createElement("canvas");
  Object.assign(still, { className: "still", width: drawn.width, height: drawn.height });
  still.getContext("2d").drawImage(drawn, 0, 0);
  view.space.before(still);
}

function fitToColumn(view, colors) {
  const plot = view.flat;
  const isAlone = views.length === 1 && view.isLine; // as wide as the sheet
  const width = (isAlone ? 2 : 1) * COLUMN;
  const height = Math.round((isAlone ? 0.5 : 1) * (view.isLine ? SHAPES.line : SHAPES.plane) * width);
  const layout = view.isLine ? lineLayout(view, together(view)[0], colors) : flatLayout(view, quantityOf(view), colors, width);
  Plotly.react(plot, plot.data, { ...layout, width, height }, plot._context);
  plot.style.setProperty("--shape", `${width} / ${height}`);
  for (const svg of plot.querySelectorAll(".main-svg")) svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
}

function fromPaper() {
  for (const still of document.querySelectorAll(".still")) still.remove();
  redraw();
}
