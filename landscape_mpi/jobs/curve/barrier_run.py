"""Evaluate the lines between solutions in rounds, like a surface: plan, fill and report."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.compute.paths import LinePaths
from landscape_mpi.engine.filling import Outcome
from landscape_mpi.engine.grid_job import run_grid_job
from landscape_mpi.engine.inputs import Inputs
from landscape_mpi.engine.loss_job import LossJob
from landscape_mpi.engine.plan import Plan, RootInputs
from landscape_mpi.engine.problem_inputs import ProblemInputs
from landscape_mpi.engine.problem_options import check_of_problem
from landscape_mpi.engine.subject_inputs import data_with_subset, read_subject
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.curve.barrier_matrix import check_table, say_barriers
from landscape_mpi.jobs.curve.places import (
    COMMAND,
    arrays_of,
    check_number_of_places,
    check_splits,
    make_content,
    make_plan,
)
from landscape_mpi.jobs.curve.request import BarriersRequest
from landscape_mpi.jobs.curve.solutions import (
    Solutions,
    check_number,
    match_all,
    read_solutions,
)
from landscape_mpi.jobs.curve.statistics import measures_statistics
from landscape_mpi.output import check_output
from landscape_mpi.store.lines import AXIS_WORDS, MATCH, SOLUTIONS, pairs_of
from landscape_mpi.store.resume import (
    check_replaceable,
    check_same_surface,
    open_surface,
)


def find_barriers(asked: BarriersRequest, ranks: Ranks) -> int:
    """Evaluate the lines between solutions. Collective over the ranks.

    Returns:
        Exit status: 0 when all places are done, 75 after a stop signal.
    """
    stop = StopRequest()
    stop.listen(ranks)  # before the set-up: a signal during it ends the run at the first round
    plan, root = _read(asked, ranks)
    job = BarrierJob(plan, root, command=COMMAND, asked=asked.inputs)
    return run_grid_job(ranks, job, stop)


class BarrierJob(LossJob):
    """Compute loss and error along the lines between solutions."""

    def say_end(self, ranks: Ranks, outcome: Outcome) -> None:
        """Write and print the barriers, and print the next step. Collective over the ranks."""
        on_root(ranks, lambda: say_barriers(self.plan.out, outcome))


def _read(asked: BarriersRequest, ranks: Ranks) -> tuple[Plan, RootInputs | None]:
    """Read everything on rank 0, and match on all ranks. Collective over the ranks."""
    read = on_root(ranks, lambda: _read_on_root(asked))
    plan, root, solutions = read if read is not None else (None, None, None)
    ends = match_all(ranks, solutions, seed=asked.seed, names=asked.solutions)
    if plan is not None and root is not None and ends is not None:
        root.arrays.update(arrays_of(ends.points))
        plan = replace(plan, paths=LinePaths(len(ends.points), tuple(ends.lines)))
    return ranks.comm.bcast(plan, root=ROOT), root


def _read_on_root(asked: BarriersRequest) -> tuple[Plan, RootInputs, Solutions]:
    _check_options(asked)
    file = asked.places.file
    data = data_with_subset(asked.inputs, file)
    network = replace(asked.inputs.network, checkpoint=asked.solutions[0])
    inputs = read_subject(replace(asked.inputs, network=network, data=data))
    solutions = read_solutions(asked, inputs)
    _check_file(asked)
    reestimates = measures_statistics(inputs, solutions.states)
    n_paths = len(pairs_of(len(asked.solutions)))
    plan = make_plan(asked.places, inputs, n_paths=n_paths, reestimates=reestimates)
    content = make_content(
        plan,
        data,
        inputs,
        about=_describe(asked, solutions.sha256),
        source="straight lines between solutions",
        origin=_provenance(asked, inputs),
        axis_words=AXIS_WORDS,
    )
    if file.resumes:
        check_same_surface(file.out, content)
    return plan, RootInputs(inputs.arrays(), content, file.fresh, file.accept_device), solutions


def _check_options(asked: BarriersRequest) -> None:
    """Check the options that need no other file than --out.

    Raises:
        InputError: If they are not valid.
    """
    file = asked.places.file
    check_number(asked)
    if asked.inputs.problem is None:
        check_splits(asked.inputs.data.splits)
    else:
        others = {"--batch": asked.places.evaluation.batch, "--match": asked.match != "none"}
        check_of_problem(asked.inputs, others)
    if file.out.suffix == ".csv":
        raise InputError(
            f"--out: {file.out}: a .csv of that name is written beside --out and would replace it. "
            "Pass a name that ends in .h5."
        )
    check_output(file.out, inputs=asked.solutions)
    table = file.out.with_suffix(".csv")
    check_output(table, inputs=asked.solutions)
    check_table(table, file.out, fresh=file.fresh)
    if file.out.exists() and file.fresh:
        check_replaceable(file.out)


def _check_file(asked: BarriersRequest) -> None:
    """Check that an existing file has the requested lines and places.

    Raises:
        InputError: If they differ.
    """
    out = asked.places.file.out
    if not asked.places.file.resumes:
        return
    with open_surface(out) as file:
        named = file.attrs.get(SOLUTIONS)
        n_places = len(file["alpha"])
    if named is None:
        raise InputError(
            f"--out: {out} is a surface file, not one of barriers, so it is kept. Pass a new name, "
            "or --fresh to replace it."
        )
    if len(named) != len(asked.solutions):
        raise InputError(
            f"{out}: belongs to {len(named)} solutions, but {len(asked.solutions)} are named. "
            "Name the same solutions, or pass a new --out, or --fresh to start over."
        )
    check_number_of_places(asked.places, n_places)


def _describe(asked: BarriersRequest, sha256: str) -> dict[str, Any]:
    return {
        "model": asked.inputs.network.model,
        "data": asked.inputs.data.data,
        SOLUTIONS: [str(path) for path in asked.solutions],
        "solutions_sha256": sha256,
        MATCH: asked.match if asked.match == "none" else f"weights, seed {asked.seed}",
    }


def _provenance(asked: BarriersRequest, inputs: Inputs | ProblemInputs) -> dict[str, Any]:
    checkpoint = inputs.checkpoint
    return {
        "checkpoint": str(asked.solutions[0]),
        "checkpoint_key": asked.inputs.network.checkpoint_key or "none",
        "checkpoint_types": ",".join(checkpoint.dtypes) if checkpoint else "",
        "data_dir": str(asked.inputs.data.data_dir or "none"),
    }
