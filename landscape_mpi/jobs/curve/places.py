"""Plan places t on paths between solutions, which are evaluated like points of a surface.

In the file, alpha is the place, from 0 to 1, and beta is the number of the path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from landscape_mpi.engine import provenance
from landscape_mpi.engine.grid import check_number_of_points
from landscape_mpi.engine.inputs import Inputs
from landscape_mpi.engine.plan import Plan, as_begun
from landscape_mpi.engine.problem_inputs import ProblemInputs
from landscape_mpi.engine.problem_options import evaluation_of_problem
from landscape_mpi.engine.request import DataRequest
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.curve.request import PlacesRequest
from landscape_mpi.store.creation import SurfaceContent
from landscape_mpi.store.resume import count_pending, stored_setting

COMMAND = "landscape_mpi.curve"


def arrays_of(points: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return points in the form that rank 0 sends, by ``point_<number>/<name>``."""
    return {
        f"point_{number}/{name}": values
        for number, point in enumerate(points)
        for name, values in point.items()
    }


def check_splits(splits: tuple[str, ...] | None) -> None:
    """Check that the training set is among the splits.

    Raises:
        InputError: If it is missing.
    """
    if splits is not None and "train" not in splits:
        raise InputError(
            "--splits test: batch-norm's statistics are measured on the training set at every "
            "place, so the training set is read anyway. Pass --splits train,test."
        )


def check_number_of_places(asked: PlacesRequest, n: int) -> None:
    """Check that an existing file has the requested number of places.

    Raises:
        InputError: If it has n places, but another number is requested.
    """
    if n != asked.points:
        raise InputError(
            f"{asked.file.out}: has {n} places, but --points asks for {asked.points}. A resumed "
            f"run needs the same number: pass --points {n}, or a new --out, or --fresh to start "
            "over."
        )


def make_plan(
    asked: PlacesRequest, inputs: Inputs | ProblemInputs, *, n_paths: int, reestimates: bool
) -> Plan:
    """Return the plan of an evaluation. Local; call it on one rank.

    Args:
        asked: Request of the places and their evaluation.
        inputs: Network and data.
        n_paths: Number of paths.
        reestimates: Whether running statistics are measured at every place.

    Raises:
        InputError: If all paths together have too many places.
    """
    check_number_of_points(asked.points, n_paths, option="--points")
    begun, n_pending = None, asked.points * n_paths
    is_problem, evaluation = isinstance(inputs, ProblemInputs), asked.evaluation
    if reestimates:
        evaluation = replace(evaluation, ranks_per_point=1)  # it has the whole training set
    if asked.file.resumes:
        begun, n_pending = stored_setting(asked.file.out), count_pending(asked.file.out)
        evaluation = as_begun(evaluation, begun)
    return Plan(
        out=asked.file.out,
        alpha=np.linspace(0.0, 1.0, asked.points),
        beta=np.arange(n_paths, dtype=np.float64),
        subject=inputs.subject,
        n_pending=n_pending,
        evaluation=evaluation_of_problem(evaluation) if is_problem else evaluation,
        rounds=asked.rounds,
        reestimates=reestimates,
        begun=begun,
    )


def make_content(
    plan: Plan,
    data: DataRequest,
    inputs: Inputs | ProblemInputs,
    *,
    about: Mapping[str, Any],
    source: str,
    origin: Mapping[str, Any],
    **more: Any,
) -> SurfaceContent:
    """Return the content of the file before the evaluation. Local.

    Args:
        plan: Plan of the evaluation.
        data: Request of the evaluated samples.
        inputs: Network and data.
        about: Description of the paths, for the root's attributes.
        source: Description of the paths in words.
        origin: Origin of their ends, for the provenance.
        more: Other fields of SurfaceContent.
    """
    how = {
        **plan.subject.attributes,
        **data.limit_attributes,
        "batch_norm": "reestimate" if plan.reestimates else "fixed",
        "weight_decay": "none",
        "precision": plan.evaluation.precision,
        "compile": "off",
    }
    if plan.evaluation.batch:
        how["batch"] = plan.evaluation.batch
    attributes = {
        "/": {**about, **how},
        "directions": {"source": source},
        "provenance": {**origin, **provenance.of_inputs(COMMAND, inputs)},
    }
    return plan.content(attributes, **more)
