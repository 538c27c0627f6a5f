// Surfaces that are lines.

const lineAxis = (view) => (view.beta.length === 1 || view.lines.length > 1 ? "alpha" : "beta");

// The same measure on both splits in one picture: training solid, test dashed.
function together(view) {
  const [, split, measure] = /^(train|test)_(loss|error)$/.exec(state.quantity) ?? [];
  const names = split ? [`train_${measure}`, `test_${measure}`] : [state.quantity];
  return names.map((name) => view.quantities.get(name)).filter(Boolean);
}

function lineValues(view, q, number) {
  const n = view.beta.length;
  if (lineAxis(view) === "beta") return [...q.values];
  return [...view.alpha.keys()].map((i) => q.values[i * n + number]);
}

function heightOnLine(value) {
  const height = scales.flat.up(value);
  return Number.isFinite(height) ? height : null;
}

async function drawLine(view) {
  const colors = look();
  const shownLines = together(view);
  const hues = ["#2a78b5", "#d1651f", "#2f9e74", "#b5488f", "#8a7a1f", "#6a5acd"];
  const traces = shownLines.flatMap((q) => view.lines.map((words, number) => ({
    type: "scatter", mode: view[lineAxis(view)].length > 60 ? "lines" : "lines+markers",
    name: [titleOf(q), words].filter(Boolean).join(", "), x: [...view[lineAxis(view)]],
    y: lineValues(view, q, number).map(heightOnLine),
    line: { color: hues[number % hues.length], width: 2, dash: q.name.startsWith("test_") ? "dash" : "solid" }, marker: { size: 4 },
  })));
  await show(view.flat, traces, lineLayout(view, shownLines[0], colors), config(FLAT, view.flat));
}

function lineLayout(view, q, colors) {
  const axis = { color: colors.soft, gridcolor: colors.line, zerolinecolor: colors.line, tickfont: { size: 11 } };
  const [low, high] = view.shown.flat;
  const pad = 0.04 * (high - low);
  const name = lineAxis(view);
  const letter = name === "alpha" ? "α" : "β";
  return {
    margin: { l: 64, r: 14, t: 30, b: 46 }, paper_bgcolor: colors.card, plot_bgcolor: colors.card, font: { family: colors.font, color: colors.ink },
    hovermode: false, dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
    legend: { orientation: "h", x: 0, y: -0.16, font: { size: 11 } }, showlegend: true,
    xaxis: { ...axis, title: { text: `${letter}  ${axisWords(view, name)}`, font: { size: 12 } } },
    yaxis: { ...axis, range: [low - pad, high + pad], ...ticksOf(scales.flat, [low, high]),
      title: { text: q ? withUnit(titleOf(q).replace(/^(train|test) /, ""), { unit: q.unit && `(${q.unit})` }) : "", font: { size: 12 } } },
    annotations: q ? lettersOnLine(view, name, colors) : [absent()], shapes: crosshair(view),
  };
}

function lettersOnLine(view, name, colors) {
  return view.marks.map((mark) => ({ text: `<b>${mark.letter}</b>`, x: mark[name], y: 1, yref: "paper", yanchor: "top", showarrow: false, bgcolor: colors.card, bordercolor: colors.line }));
}
