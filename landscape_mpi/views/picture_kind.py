"""A kind of picture of a plane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from landscape_mpi.registry import PICTURES
from landscape_mpi.views.canvas import Canvas
from landscape_mpi.views.joint_picture import JointPicture
from landscape_mpi.views.panel import Panel


@dataclass(frozen=True, kw_only=True)
class PictureKind:
    """A kind of picture of a plane, which --kind names."""

    draw_on: Callable[[Panel, Canvas | None], Canvas]  # draws on a canvas, or on a new one if None
    words: str  # its contents in words, for the documentation
    is_smoothed: bool = True  # whether --smooth applies; otherwise the points are shown as they are
    reaches_edges: bool = False  # whether cells reach half a spacing beyond the points
    is_in_space: bool = False  # whether it has three dimensions
    # Makes one picture of several surfaces in one pair of axes, with its numbers; None for a kind
    # that has its surfaces side by side.
    join: Callable[[Sequence[Panel]], JointPicture] | None = None

    def __call__(self, panel: Panel) -> Figure:
        """Draw a panel in its own figure."""
        return self.draw_on(panel, None).figure


def find_kind(name: str) -> PictureKind:
    """Return the kind of picture that --kind names.

    Args:
        name: One of registry.PICTURES.
    """
    found: PictureKind = PICTURES[name]
    return found
