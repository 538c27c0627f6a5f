"""The datasets of a file, filled round by round, and the record of the run that fills them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from landscape_mpi.cluster.communicator import ROOT, Ranks
from landscape_mpi.cluster.groups import Group
from landscape_mpi.cluster.progress import Progress
from landscape_mpi.cluster.rounds import ShardResult, run_rounds
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.cluster.watch import Watch
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.engine import provenance
from landscape_mpi.engine.adaptive.points import AdaptivePoints
from landscape_mpi.engine.plan import Plan
from landscape_mpi.engine.rank_settings import RankSummary
from landscape_mpi.output import OutputLock
from landscape_mpi.store.round_writer import RoundWriter
from landscape_mpi.store.runs import make_row
from landscape_mpi.store.sampling_fields import N_SAMPLES
from landscape_mpi.store.schema import (
    CHECK_ERROR,
    CHECK_ESTIMATE,
    ESTIMATE,
    INTERPOLATED,
    Field,
    is_loss,
)
from landscape_mpi.store.writer import describe_writers, open_writer


@dataclass(frozen=True)
class Start:
    """The start of a run; the same on every rank but for the points, which rank 0 hands out."""

    rank_summary: RankSummary
    n_pending: int  # points without a value
    row: int  # row of the table of runs
    n_writers: int | None  # ranks that write with parallel HDF5; None if rank 0 gathers
    pending: np.ndarray | None  # on rank 0, in the order to compute them, int64 [n]
    lock: OutputLock | None  # on rank 0, held until the run ends
    n_open: int = 0  # points with a value that take further samples


@dataclass(frozen=True)
class Outcome:
    """The end of a run; the same on every rank."""

    finished: bool
    signal: str | None  # the signal that stopped it


@dataclass(frozen=True)
class Columns:
    """The datasets of a file that a command fills."""

    names: tuple[str, ...]  # datasets of the quantities of a point
    prefix: str  # prefix of the datasets done, seconds and rank
    command: str  # the module that fills them
    beside: tuple[Field, ...] = ()  # further datasets of a computed point; see sampling_fields

    @property
    def every(self) -> tuple[str, ...]:
        """Return the datasets of all values that ranks compute at a point."""
        return (*self.names, *(item.name for item in self.beside))

    @property
    def are_numbers_of_samples(self) -> np.ndarray:
        """Say which of these datasets are numbers of samples taken, bool [n_values]."""
        return np.array([name.endswith(f"_{N_SAMPLES}") for name in self.every])

    @property
    def flags(self) -> str:
        """Return the dataset of the flags."""
        return f"{self.prefix}done"

    @property
    def table(self) -> str:
        """Return the table of the runs."""
        return f"{self.prefix}runs"


class RankEvaluator(Protocol):
    """The evaluator of a rank, with words for the log."""

    setting: Setting
    group: Group  # the ranks that share a point with this one
    preparation: str  # changes to the network, for the log and the file
    launching: str  # the way the batches of a point are started, for the log

    def evaluate_points(self, points: np.ndarray) -> np.ndarray:
        """Return the values of some points, float64 [n, n_values]. Collective over the group."""


def fill_columns(
    ranks: Ranks,
    plan: Plan,
    evaluator: RankEvaluator,
    columns: Columns,
    start: Start,
    stop: StopRequest,
    progress: Progress,
    adaptive: AdaptivePoints | None = None,
) -> Outcome:
    """Compute points in rounds and write them. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        plan: The plan, with the file and the length of a round.
        evaluator: This rank's evaluator.
        columns: Datasets for its values.
        start: The start of the run.
        stop: A request to stop, read after every point; it listens already.
        progress: Reports every round.
        adaptive: On rank 0, if the plan has a tolerance: chooses points from values.
    """
    if start.n_pending == 0:
        return Outcome(finished=True, signal=None)
    writer = open_writer(plan.out, comm=ranks.comm, n_writers=start.n_writers)
    began = provenance.now()
    writer.write_run(start.row, _row(start, columns, began), table=columns.table)
    with progress, Watch(ranks, stall_seconds=plan.rounds.stall_seconds) as watch:
        finished = run_rounds(
            ranks,
            evaluator.group,
            start.pending,
            n_quantities=len(columns.every),
            round_seconds=plan.rounds.round_seconds,
            evaluate_points=evaluator.evaluate_points,
            points_at_once=evaluator.setting.points,
            write_round=partial(_write_and_tell, ranks, plan, writer, columns, adaptive),
            report=progress.report,
            stop=stop,
            watch=watch,
            more=None if adaptive is None else adaptive.next_points,
        )
        if finished and plan.tolerance is not None:
            _write_filled(writer, columns, adaptive, plan)
        signal = next((name for name in ranks.comm.allgather(stop.name) if name), None)
        outcome = "complete" if finished else f"stopped by {signal}"
        n_points = progress.n_computed
        ended = provenance.now()
        row = _row(start, columns, began, ended=ended, outcome=outcome, points=n_points)
        writer.write_run(start.row, row, table=columns.table)
        writer.close()
    return Outcome(finished, signal)


def _write_and_tell(
    ranks: Ranks,
    plan: Plan,
    writer: RoundWriter,
    columns: Columns,
    adaptive: AdaptivePoints | None,
    result: ShardResult,
) -> None:
    """Write a round, then send its values to rank 0 if they decide the next points. Collective."""
    _write(writer, plan, columns, result, ranks.rank)
    if plan.tolerance is None:
        return
    told = ranks.comm.gather((result.points, result.values), root=ROOT)
    if adaptive is not None:
        for points, values in told or []:
            work = values[:, columns.are_numbers_of_samples].sum(axis=1)
            adaptive.take(points, values[:, : len(columns.names)], work)


def _estimates(columns: Columns, plan: Plan) -> tuple[str, ...]:
    """Return the datasets of estimated errors."""
    if plan.tolerance is None:
        return ()
    return tuple(f"{name}{ESTIMATE}" for name in columns.names if is_loss(name))


def _write_filled(
    writer: RoundWriter, columns: Columns, adaptive: AdaptivePoints | None, plan: Plan
) -> None:
    """Write the interpolated points from rank 0, after their check. Collective over the ranks.

    Ranks without points must still enter.
    """
    if adaptive is None:
        nothing = np.empty(0)
        points = np.empty(0, np.int64)
        values = dict.fromkeys((*columns.names, *_estimates(columns, plan)), nothing)
        check_columns = {CHECK_ERROR: nothing, CHECK_ESTIMATE: nothing}
    else:
        filled = adaptive.fill()
        points, values, check_columns = filled.points, filled.columns, filled.check_columns
    # Of all points: those without a check get NaN again, whatever is there.
    writer.write_check(np.arange(len(check_columns[CHECK_ERROR])), check_columns)
    values |= {item.name: np.full(len(points), item.fill) for item in columns.beside}
    values[f"{columns.prefix}seconds"] = np.full(len(points), np.nan)
    values[f"{columns.prefix}rank"] = np.full(len(points), -1, np.int32)
    reopened = plan.sampling is not None
    writer.write_round(points, values, flags=columns.flags, flag=INTERPOLATED, reopened=reopened)


def _write(
    writer: RoundWriter, plan: Plan, columns: Columns, result: ShardResult, rank: int
) -> None:
    values = dict(zip(columns.every, result.values.T, strict=True))
    values |= {name: np.zeros(len(result.points)) for name in _estimates(columns, plan)}
    values[f"{columns.prefix}seconds"] = result.seconds
    values[f"{columns.prefix}rank"] = np.full(len(result.points), rank, np.int32)
    # A point that takes further samples has a value already.
    reopened = plan.sampling is not None
    writer.write_round(result.points, values, flags=columns.flags, reopened=reopened)


def _row(start: Start, columns: Columns, began: str, **ended: str | int) -> np.ndarray:
    return make_row(
        started=began,
        ranks=start.rank_summary.n_ranks,
        ranks_per_point=start.rank_summary.ranks_per_point,
        threads=start.rank_summary.threads,
        devices=start.rank_summary.devices,
        hosts=start.rank_summary.hosts,
        user=provenance.user_name(),
        versions=provenance.versions(),
        writer=describe_writers(start.n_writers),
        command=provenance.command_line(columns.command),
        **ended,
    )
