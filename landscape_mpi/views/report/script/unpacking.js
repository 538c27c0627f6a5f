// The surfaces, as they are packed in the page.

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

async function unpack(id) {
  const element = byId(id);
  const stream = new Blob([bytesOf(element.textContent.trim())]).stream();
  element.remove();
  return new Response(stream.pipeThrough(new DecompressionStream("gzip"))).text();
}

const floats = (text) => new Float64Array(bytesOf(text).buffer);
const valuesOf = { f8: floats, f4: (text) => Float64Array.from(new Float32Array(bytesOf(text).buffer)) };
const integers = (text) => new Int32Array(bytesOf(text).buffer);

function viewOf(packed, number) {
  const quantities = new Map(packed.quantities.map((q) => [q.name, unpackQuantity(q)]));
  const paths = packed.paths.map((path) => ({
    ...path, alpha: floats(path.alpha), beta: floats(path.beta),
  }));
  return {
    ...packed, number, quantities, paths,
    alpha: floats(packed.alpha), beta: floats(packed.beta), isLine: packed.kind === "line",
    space: byId(`space-${number}`), flat: byId(`flat-${number}`),
  };
}

function unpackQuantity(q) {
  const gaps = q.gaps && { places: integers(q.gaps.places), corners: integers(q.gaps.corners), weights: floats(q.gaps.weights) };
  return { ...q, values: valuesOf[q.kind](q.values), done: q.done && bytesOf(q.done), gaps };
}
