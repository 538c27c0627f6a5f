"""Evaluate loss and error along a curve, and write them to a file like a surface's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.compute import directions
from landscape_mpi.compute.curve import path_lengths
from landscape_mpi.compute.paths import CurvePaths
from landscape_mpi.engine.filling import Outcome
from landscape_mpi.engine.grid_job import run_grid_job
from landscape_mpi.engine.inputs import Inputs
from landscape_mpi.engine.loss_job import LossJob
from landscape_mpi.engine.plan import Plan, RootInputs
from landscape_mpi.engine.problem_inputs import ProblemInputs, training_digest
from landscape_mpi.engine.problem_options import check_of_problem
from landscape_mpi.engine.problem_source import LIVE, ProblemSource
from landscape_mpi.engine.request import DataRequest, InputsRequest, LossRequest, NetworkRequest
from landscape_mpi.engine.subject_inputs import data_with_subset, read_subject
from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.jobs.curve import curve_messages
from landscape_mpi.jobs.curve.places import (
    COMMAND,
    arrays_of,
    check_number_of_places,
    check_splits,
    make_content,
    make_plan,
)
from landscape_mpi.jobs.curve.request import CurveEvaluationRequest, PlacesRequest
from landscape_mpi.jobs.curve.statistics import measures_statistics
from landscape_mpi.output import check_output
from landscape_mpi.store import schema
from landscape_mpi.store.curve import AXIS_WORDS, BENDS, CURVE, PATHS
from landscape_mpi.store.resume import (
    check_replaceable,
    check_same_surface,
    open_surface,
)
from landscape_mpi.tensor_names import is_statistic
from landscape_mpi.zoo.curve_file import PROBLEM, CurveFile, read_curve


def evaluate_curve(asked: CurveEvaluationRequest, ranks: Ranks) -> int:
    """Evaluate a curve. Collective over the ranks.

    Returns:
        Exit status: 0 when all places are done, 75 after a stop signal.
    """
    stop = StopRequest()
    stop.listen(ranks)  # before the set-up: a signal during it ends the run at the first round
    plan, root, inputs = read_curve_plan(asked, ranks)
    return run_grid_job(ranks, CurveJob(plan, root, command=COMMAND, asked=inputs), stop)


def read_curve_plan(
    asked: CurveEvaluationRequest, ranks: Ranks
) -> tuple[Plan, RootInputs | None, InputsRequest]:
    """Read and check everything on rank 0. Collective over the ranks.

    Returns:
        The plan; on rank 0, the inputs it has read; the evaluated subject.
    """
    plan, root, inputs = on_root(ranks, lambda: _read_on_root(asked)) or 3 * (None,)
    source = inputs.problem if inputs else None
    known = (plan, replace(inputs, problem=None) if inputs else None, source and source.name)
    plan, sent, name = ranks.comm.bcast(known, root=ROOT)
    if inputs is None:  # every rank makes the problem itself
        inputs = replace(sent, problem=name and (asked.problem or ProblemSource(name)))
    return plan, root, inputs


class CurveJob(LossJob):
    """Compute loss and error along a curve and along the straight line."""

    def say_end(self, ranks: Ranks, outcome: Outcome) -> None:
        """Print the losses along the curve and the next step. Local; rank 0 prints."""
        if ranks.is_root:
            curve_messages.say_evaluated(self.plan, outcome)


def _read_on_root(asked: CurveEvaluationRequest) -> tuple[Plan, RootInputs, InputsRequest]:
    _check_options(asked)
    found = read_curve(asked.curve)
    file, wanted = asked.places.file, inputs_request(asked, found)
    data = data_with_subset(wanted, file)
    wanted = replace(wanted, data=data)
    inputs = read_curve_inputs(wanted, found)
    names = moved_names(found)
    points = [{name: point[name].numpy() for name in names} for point in found.content.points]
    _check_places(asked.places)
    reestimates = measures_statistics(inputs, points)
    plan = make_plan(asked.places, inputs, n_paths=len(PATHS), reestimates=reestimates)
    plan = replace(plan, paths=CurvePaths(len(points), found.content.kind))
    lengths = path_lengths(points, found.content.trained, found.content.kind, plan.alpha)
    content = make_content(
        plan,
        data,
        inputs,
        about=_describe(found, directions.digest(*points)),
        source=f"{found.content.kind}, {asked.curve}",
        origin=_provenance(asked, found),
        known={schema.ARC_LENGTH: lengths},
        axis_words=AXIS_WORDS,
    )
    if file.resumes:
        check_same_surface(file.out, content)
    arrays = inputs.arrays() | arrays_of(points)
    if found.content.training is not None:
        done = f"{found.content.n_done} of {found.content.n_epochs}"
        print(f"{asked.curve}: is still in training, {done} epochs done", flush=True)
    return plan, RootInputs(arrays, content, file.fresh, file.accept_device), wanted


def _check_options(asked: CurveEvaluationRequest) -> None:
    """Check the options that need no other file than --out.

    Raises:
        InputError: If they are not valid.
    """
    file = asked.places.file
    if asked.places.points < 2:
        raise InputError("--points 1: the ends are two of them. Pass --points 2 or more.")
    check_output(file.out, inputs=[asked.curve])
    if file.out.exists() and file.fresh:
        check_replaceable(file.out)


def _check_places(asked: PlacesRequest) -> None:
    """Check that an existing file has the requested places.

    Raises:
        InputError: If they differ.
    """
    if not asked.file.resumes:
        return
    with open_surface(asked.file.out) as file:
        n = len(file["alpha"]) if CURVE in file.attrs else None
    if n is None:
        raise InputError(
            f"--out: {asked.file.out} is the file of a surface, not of a curve, so it is kept. "
            "Pass a new name, or --fresh to replace it."
        )
    check_number_of_places(asked, n)


def moved_names(found: CurveFile) -> list[str]:
    """Return the names of tensors that change along the curve: weights and running statistics."""
    statistics = [name for name in found.content.points[0] if is_statistic(name)]
    return [*found.content.trained, *statistics]


def inputs_request(asked: CurveEvaluationRequest, found: CurveFile) -> InputsRequest:
    """Return the inputs of an evaluation: the curve's training data, and the weights of its start.

    Args:
        asked: Request of the samples, with their present place.
        found: The curve.

    Raises:
        InputError: If the request contradicts the curve's origin.
    """
    identity, data_dir = found.content.identity, found.content.record["data_dir"]
    network = NetworkRequest(identity["model"], found.path)
    if PROBLEM in identity:
        data = DataRequest(splits=asked.splits, limit=asked.limit, subset=asked.subset)
        data = replace(data, data_dir=asked.data_dir, download=asked.download)
        source = asked.problem or _named_problem(found)
        request = InputsRequest(NetworkRequest(checkpoint=found.path), data, problem=source)
        check_of_problem(request, {"--batch": asked.places.evaluation.batch})
        return request
    if asked.problem is not None:
        raise InputError(
            f"--problem: {found.path} is a curve of --model {identity['model']} and --data "
            f"{identity['data']}, not of a problem. Leave --problem out."
        )
    check_splits(asked.splits)
    data = DataRequest(
        identity["data"],
        asked.data_dir or (None if data_dir == "none" else Path(data_dir)),
        asked.download,
        tuple(identity["mean"]) or None,
        tuple(identity["std"]) or None,
        asked.splits,
        asked.limit,
        asked.subset,
    )
    loss = LossRequest(
        ignore_index=identity.get("ignore_index", "none"),
        class_axis=identity.get("class_axis", -1),
    )
    return InputsRequest(network, data, loss)


def _named_problem(found: CurveFile) -> ProblemSource:
    """Return the problem that a curve file names.

    Raises:
        InputError: If it has no name, because it was live in Python.
    """
    name = found.content.identity[PROBLEM]
    if name == LIVE:
        raise InputError(
            f"{found.path}: is a curve of {LIVE}, which has no name. Pass --problem with a "
            f"function that returns the same problem."
        )
    return ProblemSource(name)


def read_curve_inputs(asked: InputsRequest, found: CurveFile) -> Inputs | ProblemInputs:
    """Read the network of a curve, and its training data. Local; call it on one rank.

    Args:
        asked: Request of the inputs.
        found: The curve; the network has the weights of its start.

    Raises:
        InputError: If the data have changed.
        MissingInputError: If they are no longer at their place.
    """
    try:
        inputs = read_subject(asked, digest_of_all=True)
    except MissingInputError as problem:
        raise MissingInputError(
            f"{problem} {found.path} records these names. If the files have moved, pass --data-dir."
        ) from problem
    known, way_out = found.content.identity["data_sha256"], "Pass --data-dir with"
    if isinstance(inputs, ProblemInputs):
        here, way_out = training_digest(inputs.problem), "Let the problem return"
    else:
        here = inputs.dataset.sha256
    if known != here:
        raise InputError(
            f"{found.path}: was trained on data of SHA-256 {known[:16]}, but those found now have "
            f"{here[:16]}. {way_out} what it was trained on."
        )
    return inputs


def _describe(found: CurveFile, sha256: str) -> dict[str, Any]:
    identity = found.content.identity
    return {
        "model": identity["model"],
        "data": identity["data"],
        CURVE: found.content.kind,
        BENDS: len(found.content.points),
        "curve_sha256": sha256,
    }


def _provenance(asked: CurveEvaluationRequest, found: CurveFile) -> dict[str, Any]:
    return {
        "checkpoint": str(asked.curve),
        "checkpoint_types": ",".join(found.checkpoint.dtypes),
        "start": found.content.record["start"],
        "end": found.content.record["end"],
        "data_dir": str(asked.data_dir or found.content.record["data_dir"]),
    }
