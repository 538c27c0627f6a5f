"""The relief of a mesh: the factor from heights to the third coordinate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from landscape_mpi.store.reader import Surface
from landscape_mpi.views.heights import Heights
from landscape_mpi.views.mesh import shown_heights

RELIEF = 0.5  # height of a mesh, as a share of the longer side of its plane


def choose_factor(
    surfaces: Sequence[Surface], quantity: str, heights: Heights, *, lid: bool = False
) -> float:
    """Return the factor that makes meshes half as high as their plane is wide, one for all.

    Args:
        surfaces: All surfaces that stand together; lines have a factor of 1.
        quantity: Name of the quantity that is the height.
        heights: The map from its values to heights.
        lid: Whether the parts beyond a cut are kept, flat.
    """
    planes = [surface for surface in surfaces if not surface.is_line]
    shown = [shown_heights(plane, quantity, heights, lid=lid) for plane in planes]
    finite = [plane[np.isfinite(plane)] for plane in shown]
    together = np.concatenate(finite) if finite else np.empty(0)
    if not together.size or not np.ptp(together) > 0:
        return 1.0
    sides = [np.ptp(axis) for plane in planes for axis in (plane.alpha, plane.beta)]
    # Rounded, since the name of the height shows it.
    return float(f"{RELIEF * max(sides) / np.ptp(together):.4g}")
