"""Loss and error along a curve, into a file of a surface's kind: read, planned and filled."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.compute import directions
from landscape_mpi.compute.curve import path_lengths
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.loss_curve import LossCurve
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.errors import EXIT_REQUEUE, InputError, MissingInputError
from landscape_mpi.job.curve import messages
from landscape_mpi.job.curve.places import (
    COMMAND,
    check_number_of_places,
    check_splits,
    make_content,
    make_plan,
)
from landscape_mpi.job.inputs import Inputs, read_inputs
from landscape_mpi.job.surface import messages as surface_messages
from landscape_mpi.job.surface import surface_file
from landscape_mpi.job.surface.plan import Plan, RootInputs
from landscape_mpi.job.surface.points import fit_evaluator
from landscape_mpi.job.surface.precision import choose_precision
from landscape_mpi.job.surface.shared import SharedInputs
from landscape_mpi.job.surface.tuning import tune
from landscape_mpi.job.workers import bind_rank
from landscape_mpi.output import check_output
from landscape_mpi.store import schema
from landscape_mpi.store.curve import AXIS_WORDS, BENDS, CURVE, PATHS
from landscape_mpi.store.resume import (
    check_replaceable,
    check_same_surface,
    open_surface,
)
from landscape_mpi.zoo.curve_file import CurveFile, read_curve
from landscape_mpi.zoo.weight_vector import is_statistic


class CurveInputs(SharedInputs):
    """What every rank has of a curve: its points, one copy a node, and the data."""

    def __init__(
        self, ranks: Ranks, plan: Plan, arrays: dict[str, np.ndarray], kind: str, n_points: int
    ) -> None:
        """Send what rank 0 has read. Collective over the ranks.

        Args:
            ranks: All ranks of the run.
            plan: What is asked.
            arrays: On rank 0 what it read, emptied here; nothing elsewhere.
            kind: Of the curve.
            n_points: Points that make it.
        """
        super().__init__(ranks, plan, arrays)
        self._kind, self._n_points = kind, n_points

    def plane(
        self, splits: Mapping[str, ResidentSplit], setting: Setting, *, repeat: int = 0
    ) -> LossCurve:
        """Prepare to evaluate places on samples that are on the setting's device."""
        return LossCurve(
            self.build(),
            [self._part(_place_of(k)) for k in range(self._n_points)],
            self._kind,
            splits,
            setting,
            loss=self.loss,
            statistics_of=splits["train"],
        )


def _place_of(number: int) -> str:
    """Return where the arrays of a point are among all."""
    return f"point_{number}"


def evaluate_curve(options: argparse.Namespace, ranks: Ranks) -> int:
    """Evaluate the curve the options name. Collective over the ranks.

    Returns:
        Exit status: 0 when all places are done, 75 after a stop signal.
    """
    stop = StopRequest()
    stop.listen(ranks)  # before the set-up: a signal in it ends the run at the first round
    read = on_root(ranks, lambda: _read_on_root(options))
    plan, root = read if read is not None else (None, None)
    curve = root.content.attributes["/"] if root else {}
    known = (plan, curve.get(CURVE), curve.get(BENDS)) if root else None
    plan, kind, n_points = ranks.comm.bcast(known, root=ROOT)
    setting = bind_rank(ranks, plan)
    inputs = CurveInputs(ranks, plan, root.arrays if root else {}, kind, n_points)
    setting, precision = choose_precision(ranks, plan, inputs, setting)
    setting = tune(ranks, plan, inputs, setting)
    evaluator = fit_evaluator(ranks, plan, inputs, setting)
    start = surface_file.begin_or_resume(ranks, plan, root, evaluator, precision)
    surface_messages.say_start(ranks, plan, root, evaluator, precision, start)
    outcome = surface_file.fill(ranks, plan, evaluator, start, stop, command=COMMAND)
    if ranks.is_root:
        messages.say_evaluated(plan, outcome)
    surface_file.finish(inputs, start)
    return 0 if outcome.finished else EXIT_REQUEUE


