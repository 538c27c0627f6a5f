"""A picture of several surfaces in one pair of axes, with its numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.figure import Figure

from landscape_mpi.short_names import short_names
from landscape_mpi.store.reader import Surface
from landscape_mpi.views.table_file import Rows


@dataclass(frozen=True)
class JointPicture:
    """A function that draws a figure, and the numbers of the figure."""

    draw: Callable[[], Figure]
    words: Sequence[str] = ()  # lines for the terminal
    tables: Mapping[str, Rows] = field(default_factory=dict)  # by the ending of their name; rows
    # are those of a CSV, and the first has the names of the columns


def names_of(surfaces: Sequence[Surface]) -> list[str]:
    """Return the name of each surface in the legend: its label, or its network, or its file."""
    labels = [surface.label for surface in surfaces if surface.label]
    if len(labels) == len(surfaces):
        return labels
    models = [str(surface.attributes.get("model", "")) for surface in surfaces]
    if all(models) and len(set(models)) == len(models):
        return models
    return short_names(surface.path for surface in surfaces)
