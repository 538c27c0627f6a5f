// Full screen: the controls and the surfaces in space, and nothing else.

async function toggleScreen() {
  if (document.fullscreenElement) await document.exitFullscreen();
  else await root.requestFullscreen();
}

const fillScreen = latestOnly(async () => {
  byId("screen").setAttribute("aria-pressed", Boolean(document.fullscreenElement));
  for (const view of views) await Plotly.Plots.resize(view.isLine ? view.flat : view.space);
});

function listenToScreen() {
  byId("screen").hidden = !document.fullscreenEnabled; // as on an iPhone
  byId("screen").addEventListener("click", toggleScreen);
  document.addEventListener("fullscreenchange", fillScreen);
}
