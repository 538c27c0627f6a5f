// The beginning; a page that is being watched loads itself again, and goes on where it was.

function restore(names) {
  try {
    Object.assign(state, JSON.parse(decodeURIComponent(location.hash.slice(1))));
  } catch { /* no state in the address, or another's */ }
  return names.includes(state.quantity);
}

function watch(seconds) {
  setInterval(() => {
    if (document.hidden || document.querySelector(":active")) return;
    const { quantity, scale, clip, floor, shared, paths, camera } = state;
    location.replace(`#${encodeURIComponent(JSON.stringify({ quantity, scale, clip, floor, shared, paths, camera }))}`);
    location.reload();
  }, 1000 * seconds);
}

async function start() {
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  const script = document.createElement("script");
  script.textContent = await unpack("library");
  document.head.append(script);
  const content = JSON.parse(await unpack("data"));
  views = content.surfaces.map(viewOf);
  usualScales = content.scales;
  const names = fillControls();
  state.camera = fitted(START);
  state.scale = content.scale ?? "auto";
  if (!restore(names)) {
    chooseQuantity(names[0]);
    [state.floor, state.clip] = content.ends;
  }
  await drawAll();
  views.forEach(listen);
  listenToControls();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
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
