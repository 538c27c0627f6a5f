"""The file of an evaluated curve: a surface file where alpha is the place t, and beta the path.

Path 0 is the curve, path 1 the straight line between its ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from landscape_mpi.store.schema import ARC_LENGTH

if TYPE_CHECKING:
    from landscape_mpi.store.reader import Surface

CURVE = "curve"  # attribute of the file: bezier or polygon
BENDS = "bends"  # attribute: points that define the curve, with both ends
AXIS_WORDS = {"alpha": "place t on the path", "beta": "path: 0 the curve, 1 the straight line"}
PATHS = ("curve", "straight line")  # by number


@dataclass(frozen=True)
class AlongPath:
    """A quantity along one path; NaN where a value is not finite."""

    path: str  # one of PATHS
    ends: tuple[float, float]
    least: float
    greatest: float
    t_greatest: float
    mean: float  # mean over t
    mean_length: float  # mean over the length of the path


def along_paths(surface: Surface, name: str) -> list[AlongPath]:
    """Return a quantity along both paths, from all places in the file.

    Args:
        surface: The surface of a curve, complete.
        name: Name of the quantity.

    Source: Garipov et al. 2018, arXiv:1802.10026, section 5: minimum, maximum and mean.
    """
    t = surface.alpha
    lengths = surface.values[ARC_LENGTH]
    found = []
    for number, path in enumerate(PATHS):
        values = surface.values[name][:, number]
        greatest = int(np.argmax(values))
        found.append(
            AlongPath(
                path=path,
                ends=(float(values[0]), float(values[-1])),
                least=float(values.min()),
                greatest=float(values[greatest]),
                t_greatest=float(t[greatest]),
                mean=_mean(values, t),
                mean_length=_mean(values, lengths[:, number]),
            )
        )
    return found


def _mean(values: np.ndarray, along: np.ndarray) -> float:
    """Return the mean over a coordinate, by the trapezoidal rule."""
    return float(np.trapezoid(values, along) / (along[-1] - along[0]))
