"""The scalar bar of a rendered mesh, drawn by matplotlib for its labels of round values."""

from __future__ import annotations

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from landscape_mpi.views.mesh_view import MeshView

DPI = 100
LETTER = 0.016  # height of a letter, as a share of the picture's width
TALL = 0.62  # height of the bar, as a share of the picture's height
THICK = 0.16  # width of the bar, as a share of its strip
LEFT = 0.12  # share of the strip left of the bar
MIDDLE = 0.46  # middle of the bar, as a share of the picture's height: the title stands above it


def draw_bar(view: MeshView, width: int, height: int) -> np.ndarray:
    """Draw the strip of a picture that holds the bar.

    Args:
        view: The view, with colours, labels and title.
        width: Width of the strip, in pixels.
        height: Height of the picture, in pixels.

    Returns:
        Uint8 [height, width, 4], transparent where nothing is drawn.
    """
    figure = Figure(figsize=((width + 0.01) / DPI, (height + 0.01) / DPI), dpi=DPI)
    canvas = FigureCanvasAgg(figure)
    figure.patch.set_alpha(0.0)
    # The strip is about a sixth of the picture.
    letters = 6 * LETTER * width * 72 / DPI
    axes = figure.add_axes((LEFT, MIDDLE - TALL / 2, THICK, TALL))
    colors = ScalarMappable(Normalize(*view.colors_from_to), view.look.colors)
    bar = figure.colorbar(colors, cax=axes)
    heights, texts = view.ticks
    axes.yaxis.set_major_locator(FixedLocator(heights))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_yticklabels(texts, fontsize=letters)
    axes.tick_params(length=letters / 3, width=letters / 20)
    bar.outline.set_linewidth(letters / 20)
    axes.set_title(view.title, fontsize=letters, loc="left", pad=0.8 * letters)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:height, :width].copy()
