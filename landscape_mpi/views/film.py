"""Films of planes: a turning surface, or the surfaces of successive checkpoints.

All frames of a film have one scale, one box and one size.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import Surface
from landscape_mpi.views.compare import (
    draw_grid,
    have_own_scales,
    make_shared_panels,
    shared_limits,
)
from landscape_mpi.views.levels import USUAL, ScaleRequest
from landscape_mpi.views.page import extent_of
from landscape_mpi.views.panel import Panel, thin_panel
from landscape_mpi.views.picture_kind import find_kind
from landscape_mpi.views.pictures import panels_for
from landscape_mpi.views.space import Space

TURN_S = 10.0  # seconds of a whole turn
STEP_S = 0.5  # seconds for each of several surfaces
MOST_POINTS = 101  # points along an axis of a surface in space: a frame shows no more
APART = "range differs between frames"
N_LOOKS = 24  # largest number of frames whose extents make the common box


@dataclass(frozen=True)
class Film:
    """Frames that can be drawn in any order."""

    n_frames: int
    seconds: float
    draw: Callable[[int], Figure]  # draws the frame with this number, from 0
    thinned_from: tuple[int, int] | None = None  # points of the grid, if not all are drawn

    def box(self) -> Bbox:
        """Return the box that holds the drawing in every frame, in inches."""
        every = -(-self.n_frames // N_LOOKS)
        looks = [extent_of(self.draw(k)) for k in range(0, self.n_frames, every)]
        return Bbox.union(looks)


def draw_pixels(figure: Figure, box: Bbox, size: tuple[int, int]) -> np.ndarray:
    """Return the pixels of a box of a figure.

    Args:
        figure: The figure.
        box: The box, in inches.
        size: Columns and rows, in pixels.

    Returns:
        Uint8 [rows, columns, 3].
    """
    columns, rows = size
    dpi = columns / box.width
    # A little more than whole pixels, which are rounded down.
    exact = Bbox.from_bounds(box.x0, box.y0, (columns + 0.01) / dpi, (rows + 0.01) / dpi)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=dpi, bbox_inches=exact)
    pixels = np.frombuffer(buffer.getvalue(), dtype=np.uint8).reshape(rows, columns, 4)
    return np.ascontiguousarray(pixels[:, :, :3])


def check_filmable(surfaces: Sequence[Surface]) -> None:
    """Check that surfaces can be the frames of a film.

    Raises:
        InputError: If one is a line.
    """
    for surface in surfaces:
        if surface.is_line:
            raise InputError(
                f"{surface.path}: --film needs a plane, but this file holds lines. Draw it "
                "without --film."
            )


def make_film(
    surfaces: Sequence[Surface],
    quantity: str | None,
    *,
    asked: ScaleRequest = USUAL,
    kind: str = "surface",
    smooth: int = 1,
    space: Space | None = None,
    seconds: float | None = None,
    fps: float,
    words: Sequence[str] = (),
) -> Film:
    """Prepare a film: a turn of one surface, or several surfaces in turn.

    Args:
        surfaces: Planes, in the order of the film.
        quantity: Name of the quantity; None for the first that all have.
        asked: The requested scale.
        kind: One of registry.PICTURES.
        smooth: Cells for each one computed, along an axis.
        space: View in three dimensions; None chooses all of it.
        seconds: Length of the film.
        fps: Frames per second of a turn.
        words: Text over each of several surfaces, such as ``epoch 10``.

    Raises:
        InputError: If a surface lacks the quantity, or cannot be drawn in this way.
    """
    names = None if quantity is None else [quantity]
    prepare = partial(make_shared_panels, surfaces, asked=asked, option="--film")
    row = prepare(names)[0]
    if names is None:  # as if it were named, since a film has only one quantity
        row = prepare([row[0].name])[0]
    if not any(panel.finite.any() for panel in row):
        raise InputError(
            f"{row[0].surface.path}: no value of {row[0].name} is finite, so every frame of the "
            "film would be empty. Name another --quantity."
        )
    panels = panels_for([_drawn(panel, kind, smooth) for panel in row], kind, smooth, space)
    shapes = [
        panel.surface.shape
        for panel, drawn in zip(row, panels, strict=True)
        if sum(drawn.surface.shape) < sum(panel.surface.shape)
    ]
    thinned_from = shapes[0] if shapes else None
    if len(panels) == 1:
        seconds = seconds or TURN_S
        n_frames = max(2, round(fps * seconds))
        return Film(n_frames, seconds, _turning(panels[0], kind, n_frames), thinned_from)
    limits = shared_limits(surfaces, to_edges=find_kind(kind).reaches_edges)
    draw = _following(panels, words, kind, limits)
    return Film(len(panels), seconds or STEP_S * len(panels), draw, thinned_from)


def _drawn(panel: Panel, kind: str, smooth: int) -> Panel:
    """Return a panel with at most as many points as a frame can show, unless more are requested."""
    if not find_kind(kind).is_in_space or smooth > 1:
        return panel
    return thin_panel(panel, MOST_POINTS)


def _following(
    panels: Sequence[Panel], words: Sequence[str], kind: str, limits: np.ndarray
) -> Callable[[int], Figure]:
    """Return a function that draws panels one after another, with text over each."""
    notes = [APART] if have_own_scales(panels) else []

    def draw(k: int) -> Figure:
        figure = draw_grid([panels[k]], kind, limits=limits)
        axes = figure.axes[0]
        axes.set_title("\n".join([axes.get_title(), words[k], *notes]))
        return figure

    return draw


def _turning(panel: Panel, kind: str, n_frames: int) -> Callable[[int], Figure]:
    """Return a function that draws a surface from all sides in turn, on the same figure."""
    figure = draw_grid([panel], kind)
    axes: Any = figure.axes[0]
    first = axes.azim

    def draw(k: int) -> Figure:
        axes.view_init(elev=axes.elev, azim=first + 360.0 * k / n_frames)
        return figure

    return draw
