"""Read the training data for the Hessian of a surface: samples, or a problem's batches."""

from __future__ import annotations

from dataclasses import dataclass, replace

from landscape_mpi.compute.batch_tree import digest
from landscape_mpi.engine.inputs import Inputs
from landscape_mpi.engine.problem_inputs import ProblemInputs
from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.engine.request import Evaluation
from landscape_mpi.engine.stored_inputs import read_stored_inputs, some_samples
from landscape_mpi.engine.stored_problem import (
    check_of_stored_problem,
    is_of_problem,
    read_stored_problem,
    some_batches,
)
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.hessian.request import HessianRequest
from landscape_mpi.store.hessian import ALL, has_hessian, stored_subset
from landscape_mpi.store.resume import USUAL_SUBSET, stored_setting
from landscape_mpi.store.stored_surface import StoredSurface

DEFAULT_LIMIT = 5000
NO_OUTPUTS = (
    "uses the matrix J^T H J of the outputs of a network, but the loss of a problem does not show "
    "these outputs"
)
FIRST = "first"  # subset of zoo.subset that a problem gives

AnyInputs = Inputs | ProblemInputs


@dataclass(frozen=True)
class TrainingData:
    """Hold the inputs of a surface, with the requested amount of its training data."""

    inputs: AnyInputs
    identity: dict[str, object]  # attributes of the eigenvalues that identify their data
    evaluation: Evaluation
    total_weight: float | None = None  # weight of the losses; None if known at a point
    limit: int | None = None  # training samples, or batches, of a problem
    center_outputs: tuple[float, ...] = ()  # losses in the file, if they are of the same samples

    @property
    def source(self) -> ProblemSource | None:
        """Return the source of the problem."""
        return self.inputs.source if isinstance(self.inputs, ProblemInputs) else None


def read_training_data(asked: HessianRequest, stored: StoredSurface) -> TrainingData:
    """Read the inputs of a surface, and check them. Local; call it on one rank.

    Args:
        asked: Request of the data, with their present place.
        stored: Content of the file.
    """
    if is_of_problem(stored):
        return _of_problem(asked, stored)
    return _of_network(asked, stored)


def _of_network(asked: HessianRequest, stored: StoredSurface) -> TrainingData:
    if asked.moved.problem is not None:
        raise InputError(
            f"--problem {asked.moved.problem.name}: {stored.path} is of the network "
            f"{stored.text('/', 'model')} on {stored.text('/', 'data')}, not of a problem. Leave "
            "--problem out."
        )
    inputs = read_stored_inputs(asked.moved, stored)
    limit = asked.limit or min(DEFAULT_LIMIT, inputs.n_training)
    subset = _choose_subset(asked)
    limited = some_samples(inputs, limit, subset, stored.path)
    which = subset if limit < inputs.n_training else ALL
    total = limited.loss.total_weight(limited.dataset.splits["train"].targets)
    return TrainingData(limited, {"samples": limit, "subset": which}, asked.evaluation, total)


def _choose_subset(asked: HessianRequest) -> str:
    """Return the requested subset, or that of the eigenvalues in the file, or the default."""
    if asked.subset is None and not asked.fresh and has_hessian(asked.surface):
        known = stored_subset(asked.surface)
        return USUAL_SUBSET if known == ALL else known
    return asked.subset or USUAL_SUBSET


def _of_problem(asked: HessianRequest, stored: StoredSurface) -> TrainingData:
    others = {
        "--subset": asked.subset,
        "--batch": asked.evaluation.batch,
        "--gauss-newton": asked.gauss_newton,
    }
    check_of_stored_problem(asked.moved, stored, others, {"--gauss-newton": NO_OUTPUTS})
    inputs = read_stored_problem(asked.moved, stored)
    source = inputs.sources["train"]
    limit = asked.limit or min(DEFAULT_LIMIT, source.n_counted)
    limited = some_batches(inputs, limit)
    is_same = digest(limited.sources["train"].read(0)) == digest(source.read(0))
    return TrainingData(
        limited,
        {source.counts: limit, "subset": FIRST if limit < source.n_counted else ALL},
        replace(asked.evaluation, batch=1),
        limit=limit,
        # The mean loss of the first batch, which is part of the training data.
        center_outputs=stored_setting(stored.path).center_outputs[:1] if is_same else (),
    )
