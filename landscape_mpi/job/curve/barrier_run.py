"""The lines between solutions, evaluated by the rounds of a surface: planned, filled and told."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.loss_lines import LossLines
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.errors import EXIT_REQUEUE, InputError
from landscape_mpi.job.curve.barrier_matrix import check_table, say_barriers
from landscape_mpi.job.curve.places import (
    COMMAND,
    check_number_of_places,
    check_splits,
    make_content,
    make_plan,
)
from landscape_mpi.job.curve.solutions import (
    Ends,
    Solutions,
    check_number,
    match_all,
    read_solutions,
)
from landscape_mpi.job.inputs import Inputs, read_inputs
from landscape_mpi.job.surface import messages as surface_messages
from landscape_mpi.job.surface import surface_file
from landscape_mpi.job.surface.plan import Plan, RootInputs
from landscape_mpi.job.surface.points import fit_evaluator
from landscape_mpi.job.surface.precision import choose_precision
from landscape_mpi.job.surface.shared import SharedInputs
from landscape_mpi.job.workers import bind_rank
from landscape_mpi.output import check_output
from landscape_mpi.store.lines import AXIS_WORDS, MATCH, SOLUTIONS, pairs_of
from landscape_mpi.store.resume import (
    check_replaceable,
    check_same_surface,
    open_surface,
)


class LineInputs(SharedInputs):
    """What every rank has of the lines: their ends, one copy a node, and the data."""

    def __init__(
        self,
        ranks: Ranks,
        plan: Plan,
        arrays: dict[str, np.ndarray],
        lines: list[tuple[int, int]],
    ) -> None:
        """Send what rank 0 has read. Collective over the ranks.

        Args:
            ranks: All ranks of the run.
            plan: What is asked.
            arrays: On rank 0 what it read, emptied here; nothing elsewhere.
            lines: Of each the numbers of its ends.
        """
        super().__init__(ranks, plan, arrays)
        self._lines = lines

    def plane(
        self, splits: Mapping[str, ResidentSplit], setting: Setting, *, repeat: int = 0
    ) -> LossLines:
        """Prepare to evaluate places on samples that are on the setting's device."""
        n_points = 1 + max(end for line in self._lines for end in line)
        return LossLines(
            self.build(),
            [self._part(_place_of(k)) for k in range(n_points)],
            self._lines,
            splits,
            setting,
            loss=self.loss,
            statistics_of=splits["train"],
        )


def _place_of(number: int) -> str:
    """Return where the arrays of an end are among all."""
    return f"end_{number}"


def find_barriers(options: argparse.Namespace, ranks: Ranks) -> int:
    """Evaluate the lines between the solutions that the options name. Collective over the ranks.

    Returns:
        Exit status: 0 when all places are done, 75 after a stop signal.
    """
    stop = StopRequest()
    stop.listen(ranks)  # before the set-up: a signal in it ends the run at the first round
    plan, root, lines = _read(options, ranks)
    setting = bind_rank(ranks, plan)
    inputs = LineInputs(ranks, plan, root.arrays if root else {}, lines)
    setting, precision = choose_precision(ranks, plan, inputs, setting)
    evaluator = fit_evaluator(ranks, plan, inputs, setting)
    start = surface_file.begin_or_resume(ranks, plan, root, evaluator, precision)
    surface_messages.say_start(ranks, plan, root, evaluator, precision, start)
    outcome = surface_file.fill(ranks, plan, evaluator, start, stop, command=COMMAND)
    on_root(ranks, lambda: say_barriers(plan.out, outcome))
    surface_file.finish(inputs, start)
    return 0 if outcome.finished else EXIT_REQUEUE


def _read(
    options: argparse.Namespace, ranks: Ranks
) -> tuple[Plan, RootInputs | None, list[tuple[int, int]]]:
    """Read everything on rank 0, and match on all. Collective over the ranks."""
    read = on_root(ranks, lambda: _read_on_root(options))
    plan, root, solutions = read if read is not None else (None, None, None)
    ends = match_all(ranks, solutions, seed=options.seed, names=options.solutions)
    if root is not None and ends is not None:
        for number, point in enumerate(ends.points):
            values = {f"{_place_of(number)}/{name}": array for name, array in point.items()}
            root.arrays.update(values)
    plan, lines = ranks.comm.bcast((plan, _lines_of(ends)), root=ROOT)
    return plan, root, lines


def _lines_of(ends: Ends | None) -> list[tuple[int, int]]:
    return ends.lines if ends is not None else []


def _read_on_root(options: argparse.Namespace) -> tuple[Plan, RootInputs, Solutions]:
    _check_options(options)
    asked = vars(options) | {"checkpoint": options.solutions[0], "loss": "cross_entropy"}
    inputs = read_inputs(argparse.Namespace(**asked))
    solutions = read_solutions(options, inputs)
    _check_file(options)
    plan = make_plan(options, inputs, n_paths=len(pairs_of(len(options.solutions))))
    content = make_content(
        plan,
        options,
        inputs,
        about=_describe(options, solutions.sha256),
        source="straight lines between solutions",
        origin=_provenance(options, inputs),
        axis_words=AXIS_WORDS,
    )
    if options.out.exists() and not options.fresh:
        check_same_surface(options.out, content)
    return plan, RootInputs(inputs.arrays(), content, options.fresh), solutions


def _check_options(options: argparse.Namespace) -> None:
    """Check what needs no file but --out.

    Raises:
        InputError: If it cannot be.
    """
    check_number(options)
    check_splits(options)
    if options.out.suffix == ".csv":
        raise InputError(
            f"--out: {options.out}: a .csv of that name is written beside --out, and would replace "
            f"it. Pass a name that ends in .h5."
        )
    check_output(options.out, inputs=options.solutions)
    table = options.out.with_suffix(".csv")
    check_output(table, inputs=options.solutions)
    check_table(table, options.out, fresh=options.fresh)
    if options.out.exists() and options.fresh:
        check_replaceable(options.out)


def _check_file(options: argparse.Namespace) -> None:
    """Check that a file that is there has the lines and places that are asked for.

    Raises:
        InputError: If it has others.
    """
    if not options.out.exists() or options.fresh:
        return
    with open_surface(options.out) as file:
        named = file.attrs.get(SOLUTIONS)
        n_places = len(file["alpha"])
    if named is None:
        raise InputError(
            f"--out: {options.out} is a surface file, not one of barriers, so it is left alone. "
            f"Pass a new name, or --fresh to replace it."
        )
    if len(named) != len(options.solutions):
        raise InputError(
            f"{options.out}: is of {len(named)} solutions, and {len(options.solutions)} are named. "
            f"Name the same, or pass a new --out, or --fresh to start over."
        )
    check_number_of_places(options, n_places)


def _describe(options: argparse.Namespace, sha256: str) -> dict[str, Any]:
    return {
        "model": options.model,
        "data": options.data,
        SOLUTIONS: [str(path) for path in options.solutions],
        "solutions_sha256": sha256,
        MATCH: options.match if options.match == "none" else f"weights, seed {options.seed}",
    }


def _provenance(options: argparse.Namespace, inputs: Inputs) -> dict[str, Any]:
    checkpoint = inputs.checkpoint
    return {
        "checkpoint": str(options.solutions[0]),
        "checkpoint_types": ",".join(checkpoint.dtypes) if checkpoint else "",
        "data_dir": str(options.data_dir or "none"),
    }
