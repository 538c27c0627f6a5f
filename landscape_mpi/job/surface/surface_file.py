"""The surface file of a run: made or gone on with, filled round by round, and who filled it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.cluster.groups import Group
from landscape_mpi.cluster.progress import Progress
from landscape_mpi.cluster.rounds import EvaluatePoints, ShardResult, run_rounds
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.cluster.watch import Watch
from landscape_mpi.job import provenance
from landscape_mpi.job.plane.grid import coarse_to_fine
from landscape_mpi.job.surface.plan import Plan, RootInputs
from landscape_mpi.job.surface.points import PointEvaluator
from landscape_mpi.job.surface.precision import Precision, describe_trials
from landscape_mpi.job.surface.shared import SharedInputs
from landscape_mpi.job.workers import Workers, describe_workers
from landscape_mpi.output import OutputLock
from landscape_mpi.store.creation import SurfaceContent, create_surface
from landscape_mpi.store.resume import check_same_surface, pending_points
from landscape_mpi.store.runs import make_row, next_row, settle_killed_run
from landscape_mpi.store.writer import RoundWriter, open_writer, writer_description
from landscape_mpi.zoo.dataset import NOUNS


@dataclass(frozen=True)
class Start:
    """Where a run begins; the same on every rank but for the points, which rank 0 hands out."""

    workers: Workers
    n_pending: int
    row: int  # of the table of runs
    pending: np.ndarray | None  # on rank 0, in the order to compute them, int64 [n_pending]
    lock: OutputLock | None  # on rank 0, held until the run ends


@dataclass(frozen=True)
class Outcome:
    """How a run ended; the same on every rank."""

    finished: bool
    signal: str | None  # what stopped it


@dataclass(frozen=True)
class Columns:
    """The datasets of a file that a command fills."""

    names: tuple[str, ...]  # of the values of a point
    prefix: str  # of the datasets that keep the books: done, seconds, rank
    command: str  # the module that fills them

    @property
    def flags(self) -> str:
        """Return the dataset of the flags."""
        return f"{self.prefix}done"

    @property
    def table(self) -> str:
        """Return the table of the runs."""
        return f"{self.prefix}runs"


def begin_or_resume(
    ranks: Ranks,
    plan: Plan,
    root: RootInputs | None,
    evaluator: PointEvaluator,
    precision: Precision,
) -> Start:
    """Make the surface file, or go on with the one that is there. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        plan: What is asked.
        root: On rank 0 what it has read.
        evaluator: This rank's.
        precision: The type it computes in, and how it was chosen.
    """
    workers = describe_workers(ranks, evaluator.setting, evaluator.group)

    def begin() -> tuple[np.ndarray, int, OutputLock] | None:
        if root is None:
            return None
        lock = OutputLock(plan.out)  # before looking: two runs may start at the same moment
        content = _complete(root.content, evaluator, precision, workers)
        if plan.out.exists() and not root.fresh:
            check_same_surface(plan.out, content)
        else:
            create_surface(plan.out, content)
        order = coarse_to_fine(len(plan.alpha), len(plan.beta))
        settle_killed_run(plan.out)
        return pending_points(plan.out, order), next_row(plan.out), lock

    pending, row, lock = on_root(ranks, begin) or (None, 0, None)
    known = (len(pending), row) if pending is not None else None
    n_pending, row = ranks.comm.bcast(known, root=ROOT)
    return Start(workers, n_pending, row, pending, lock)


def _complete(
    content: SurfaceContent, evaluator: PointEvaluator, precision: Precision, workers: Workers
) -> SurfaceContent:
    """Add what is known only once the ranks are bound."""
    setting, known = evaluator.setting, content.attributes
    how = {
        "precision": precision.name,
        "batch": setting.batch,
        "compile": "on" if setting.compiled else "off",
        "points_at_once": setting.points,
        "device": setting.kind,
        "preparation": evaluator.preparation,
    }
    where = {
        "devices": workers.devices,
        "ranks": workers.n_ranks,
        "started": provenance.now(),
        "writer": writer_description(),
        "precision_deviation": precision.deviation,
        "precision_trials": describe_trials(precision),
    }
    return replace(
        content,
        attributes={
            "/": {**known["/"], **how},
            "directions": known["directions"],
            "provenance": {**known["provenance"], **where},
        },
    )


def finish(inputs: SharedInputs, start: Start) -> None:
    """Give up what the run holds. Collective over the ranks; nothing is evaluated after it."""
    if start.lock is not None:
        start.lock.release()
    inputs.free()


def fill(
    ranks: Ranks,
    plan: Plan,
    evaluator: PointEvaluator,
    start: Start,
    stop: StopRequest,
    *,
    command: str = "landscape_mpi.surface",
) -> Outcome:
    """Compute the points that are left and write them. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        plan: What is asked.
        evaluator: This rank's.
        start: Where to begin.
        stop: Asked after every point; it listens already.
        command: Which does it, for the table of runs.
    """
    columns = Columns(plan.quantities, prefix="", command=command)
    progress = Progress(
        n_points=plan.n_points,
        n_done=plan.n_points - start.n_pending,
        samples_per_point=sum(plan.n_samples.values()),
        noun=NOUNS[plan.source.sample.kind],
        shown=ranks.is_root,
    )
    evaluate, group, n = evaluator.evaluate_points, evaluator.group, evaluator.setting.points
    return fill_columns(
        ranks, plan, group, evaluate, columns, start, stop, progress, points_at_once=n
    )


def fill_columns(
    ranks: Ranks,
    plan: Plan,
    group: Group,
    evaluate_points: EvaluatePoints,
    columns: Columns,
    start: Start,
    stop: StopRequest,
    progress: Progress,
    *,
    points_at_once: int = 1,
) -> Outcome:
    """Compute points in rounds and write them. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        plan: Which file, and how long a round is.
        group: The ranks that share a point with this one.
        evaluate_points: Returns the values of some points; see run_rounds.
        columns: Where they go.
        start: Where to begin.
        stop: Asked after every point; it listens already.
        progress: Told of every round.
        points_at_once: Points that a rank computes together.
    """
    if start.n_pending == 0:
        return Outcome(finished=True, signal=None)
    writer = open_writer(plan.out, comm=ranks.comm)
    began = provenance.now()
    writer.write_run(start.row, _row(start, columns, began), table=columns.table)
    with progress, Watch(ranks, stall_seconds=plan.stall_seconds) as watch:
        finished = run_rounds(
            ranks,
            group,
            start.pending,
            n_quantities=len(columns.names),
            round_seconds=plan.round_seconds,
            evaluate_points=evaluate_points,
            points_at_once=points_at_once,
            write_round=lambda result: _write(writer, columns, result, ranks.rank),
            report=progress.report,
            stop=stop,
            watch=watch,
        )
        signal = next((name for name in ranks.comm.allgather(stop.name) if name), None)
        outcome = "complete" if finished else f"stopped by {signal}"
        n_points = progress.n_computed
        ended = provenance.now()
        row = _row(start, columns, began, ended=ended, outcome=outcome, points=n_points)
        writer.write_run(start.row, row, table=columns.table)
        writer.close()
    return Outcome(finished, signal)


def _write(writer: RoundWriter, columns: Columns, result: ShardResult, rank: int) -> None:
    values = dict(zip(columns.names, result.values.T, strict=True))
    values[f"{columns.prefix}seconds"] = result.seconds
    values[f"{columns.prefix}rank"] = np.full(len(result.points), rank, np.int32)
    writer.write_round(result.points, values, flags=columns.flags)


def _row(start: Start, columns: Columns, began: str, **ended: str | int) -> np.ndarray:
    return make_row(
        started=began,
        ranks=start.workers.n_ranks,
        ranks_per_point=start.workers.ranks_per_point,
        threads=start.workers.threads,
        devices=start.workers.devices,
        hosts=start.workers.hosts,
        user=provenance.user_name(),
        versions=provenance.versions(),
        writer=writer_description(),
        command=provenance.command_line(columns.command),
        **ended,
    )
