"""Labels on contour lines, never cut by the frame, on one another or on the center.

Matplotlib's own placement only looks for the straightest stretch of a line, which may be at the
frame or under another label. Here several places on each line are tried in turn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.contour import ContourSet
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from landscape_mpi.views.beside_axes import has_layout, settle_layout
from landscape_mpi.views.canvas import Canvas
from landscape_mpi.views.page import current_page

BOX = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
FONT_SIZE = 7.0  # points
LOOK: dict[str, Any] = {"color": "0.1", "ha": "center", "va": "center"}
PLACES = (0.5, 0.25, 0.75, 0.375, 0.625, 0.125, 0.875)  # shares of the length of a line
CENTER_INCHES = 0.09  # half the width that is kept free for the mark of the center
POINT_INCHES = 0.025  # half the width for a checkpoint
NOTHING = np.empty((0, 2))
ROOM = 2.5  # a line is at least this many times as long as its label
YET_TO_SHRINK = 1.25  # largest growth of axes with a layout engine: labels keep their size then


def label_lines(
    canvas: Canvas,
    lines: ContourSet,
    texts: list[str],
    *,
    free: np.ndarray = NOTHING,
    marked: np.ndarray = NOTHING,
) -> None:
    """Label each piece of each line that has room, with the text for its level.

    Args:
        canvas: The canvas, with the lines on its axes.
        lines: The contour lines, a path for each level.
        texts: A text for each level.
        free: Points of the plane that no label may hide, float64 [n, 2].
        marked: Further points, with marks as large as that of the center, float64 [n, 2].
    """
    _settle(canvas)
    frame = Bbox(canvas.axes.get_window_extent().get_points())
    taken = [_around(canvas, point, CENTER_INCHES) for point in ((0.0, 0.0), *marked)]
    taken += [_around(canvas, point, POINT_INCHES) for point in free]
    # Begin with the highest level: the innermost lines of a basin have the least room.
    for path, text in reversed(list(zip(lines.get_paths(), texts, strict=True))):
        room = ROOM * _growth(canvas) * _width(canvas, text)
        for piece in path.to_polygons(closed_only=False):
            line = canvas.axes.transData.transform(np.asarray(piece))
            length = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
            if length[-1] < room:
                continue  # a rough surface has thousands of such pieces
            box = _label_piece(canvas, line, length, text, frame, taken)
            if box is not None:
                taken.append(box)


def _settle(canvas: Canvas) -> None:
    """Move axes to their final place, if a layout engine or their aspect moves them."""
    settle_layout(canvas.axes)
    canvas.axes.apply_aspect()


def _width(canvas: Canvas, text: str) -> float:
    """Return the width of a label, in pixels."""
    label = canvas.axes.text(0, 0, text, fontsize=_font_size(), **LOOK)
    width = float(label.get_window_extent().width)
    label.remove()
    return width


def _label_piece(
    canvas: Canvas,
    line: np.ndarray,
    length: np.ndarray,
    text: str,
    frame: Bbox,
    taken: list[Bbox],
) -> Bbox | None:
    """Label a line at its first free place; return the label's extent.

    Args:
        canvas: The canvas.
        line: Points of the line in pixels, float64 [n, 2].
        length: Length of the line up to each of them, float64 [n].
        text: The text.
        frame: Extent of the axes.
        taken: Extents that the label must not touch.
    """
    label = canvas.axes.text(0, 0, text, fontsize=_font_size(), **LOOK)
    label.set_bbox(BOX)
    for share in PLACES:
        box = _move(canvas, label, line, length, share * length[-1])
        inside = all(frame.contains(x, y) for x, y in box.corners())
        if inside and not any(box.overlaps(other) for other in taken):
            return box
    label.remove()
    return None


def _growth(canvas: Canvas) -> float:
    """Return how much larger labels may still become, relative to the axes."""
    return YET_TO_SHRINK if canvas.is_given and has_layout(canvas.axes) else 1.0


def _font_size() -> float:
    return FONT_SIZE * current_page().letters


def _move(canvas: Canvas, label: Text, line: np.ndarray, length: np.ndarray, at: float) -> Bbox:
    """Put the label at this length of the line, parallel to it; return its extent."""
    half = _font_size() * canvas.figure.dpi / 72
    stretch = at - half, at, at + half
    x, y = (np.interp(stretch, length, line[:, k]) for k in (0, 1))
    angle = np.degrees(np.arctan2(y[2] - y[0], x[2] - x[0]))
    label.set_rotation((angle + 90) % 180 - 90)  # never upside down
    x_data, y_data = canvas.axes.transData.inverted().transform((x[1], y[1]))
    label.set_position((x_data, y_data))
    box = label.get_window_extent().padded(1.0)
    return box.expanded(_growth(canvas), _growth(canvas))


def _around(canvas: Canvas, point: Any, inches: float) -> Bbox:
    x, y = canvas.axes.transData.transform(point)
    half = inches * canvas.figure.dpi * _growth(canvas)
    return Bbox.from_extents(x - half, y - half, x + half, y + half)
