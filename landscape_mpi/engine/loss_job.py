"""Loss and error at the points of a grid: of a plane, or of paths that a subclass shares."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from landscape_mpi.cluster.communicator import ROOT, Ranks
from landscape_mpi.engine import loss_messages, provenance
from landscape_mpi.engine.adaptive.points import AdaptivePoints, around_center
from landscape_mpi.engine.filling import Columns, Outcome, RankEvaluator, Start
from landscape_mpi.engine.grid import coarse_to_fine
from landscape_mpi.engine.grid_job import GridJob, Prepared
from landscape_mpi.engine.plan import Plan, RootInputs
from landscape_mpi.engine.point_evaluator import PointEvaluator, fit_evaluator
from landscape_mpi.engine.precision_choice import Precision, describe_trials
from landscape_mpi.engine.rank_settings import RankSummary
from landscape_mpi.engine.request import InputsRequest
from landscape_mpi.engine.sampling.progress import Progress, read_progress, take_over
from landscape_mpi.engine.shared_inputs import SharedInputs
from landscape_mpi.engine.shared_network import SharedNetwork
from landscape_mpi.engine.shared_problem import SharedProblem
from landscape_mpi.store import schema
from landscape_mpi.store.creation import SurfaceContent, create_surface
from landscape_mpi.store.repair import discard
from landscape_mpi.store.resume import (
    DEVICE_MODEL,
    check_same_surface,
    computed_values,
    count_pending,
    pending_points,
    stored_device_model,
)


class LossJob(GridJob):
    """Loss and error at all points of a grid, in a file of their own."""

    def __init__(
        self,
        plan: Plan,
        root: RootInputs | None,
        *,
        command: str,
        asked: InputsRequest | None = None,
    ) -> None:
        """Store the plan and the inputs.

        Args:
            plan: The plan, known to every rank.
            root: On rank 0, the inputs that it has read.
            command: The module that runs, for the table of runs.
            asked: The request; needed for a problem.
        """
        self.plan, self._root, self._asked = plan, root, asked
        self._adaptive: AdaptivePoints | None = None
        self._progress: Progress | None = None
        self.is_tuned = asked is None or asked.problem is None
        self.columns = Columns(
            plan.subject.quantities, prefix="", command=command, beside=plan.sampling_fields
        )

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays that rank 0 sends; nothing on other ranks."""
        return self._root.arrays if self._root else {}

    def share(self, ranks: Ranks) -> SharedInputs:
        """Send the inputs that rank 0 has read. Collective over the ranks."""
        asked = self._asked
        if asked is None or asked.problem is None:
            return SharedNetwork(ranks, self.plan, self.arrays)
        limit = asked.data.limit
        return SharedProblem(ranks, self.plan, self.arrays, asked.problem, limit=limit)

    def fit(self, ranks: Ranks, prepared: Prepared) -> PointEvaluator:
        """Set this rank up so that its memory suffices. Collective over the ranks."""
        return fit_evaluator(ranks, self.plan, prepared.inputs, prepared.setting)

    def open_file(
        self, evaluator: RankEvaluator, prepared: Prepared, rank_summary: RankSummary
    ) -> None:
        """Make the file, or check that it is the one to resume. Local; on rank 0."""
        assert self._root is not None
        content = _complete(self._root.content, evaluator, prepared, rank_summary)
        if self.plan.out.exists() and not self._root.fresh:
            if self._root.accept_device:
                content = _without_device_model(self.plan.out, content)
            check_same_surface(self.plan.out, content)
            take_over(self.plan)
        else:
            create_surface(self.plan.out, content)

    def pending(self) -> np.ndarray:
        """Return the points to compute, coarse to fine, int64 [n]. Local; on rank 0."""
        order = coarse_to_fine(len(self.plan.alpha), len(self.plan.beta))
        if self.plan.sampling is not None:
            self._progress = read_progress(self.plan)
        if self.plan.tolerance is None and self._progress is not None:
            return order[~self._progress.settled.ravel()[order]]
        if self.plan.tolerance is None:
            return pending_points(self.plan.out, order)
        values, done = computed_values(self.plan.out, self.columns.names)
        work = None
        if self._progress is not None:
            done, work = self._progress.settled, self._progress.n_samples
        center = around_center(self.plan.alpha, self.plan.beta)
        names, tolerance = self.columns.names, self.plan.tolerance
        self._adaptive = AdaptivePoints(names, values, done, tolerance, center, work)
        return self._adaptive.next_points()

    def adaptive(self) -> AdaptivePoints | None:
        """Return the chooser of further points, on rank 0 of a run with a tolerance."""
        return self._adaptive

    def n_left(self, pending: np.ndarray) -> int:
        """Return the number of points without a value."""
        if self._adaptive is None:
            return len(pending)
        return count_pending(self.plan.out) if self._progress is None else self._progress.n_pending

    def go_on(self, ranks: Ranks, evaluator: RankEvaluator) -> int:
        """Send every rank the sums of points that take further samples. Collective.

        Returns:
            The number of these points, on every rank.
        """
        if self.plan.sampling is None or not isinstance(evaluator, PointEvaluator):
            return 0
        rows = {} if self._progress is None else self._progress.rows
        rows = ranks.comm.bcast(rows, root=ROOT)
        evaluator.go_on_from(rows)
        return len(rows)

    def discard(self) -> None:
        """Mark the points of the file as not computed, since they are wrong. Local; on rank 0."""
        discard(self.plan.out, "done")

    def say_start(
        self, ranks: Ranks, evaluator: RankEvaluator, prepared: Prepared, start: Start
    ) -> None:
        """Describe the coming computation and its devices. Local; rank 0 prints."""
        loss_messages.say_start(ranks, self.plan, self._root, evaluator, prepared.precision, start)

    def say_end(self, ranks: Ranks, outcome: Outcome) -> None:
        """Describe the contents of the file and the next step. Collective over the ranks."""
        loss_messages.say_end(ranks, self.plan, outcome, self._adaptive)


