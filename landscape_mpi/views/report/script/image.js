// A picture as a large PNG without a ground, to lay on any slide.

const IMAGE_WIDTH = 3200; // pixels
const CLEAR = "rgba(0,0,0,0)";

const imageButton = (plot) => ({
  name: "image", title: "Save as a large PNG without a ground", icon: Plotly.Icons.camera, click: () => saveImage(plot),
});

// As large letters, over the picture, as are seen.
function imageOf({ data, layout, clientWidth: width, clientHeight: height }) {
  const clear = { paper_bgcolor: CLEAR, plot_bgcolor: CLEAR, scene: layout.scene && { ...layout.scene, bgcolor: CLEAR } };
  const scale = IMAGE_WIDTH / width;
  return Plotly.toImage({ data, layout: { ...layout, ...clear, width, height }, config: { plotGlPixelRatio: scale } }, { format: "png", width, height, scale });
}

async function saveImage(plot) {
  count("busy", 1);
  try {
    const link = document.createElement("a");
    const view = views.find(({ space, flat }) => [space, flat].includes(plot));
    link.download = `${view.name}_${plot === view.space ? "space" : "plane"}.png`;
    link.href = await imageOf(plot);
    link.click();
  } finally { count("busy", -1); }
}
