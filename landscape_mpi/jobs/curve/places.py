"""Places t on paths between solutions, evaluated like the points of a surface: plan and file.

Alpha of such a file is the place, from 0 to 1, beta the number of the path.
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
    """Return points as rank 0 sends them, by ``point_<number>/<name>``."""
    return {
        f"point_{number}/{name}": values
        for number, point in enumerate(points)
        for name, values in point.items()
    }


def check_splits(splits: tuple[str, ...] | None) -> None:
    """Check that the training set is among the splits.

    Raises:
        InputError: If it is not.
    """
    if splits is not None and "train" not in splits:
        raise InputError(
            "--splits test: batch-norm's statistics are measured on the training set at every "
            "place, so it is read anyway. Pass --splits train,test."
        )


def check_number_of_places(asked: PlacesRequest, n: int) -> None:
    """Check that a file that is there has as many places as are asked for.

    Raises:
        InputError: If it has n, and ``points`` says another number.
    """
    if n != asked.points:
        raise InputError(
            f"{asked.file.out}: has {n} places, --points asks for {asked.points}. A resumed run "
            f"needs the same: pass --points {n}, or a new --out, or --fresh to start over."
        )


def make_plan(
    asked: PlacesRequest, inputs: Inputs | ProblemInputs, *, n_paths: int, reestimates: bool
) -> Plan:
    """Return what is to be evaluated, and how. Local; call it on one rank.

    Args:
        asked: How many places, and how to evaluate them.
        inputs: Network and data.
        n_paths: How many paths there are.
        reestimates: Whether running statistics are measured at every place.

    Raises:
        InputError: If the places on all of them are too many.
    """
    check_number_of_points(asked.points, n_paths, option="--points")
    begun, n_pending = None, asked.points * n_paths
    is_problem, evaluation = isinstance(inputs, ProblemInputs), asked.evaluation
    if reestimates:
        evaluation = replace(evaluation, ranks_per_point=1)  # which has the whole training set
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
    """Return what the file holds before anything is evaluated. Local.

    Args:
        plan: What is to be evaluated.
        data: Which samples are evaluated.
        inputs: Network and data.
        about: What the paths are, for the root's attributes.
        source: What they are, in words.
        origin: Where their ends came from, for the provenance.
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
