// The surfaces, as they are packed in the page.

// By places: Uint8Array.from asks the text for one letter after the other, in ten times the time.
function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let k = 0; k < bytes.length; k += 1) bytes[k] = text.charCodeAt(k);
  return bytes;
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
