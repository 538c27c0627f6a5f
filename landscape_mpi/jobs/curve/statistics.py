"""Decide whether batch-norm's running statistics are measured between solutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from landscape_mpi.engine.inputs import Inputs
from landscape_mpi.engine.problem_inputs import ProblemInputs
from landscape_mpi.jobs.curve.places import check_splits
from landscape_mpi.tensor_names import is_statistic


def measures_statistics(
    inputs: Inputs | ProblemInputs, points: Sequence[Mapping[str, Any]]
) -> bool:
    """Return whether running statistics are measured at every place; check that this is possible.

    A weighted mean of two statistics does not fit the network between them: the loss rises even if
    the network itself has no barrier (Jordan et al. 2023, arXiv:2211.08403). A problem's statistics
    are kept if all points have the same ones, as with frozen layers.

    Args:
        inputs: Inputs of the evaluation.
        points: Tensors of each solution, by name.
    """
    if isinstance(inputs, Inputs):
        return True
    differ = other_statistics(points)
    if differ:
        check_splits(tuple(inputs.subject.n_samples))
    return differ


def other_statistics(points: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether any solution's running statistics differ from the first one's.

    Args:
        points: Arrays or tensors of each solution, by name.
    """
    first = points[0]
    names = [name for name in first if is_statistic(name)]
    return any(not np.array_equal(first[name], point[name]) for point in points for name in names)
