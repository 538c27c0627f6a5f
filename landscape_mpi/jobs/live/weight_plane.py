"""Provide a plane through weight space in Python: its file, and a grid that covers its content."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from landscape_mpi.engine.grid import fit_axis
from landscape_mpi.errors import InputError
from landscape_mpi.store.plane_curve import PlaneCurve
from landscape_mpi.store.plane_path import PlanePath, path_of

MARGIN = 0.2


class WeightPlane(os.PathLike[str]):
    """A plane through weight space: pass it to compute_surface as ``directions``.

    >>> import torch
    >>> network = torch.nn.Linear(2, 1)
    >>> weights = [{name: k * w for name, w in network.state_dict().items()} for k in (3, 2, 1)]
    >>> weights[0]["bias"] = weights[0]["bias"] + 1
    >>> from landscape_mpi import project_trajectory
    >>> plane = project_trajectory(weights)
    >>> {axis: points[2] for axis, points in plane.grid(5).items()}
    {'x': 5, 'y': 5}
    """

    def __init__(self, path: Path, *, keep: object = None) -> None:
        """Wrap a plane file.

        Args:
            path: The file.
            keep: Object to keep alive with this one, e.g. the temporary folder of the file.

        Raises:
            InputError: If it holds neither a trajectory nor a curve.
        """
        self.path, self._keep = path, keep
        found = path_of(path)
        if found is None:
            raise InputError(
                f"{path}: holds neither a trajectory nor a curve. Pass the file of a plane: "
                "lm.project_trajectory(...) or curve.plane(...) makes one."
            )
        self._found: PlanePath = found

    def __fspath__(self) -> str:
        """Return the file, for compute_surface and open()."""
        return str(self.path)

    def __repr__(self) -> str:
        """Return the file and the content of the plane."""
        what = "curve" if isinstance(self._found, PlaneCurve) else "trajectory"
        return f"<WeightPlane {self.path.name}: plane of a {what}>"

    @property
    def places(self) -> list[np.ndarray]:
        """Return alpha and beta of the checkpoints of each run, or of the curve, float64 [n, 2]."""
        found = self._found
        parts = [found] if isinstance(found, PlaneCurve) else found.runs
        return [np.stack([part["alpha"], part["beta"]], axis=1) for part in parts]

    def grid(self, n: int = 25, *, margin: float = MARGIN) -> dict[str, tuple[float, float, int]]:
        """Return a grid that covers the content of the plane, as arguments of compute_surface.

        ``compute_surface(network, data, directions=plane, **plane.grid(51))``

        Args:
            n: Along each axis.
            margin: On either side, as a share of the extent.
        """
        extents = self._found.extent()
        axes = {}
        for number, name in enumerate(("x", "y")):
            along = extents[number] if np.ptp(extents[number]) > 0 else extents[1 - number]
            axis = fit_axis(along, n, margin=margin, option=name)
            axes[name] = (float(axis[0]), float(axis[-1]), n)
        return axes
