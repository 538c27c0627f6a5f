"""Run jobs that show only a progress bar, for notebooks."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, TypeVar

from landscape_mpi.cluster.communicator import Ranks, SharedInputError, is_met_by_all
from landscape_mpi.cluster.guard import ALIKE_S, end_job, leave_alone
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.engine.filling import Outcome, RankEvaluator, Start
from landscape_mpi.engine.grid_job import GridJob, Prepared, run_grid_job
from landscape_mpi.engine.loss_job import LossJob
from landscape_mpi.engine.provenance import called_from_python
from landscape_mpi.errors import USERS_OWN, InputError, users_own
from landscape_mpi.jobs.curve.evaluation import CurveJob
from landscape_mpi.jobs.hessian.hessian_job import HessianJob
from landscape_mpi.jobs.live.process_state import interruptible
from landscape_mpi.python.keywords import in_keywords

T = TypeVar("T")


class QuietJob(GridJob):
    """A job that prints at most a progress bar; the actual job is its second base class."""

    outcome: Outcome  # once the job has ended

    def __init__(self, *asked: Any, shown: bool, **options: Any) -> None:
        """Store the request.

        Args:
            asked: See the other base class.
            shown: Show a bar.
            options: See the other base class.
        """
        super().__init__(*asked, **options)
        self.bar = shown

    def say_start(
        self, ranks: Ranks, evaluator: RankEvaluator, prepared: Prepared, start: Start
    ) -> None:
        """Say nothing."""

    def say_end(self, ranks: Ranks, outcome: Outcome) -> None:
        """Store how the job ended."""
        self.outcome = outcome


class QuietSurface(QuietJob, LossJob):
    """Loss and metrics at the points of a grid."""


class QuietHessian(QuietJob, HessianJob):
    """Eigenvalues at the points of a grid."""


class QuietCurve(QuietJob, CurveJob):
    """Loss and metrics along a curve."""


def run_quietly(ranks: Ranks, make: Callable[[], QuietJob], keywords: Collection[str]) -> Outcome:
    """Compute a job in a process that continues afterwards. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        make: Function that reads the inputs and returns the job. Collective over the ranks.
        keywords: Keywords of the call, which messages use.

    Returns:
        How the job ended.
    """

    def work(stop: StopRequest) -> Outcome:
        job = make()
        run_grid_job(ranks, job, stop)
        return job.outcome

    return do_quietly(ranks, work, keywords)


def do_quietly(ranks: Ranks, work: Callable[[StopRequest], T], keywords: Collection[str]) -> T:
    """Do common work of ranks in a process that continues afterwards. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        work: Function that is called with the stop request of Ctrl-C and signals. Collective over
            the ranks.
        keywords: Keywords of the call, which messages use.

    Raises:
        SharedInputError: If an input is not valid.
        InputError: If the user's code raises on all ranks. If it raises on one rank only, this rank
            prints the error and ends the run.
    """
    apart = ranks.comm.Dup()  # used only for the wait at the end
    try:
        with interruptible() as stop, users_own(USERS_OWN), called_from_python():
            return work(stop)
    except SharedInputError as problem:
        raise SharedInputError(in_keywords(str(problem), keywords)) from None
    except InputError as problem:
        alike = InputError(in_keywords(str(problem), keywords))
        if not is_met_by_all(apart, ALIKE_S):
            leave_alone(alike, ranks, apart)
        raise alike from None
    except BaseException:
        if ranks.size == 1:
            raise
        end_job(ranks, apart)  # the others would wait for this rank for ever
        raise
    finally:
        apart.Free()
