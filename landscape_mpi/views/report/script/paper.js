// Printing: black on white. What WebGL has drawn is not printed, so each surface leaves an image of
// itself; flat pictures are lines and letters, which the style makes as wide as the column.

const PAPER = { ink: "#000000", soft: "#000000", line: "#bbbbbb", card: "#ffffff" };

function toPaper() {
  for (const view of views) {
    if (!view.isLine) leaveStill(view);
    fitToColumn(view.flat);
  }
}

// Without waiting for anything: the browser prints as soon as this has run.
function leaveStill(view) {
  Plotly.react(view.space, view.space.data, spaceLayout(view, quantityOf(view), { ...look(), ...PAPER }), view.space._context);
  view.space._fullLayout.scene._scene.glplot.redraw();
  const drawn = view.space.querySelector("canvas");
  const still = document.createElement("canvas");
  Object.assign(still, { className: "still", width: drawn.width, height: drawn.height });
  still.getContext("2d").drawImage(drawn, 0, 0);
  view.space.before(still);
}

function fitToColumn(plot) {
  const { clientWidth: width, clientHeight: height } = plot;
  plot.style.setProperty("--shape", `${width} / ${height}`);
  for (const svg of plot.querySelectorAll(".main-svg")) svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
}

function fromPaper() {
  for (const still of document.querySelectorAll(".still")) still.remove();
  redraw();
}