def _read_on_root(options: argparse.Namespace) -> tuple[Plan, RootInputs]:
    _check_options(options)
    found = read_curve(options.curve)
    inputs = read_curve_inputs(options, found, splits=options.splits, limit=options.limit)
    names = moved_names(found)
    points = [{name: point[name].numpy() for name in names} for point in found.content.points]
    _check_places(options)
    plan = make_plan(options, inputs, n_paths=len(PATHS))
    lengths = path_lengths(points, found.content.trained, found.content.kind, plan.alpha)
    content = make_content(
        plan,
        options,
        inputs,
        about=_describe(found, directions.digest(*points)),
        source=f"{found.content.kind}, {options.curve}",
        origin=_provenance(options, found),
        known={schema.ARC_LENGTH: lengths},
        axis_words=AXIS_WORDS,
    )
    if options.out.exists() and not options.fresh:
        check_same_surface(options.out, content)
    arrays = inputs.arrays()
    for number, point in enumerate(points):
        arrays |= {f"{_place_of(number)}/{name}": values for name, values in point.items()}
    if found.content.training is not None:
        done = f"{found.content.n_done} of {found.content.n_epochs}"
        print(f"{options.curve}: is still in training, {done} epochs done", flush=True)
    return plan, RootInputs(arrays, content, options.fresh)


def _check_options(options: argparse.Namespace) -> None:
    """Check what needs no file but --out.

    Raises:
        InputError: If it cannot be.
    """
    if options.points < 2:
        raise InputError("--points 1: the ends are two of them. Pass --points 2 or more.")
    check_splits(options)
    check_output(options.out, inputs=[options.curve])
    if options.out.exists() and options.fresh:
        check_replaceable(options.out)


def _check_places(options: argparse.Namespace) -> None:
    """Check that a file that is there has the places that are asked for.

    Raises:
        InputError: If it has others.
    """
    if not options.out.exists() or options.fresh:
        return
    with open_surface(options.out) as file:
        n = len(file["alpha"]) if CURVE in file.attrs else None
    if n is None:
        raise InputError(
            f"--out: {options.out} is the file of a surface, not of a curve, so it is left alone. "
            f"Pass a new name, or --fresh to replace it."
        )
    check_number_of_places(options, n)


def moved_names(found: CurveFile) -> list[str]:
    """Return the tensors that are others at other places: weights and running statistics."""
    statistics = [name for name in found.content.points[0] if is_statistic(name)]
    return [*found.content.trained, *statistics]


def read_curve_inputs(
    options: argparse.Namespace, found: CurveFile, *, splits: tuple[str, ...], limit: int | None
) -> Inputs:
    """Read the network of a curve, and the data it was trained on. Local; call it on one rank.

    Args:
        options: ``data_dir`` and ``download``, for what has moved.
        found: The curve; the network has the weights of its start.
        splits: Those that are wanted.
        limit: Training samples that are wanted, None for all.

    Raises:
        InputError: If the data are no longer what they were.
        MissingInputError: If they are no longer where they were.
    """
    identity, data_dir = found.content.identity, found.content.record["data_dir"]
    asked = argparse.Namespace(
        model=identity["model"],
        checkpoint=found.path,
        trust_checkpoint=False,
        data=identity["data"],
        data_dir=options.data_dir or (None if data_dir == "none" else Path(data_dir)),
        download=options.download,
        mean=tuple(identity["mean"]) or None,
        std=tuple(identity["std"]) or None,
        limit=limit,
        splits=splits,
        loss="cross_entropy",
    )
    try:
        inputs = read_inputs(asked)
    except MissingInputError as problem:
        raise MissingInputError(
            f"{problem} {found.path} names it so; pass --data-dir where files have moved."
        ) from problem
    known, here = identity["data_sha256"], inputs.dataset.sha256
    if known != here:
        raise InputError(
            f"{found.path}: was trained on data of SHA-256 {known[:16]}, those found now have "
            f"{here[:16]}. Pass --data-dir with what it was trained on."
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


def _provenance(options: argparse.Namespace, found: CurveFile) -> dict[str, Any]:
    return {
        "checkpoint": str(options.curve),
        "checkpoint_types": ",".join(found.checkpoint.dtypes),
        "start": found.content.record["start"],
        "end": found.content.record["end"],
        "data_dir": str(options.data_dir or found.content.record["data_dir"]),
    }
