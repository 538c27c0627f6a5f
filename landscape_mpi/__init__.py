"""Loss landscapes of trained networks, on as many MPI ranks and GPUs as there are.

Each module with a ``main`` is a command: ``python -m landscape_mpi.surface --help``.
The package imports a module only when one of its names is used, so ``--help`` answers at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from landscape_mpi.jobs.live.computation import compute_surface
    from landscape_mpi.jobs.live.curve_computation import LossCurve, train_curve
    from landscape_mpi.jobs.live.hessian_computation import compute_hessian
    from landscape_mpi.jobs.live.trajectory_projection import project_trajectory
    from landscape_mpi.jobs.live.weight_plane import WeightPlane
    from landscape_mpi.problem import Problem
    from landscape_mpi.python.loss_surface import LossSurface, open_surface

__version__ = "0.1.0"
__all__ = [
    "LossCurve",
    "LossSurface",
    "Problem",
    "WeightPlane",
    "compute_hessian",
    "compute_surface",
    "open_surface",
    "project_trajectory",
    "train_curve",
]

_HOME = {  # the module that defines each public name
    "LossCurve": "jobs.live.curve_computation",
    "LossSurface": "python.loss_surface",
    "Problem": "problem",
    "WeightPlane": "jobs.live.weight_plane",
    "compute_hessian": "jobs.live.hessian_computation",
    "compute_surface": "jobs.live.computation",
    "open_surface": "python.loss_surface",
    "project_trajectory": "jobs.live.trajectory_projection",
    "train_curve": "jobs.live.curve_computation",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used.

    Raises:
        AttributeError: If there is no such name.
        InputError: If it needs a package that is not installed.
    """
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    errors = importlib.import_module(f"{__name__}.errors")
    with errors.missing_packages_named(name):
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
