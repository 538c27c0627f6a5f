// The controls.

const SCALE_NAMES = ["auto", "linear", "log", "symlog"];

const hasPositive = () => views.map(quantityOf).some((q) => q && q.values.some((value) => value > 0));

function showControls() {
  byId("log").disabled = !hasPositive();
  for (const name of SCALE_NAMES) byId(name).checked = state.scale === name;
  byId("quantity").value = state.quantity;
  byId("shared").checked = state.shared;
  byId("paths").checked = state.paths;
  byId("light").value = state.light;
  byId("light").disabled = state.wires;
  byId("wires").checked = state.wires;
  showBallControls();
  showClip();
}

// The slider goes over heights in space.
function clipRange() {
  return common ?? views.map((view) => view.ranges.space).find(Boolean) ?? null;
}

function showClip() {
  const [slider, output, range] = [byId("clip"), byId("clipped"), clipRange()];
  const { up } = scales.space;
  slider.disabled = !range || range[0] === range[1];
  if (state.clip !== null && range && !(up(state.clip) < range[1])) state.clip = null;
  const part = state.clip === null ? 1 : (up(state.clip) - range[0]) / (range[1] - range[0]);
  slider.value = Math.round(1000 * Math.max(0, part));
  const q = views.map(quantityOf).find(Boolean);
  output.textContent = state.clip === null ? "off" : withUnit(format(state.clip, 3), q);
  slider.setAttribute("aria-valuetext", output.textContent);
}

function chooseQuantity(name) {
  Object.assign(state, { quantity: name, clip: null, floor: null });
  if (state.scale === "log" && !hasPositive()) state.scale = "auto";
}

function chooseScale(name) {
  state.scale = name;
  if (name === "log" && state.clip !== null && state.clip <= 0) state.clip = null;
}

function listenToControls() {
  byId("quantity").addEventListener("change", (event) => { chooseQuantity(event.target.value); redraw(); });
  for (const name of SCALE_NAMES) {
    byId(name).addEventListener("change", () => { chooseScale(name); redraw(); });
  }
  byId("clip").addEventListener("input", (event) => {
    const [low, high] = clipRange();
    const part = Number(event.target.value) / 1000;
    state.clip = part >= 1 ? null : scales.space.down(low + Math.max(part, 0.001) * (high - low));
    redraw();
  });
  for (const id of ["shared", "paths", "wires"]) {
    byId(id).addEventListener("change", (event) => { state[id] = event.target.checked; redraw(); });
  }
  for (const [id, place] of Object.entries(VIEWS)) {
    byId(id).addEventListener("click", () => { stopTurning(); setCamera(fitted(place)); });
  }
  byId("light").addEventListener("change", (event) => { state.light = event.target.value; redraw(); });
  listenToBall();
  listenToScreen();
  byId("turn").addEventListener("click", () => (state.turning ? stopTurning() : startTurning()));
  byId("link").addEventListener("click", copyLink);
  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", () => copy(button));
  }
}

async function copy(button) {
  const text = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(text.textContent);
    answer(button, "Copied");
  } catch {
    getSelection().selectAllChildren(text);
    answer(button, "Selected");
  }
}

// A button says for a while whether it worked.
function answer(button, words) {
  button.dataset.words ??= button.textContent;
  button.textContent = words;
  setTimeout(() => { button.textContent = button.dataset.words; }, 2000);
}

function fillControls() {
  for (const name of quantityNames()) byId("quantity").add(new Option(titleOf({ name }), name));
  byId("shared-field").hidden = views.length < 2;
  byId("paths-field").hidden = !views.some((view) => view.paths.length);
  for (const control of document.querySelectorAll(".of-planes")) control.hidden = views.every((view) => view.isLine);
  foldView(matchMedia("(max-width: 560px)"));
}

// On a phone the pictures come first.
function foldView(isNarrow) {
  byId("showing").open = !isNarrow.matches;
  isNarrow.addEventListener("change", () => { byId("showing").open = !isNarrow.matches; });
}

const quantityNames = () => [...new Set(views.flatMap((view) => [...view.quantities.keys()]))];
