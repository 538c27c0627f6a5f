"""The steps of all commands that compute values at the points of a grid, on ranks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.cluster.progress import Progress
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.engine.adaptive.points import AdaptivePoints
from landscape_mpi.engine.filling import Columns, Outcome, RankEvaluator, Start, fill_columns
from landscape_mpi.engine.plan import Plan
from landscape_mpi.engine.precision_choice import Precision, choose_precision
from landscape_mpi.engine.rank_settings import RankSummary, bind_rank, summarize_ranks
from landscape_mpi.engine.setting_choice import tune, with_batch
from landscape_mpi.engine.shared_inputs import SharedInputs
from landscape_mpi.engine.step_choice import check_end, choose_steps
from landscape_mpi.errors import EXIT_REQUEUE
from landscape_mpi.output import OutputLock
from landscape_mpi.store.runs import next_row, settle_killed_run
from landscape_mpi.store.writer import check_way, choose_writers


@dataclass(frozen=True)
class Prepared:
    """The inputs and the setting of a rank before its evaluator is set up."""

    inputs: SharedInputs
    setting: Setting
    precision: Precision


class GridJob(ABC):
    """Values at the points of a grid: their kind, their computation and their file.

    The job is the same on every rank, except for the inputs that only rank 0 has read.
    """

    plan: Plan
    columns: Columns
    bar: bool | None = None  # show a bar, or nothing; None: a bar on a terminal
    is_tuned = True  # whether batch, compilation and points at once are chosen before fit

    @abstractmethod
    def share(self, ranks: Ranks) -> SharedInputs:
        """Send the inputs that rank 0 has read. Collective over the ranks."""

    @abstractmethod
    def fit(self, ranks: Ranks, prepared: Prepared) -> RankEvaluator:
        """Set this rank up so that its memory suffices. Collective over the ranks."""

    @abstractmethod
    def open_file(
        self, evaluator: RankEvaluator, prepared: Prepared, rank_summary: RankSummary
    ) -> None:
        """Make the file, or check that it is the one to resume. Local; on rank 0."""

    @abstractmethod
    def pending(self) -> np.ndarray:
        """Return the points to compute, in their order, int64 [n]. Local; on rank 0."""

    def adaptive(self) -> AdaptivePoints | None:
        """Return the chooser of further points, on rank 0 of a run with a tolerance."""
        return None

    def n_left(self, pending: np.ndarray) -> int:
        """Return the number of points without a value; ``pending`` are the next to compute."""
        return len(pending)

    def go_on(self, ranks: Ranks, evaluator: RankEvaluator) -> int:
        """Give the evaluator the stored sums of points that take further samples. Collective.

        Returns:
            The number of these points, on every rank.
        """
        return 0

    @property
    def n_points(self) -> int:
        """Return the number of points of the job, computed or not."""
        return self.plan.n_points

    @property
    def samples_per_point(self) -> int | None:
        """Return the number of samples of a point, None if it does not measure the work."""
        if self.plan.sampling is not None:
            return None
        return sum(self.plan.subject.n_samples.values())

    @abstractmethod
    def discard(self) -> None:
        """Mark the points of the file as not computed, since they are wrong. Local; on rank 0."""

    @abstractmethod
    def say_start(
        self, ranks: Ranks, evaluator: RankEvaluator, prepared: Prepared, start: Start
    ) -> None:
        """Describe the coming computation and its devices. Local; rank 0 prints."""

    @abstractmethod
    def say_end(self, ranks: Ranks, outcome: Outcome) -> None:
        """Describe the contents of the file and the next step. Collective over the ranks."""


def run_grid_job(ranks: Ranks, job: GridJob, stop: StopRequest) -> int:
    """Compute the remaining points of a job. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        job: The job.
        stop: A request to stop, read after every point; it listens already.

    Returns:
        Exit status: 0 when all points are done, 75 after a stop signal.
    """
    prepared = prepare(ranks, job)
    evaluator = job.fit(ranks, prepared)
    start = begin_or_resume(ranks, job, evaluator, prepared)
    job.say_start(ranks, evaluator, prepared, start)
    outcome = fill(ranks, job, evaluator, start, stop)
    if outcome.finished:
        check_end(ranks, job.plan, prepared.inputs, prepared.setting, job.discard)
    job.say_end(ranks, outcome)
    if start.lock is not None:
        start.lock.release()
    prepared.inputs.free()
    return 0 if outcome.finished else EXIT_REQUEUE


def prepare(ranks: Ranks, job: GridJob) -> Prepared:
    """Bind the ranks, share the inputs and choose the setting. Collective over the ranks."""
    plan = job.plan
    on_root(ranks, lambda: check_way(plan.rounds.write))
    setting = bind_rank(ranks, plan)
    inputs = job.share(ranks)
    setting = choose_steps(ranks, plan, inputs, with_batch(plan, inputs, setting))
    setting, precision = choose_precision(ranks, plan, inputs, setting)
    if job.is_tuned:
        setting = tune(ranks, plan, inputs, setting)
    return Prepared(inputs, setting, precision)


def begin_or_resume(
    ranks: Ranks, job: GridJob, evaluator: RankEvaluator, prepared: Prepared
) -> Start:
    """Make the file of a job, or resume an existing one. Collective over the ranks."""
    rank_summary = summarize_ranks(ranks, evaluator.setting, evaluator.group)

    def begin() -> tuple[np.ndarray, int, int, OutputLock] | None:
        if not ranks.is_root:
            return None
        out, columns = job.plan.out, job.columns
        lock = OutputLock(out)  # lock before looking: two runs may start at the same moment
        job.open_file(evaluator, prepared, rank_summary)
        settle_killed_run(out, table=columns.table, flags=columns.flags)
        pending = job.pending()
        return pending, job.n_left(pending), next_row(out, table=columns.table), lock

    pending, n_pending, row, lock = on_root(ranks, begin) or (None, 0, 0, None)
    n_pending, row = ranks.comm.bcast((n_pending, row), root=ROOT)
    n_open = job.go_on(ranks, evaluator)
    plan, n_writers = job.plan, None
    if n_pending:
        asked = plan.rounds.write
        n_writers = choose_writers(plan.out, asked, comm=ranks.comm, n_points=plan.n_points)
    return Start(rank_summary, n_pending, row, n_writers, pending, lock, n_open)


def fill(
    ranks: Ranks, job: GridJob, evaluator: RankEvaluator, start: Start, stop: StopRequest
) -> Outcome:
    """Compute the remaining points and write them. Collective over the ranks."""
    progress = Progress(
        n_points=job.n_points,
        n_done=job.n_points - start.n_pending,
        samples_per_point=job.samples_per_point,
        noun=job.plan.subject.noun,
        shown=ranks.is_root,
        bar=job.bar,
        is_open=job.plan.tolerance is not None,
    )
    return fill_columns(
        ranks, job.plan, evaluator, job.columns, start, stop, progress, job.adaptive()
    )
