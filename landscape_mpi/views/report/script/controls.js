// The controls.

const SCALE_NAMES = ["auto", "linear", "log", "symlog"];

const hasPositive = () => views.map(quantityOf).some((q) => q && q.values.some((value) => value > 0));

function showControls() {
  byId("log").disabled = !hasPositive();
  for (const name of SCALE_NAMES) byId(name).checked = state.scale === name;
  byId("quantity").value = state.quantity;
  byId("shared").checked = state.shared;
  byId("paths").checked = state.paths;
  showClip();
}

// The slider goes over heights in space.
function clipRange() {
  return common.space ?? views.map((view) => view.ranges.space).find(Boolean) ?? null;
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
