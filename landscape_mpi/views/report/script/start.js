// The beginning; a page that is being watched loads itself again, and goes on where it was.

function watch(seconds) {
  setInterval(() => {
    if (document.hidden || document.querySelector(":active")) return;
    location.replace(fragmentOf());
    location.reload();
  }, 1000 * seconds);
}

async function start() {
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  setStylesAsObjects();
  const script = document.createElement("script");
  script.textContent = await unpack("library");
  document.head.append(script);
  const content = JSON.parse(await unpack("data"));
  views = content.surfaces.map(viewOf);
  usualScales = content.scales;
  fillControls();
  Object.assign(VIEWS.reset, content.view);
  VIEWS.below.azimuth = content.view.azimuth;
  state.camera = fitted(VIEWS.reset);
  state.scale = content.scale ?? "auto";
  chooseQuantity(quantityNames()[0]);
  const [floor, clip] = content.ends;
  if (!restore()) Object.assign(state, { floor, clip });
  await drawAll();
  showReadouts();
  views.forEach(listen);
  listenToControls();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  addEventListener("hashchange", reopen);
  addEventListener("beforeprint", toPaper);
  addEventListener("afterprint", fromPaper);
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
