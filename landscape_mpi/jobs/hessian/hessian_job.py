"""Add the ends of the Hessian's spectrum at the points of a surface to its file."""

from __future__ import annotations

import numpy as np

from landscape_mpi.cluster.communicator import Ranks, agree
from landscape_mpi.engine import provenance
from landscape_mpi.engine.filling import Columns, Outcome, RankEvaluator, Start
from landscape_mpi.engine.grid_job import GridJob, Prepared
from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.engine.rank_settings import RankSummary
from landscape_mpi.engine.shared_inputs import SharedInputs
from landscape_mpi.engine.shared_network import SharedNetwork
from landscape_mpi.engine.shared_problem import SharedProblem
from landscape_mpi.engine.step_choice import check_center
from landscape_mpi.engine.subject import ProblemSubject
from landscape_mpi.jobs.hessian import hessian_messages
from landscape_mpi.jobs.hessian.hessian_plan import HessianInputs, HessianPlan
from landscape_mpi.jobs.hessian.points import PointSolver, fit_solver
from landscape_mpi.store import schema
from landscape_mpi.store.hessian import (
    add_eigenvalues,
    check_same_hessian,
    has_hessian,
    pending_eigenvalues,
)
from landscape_mpi.store.repair import discard

COMMAND = "landscape_mpi.hessian"


class HessianJob(GridJob):
    """Compute the smallest and the largest eigenvalue at the requested points."""

    is_tuned = False  # a product needs more memory than an evaluation; fit_solver chooses the batch

    def __init__(
        self,
        plan: HessianPlan,
        root: HessianInputs | None,
        *,
        problem: ProblemSource | None = None,
    ) -> None:
        """Take the plan and the inputs.

        Args:
            plan: Plan that every rank knows.
            root: Inputs that rank 0 has read, on rank 0.
            problem: Present name of the problem; None for a network, or if the file names it.
        """
        self.hessian_plan, self._root, self.plan = plan, root, plan.surface
        self._problem = problem
        self.columns = Columns(tuple(schema.HESSIAN), prefix="hessian_", command=COMMAND)

    @property
    def n_points(self) -> int:
        """Return the number of requested points."""
        return len(self.hessian_plan.points)

    @property
    def samples_per_point(self) -> None:
        """Return None, because points differ in the number of products."""

    def share(self, ranks: Ranks) -> SharedInputs:
        """Send the inputs that rank 0 has read. Collective over the ranks."""
        arrays, subject = self._root.arrays if self._root else {}, self.plan.subject
        if not isinstance(subject, ProblemSubject):
            return SharedNetwork(ranks, self.plan, arrays)
        source = self._root.source if self._root else self._problem
        source = source or ProblemSource(subject.name)
        return SharedProblem(ranks, self.plan, arrays, source, limit=self.hessian_plan.limit)

    def fit(self, ranks: Ranks, prepared: Prepared) -> PointSolver:
        """Set this rank up within its memory. Collective over the ranks."""
        chosen, stored = prepared.inputs.chosen, self.hessian_plan.center_outputs
        found = chosen.center_outputs[: len(stored)] if chosen is not None else ()
        scale = chosen.center_scale if chosen is not None else 0.0
        agree(ranks, lambda: check_center(self.plan, stored, found, scale))
        return fit_solver(ranks, self.hessian_plan, prepared.inputs, prepared.setting)

    def open_file(
        self, evaluator: RankEvaluator, prepared: Prepared, rank_summary: RankSummary
    ) -> None:
        """Allocate the datasets in the surface file, or check existing ones. Local; on rank 0."""
        assert self._root is not None
        assert isinstance(evaluator, PointSolver)
        known = self.hessian_plan.identity | {"device": evaluator.setting.kind}
        if has_hessian(self.hessian_plan.path) and not self._root.fresh:
            check_same_hessian(self.hessian_plan.path, known)
        else:
            add_eigenvalues(
                self.hessian_plan.path, known | _described(self.hessian_plan, evaluator)
            )

    def pending(self) -> np.ndarray:
        """Return the points to compute, coarse to fine, int64 [n]. Local; on rank 0."""
        return pending_eigenvalues(self.hessian_plan.path, self.hessian_plan.points)

    def discard(self) -> None:
        """Mark the eigenvalues as not computed, since they are wrong. Local; on rank 0."""
        discard(self.hessian_plan.path, schema.HESSIAN_DONE)

    def say_start(
        self, ranks: Ranks, evaluator: RankEvaluator, prepared: Prepared, start: Start
    ) -> None:
        """Print the planned computation and its devices. Local; rank 0 prints."""
        assert isinstance(evaluator, PointSolver)
        hessian_messages.say_start(ranks, self.hessian_plan, evaluator, start)

    def say_end(self, ranks: Ranks, outcome: Outcome) -> None:
        """Print the file's content and the next step. Local; rank 0 prints."""
        hessian_messages.say_end(ranks, self.hessian_plan, outcome)


def _described(plan: HessianPlan, solver: PointSolver) -> dict:
    return {
        "n_parameters": solver.plane.n_parameters,
        "max_products": plan.max_products,
        "batch": solver.setting.batch,
        "preparation": solver.preparation,
        **provenance.made_by(COMMAND),
        "started": provenance.now(),
    }
