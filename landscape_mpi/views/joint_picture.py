"""A picture that shows several surfaces in one pair of axes, with the numbers it is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from landscape_mpi.short_names import short_names
from landscape_mpi.store.reader import Surface
from landscape_mpi.views.table_file import Rows


@dataclass(frozen=True)
class JointPicture:
    """A figure to be drawn, and its numbers."""

    draw: Callable[[], Figure]
    words: Sequence[str] = ()  # lines to be printed
    tables: Mapping[str, Rows] = field(default_factory=dict)  # by what their names add to that of
    # the picture; each row for a line of a CSV, the first with the names of the columns


def names_of(surfaces: Sequence[Surface]) -> list[str]:
    """Return what the legend calls each surface: its label, else its network, else its file."""
    labels = [surface.label for surface in surfaces if surface.label]
    if len(labels) == len(surfaces):
        return labels
    models = [str(surface.attributes.get("model", "")) for surface in surfaces]
    if all(models) and len(set(models)) == len(models):
        return models
    return short_names(surface.path for surface in surfaces)