def _without_device_model(path: Path, content: SurfaceContent) -> SurfaceContent:
    """Leave the devices out of the identity, and say if other devices began the file."""
    own = dict(content.attributes["/"])
    now, before = own.pop(DEVICE_MODEL), stored_device_model(path)
    if before not in {None, now}:
        print(
            f"{path}: was started on {before} and is continued on {now}: results may differ in "
            "their last digits from one point to the next.",
            flush=True,
        )
    return replace(content, attributes={**content.attributes, "/": own})


def _complete(
    content: SurfaceContent, evaluator: RankEvaluator, prepared: Prepared, rank_summary: RankSummary
) -> SurfaceContent:
    """Add the attributes that are known only once the ranks are bound."""
    setting, known, chosen = evaluator.setting, content.attributes, prepared.inputs.chosen
    precision: Precision = prepared.precision
    how = {
        "precision": precision.name,
        "batch": setting.batch,
        "compile": "on" if setting.compiled else "off",
        "points_at_once": setting.points,
        "device": setting.kind,
        DEVICE_MODEL: rank_summary.models,
        "preparation": evaluator.preparation,
        "steps": str(setting.steps),
    }
    if chosen is not None and chosen.left_out:
        how["left_out"] = list(chosen.left_out)
    if precision.warning:
        how[schema.PRECISION_WARNING] = precision.warning
    where = {
        "devices": rank_summary.devices,
        "ranks": rank_summary.n_ranks,
        "started": provenance.now(),
        "precision_deviation": precision.deviation,
        "precision_trials": describe_trials(precision),
    }
    if chosen is not None and chosen.center_outputs:
        where["center_outputs"] = list(chosen.center_outputs)
    return replace(
        content,
        attributes={
            "/": {**known["/"], **how},
            "directions": known["directions"],
            "provenance": {**known["provenance"], **where},
        },
    )
