"""Compute one rank's share of a point's eigenvalues: products with its data, and starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import torch

from landscape_mpi.cluster.communicator import Ranks, SharedInputError, agree
from landscape_mpi.cluster.groups import Group
from landscape_mpi.cluster.rounds import one_by_one
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.lanczos import Ends, find_ends
from landscape_mpi.compute.products import HessianPlane, random_vector
from landscape_mpi.compute.tuning import batch_for_cpu
from landscape_mpi.engine.point_evaluator import group_ranks
from landscape_mpi.engine.shared_inputs import SharedInputs
from landscape_mpi.engine.subject import ProblemSubject
from landscape_mpi.errors import users_own
from landscape_mpi.jobs.hessian.hessian_plan import HessianPlan
from landscape_mpi.store import schema

T = TypeVar("T")

GPU_BATCH = 512
SHARE_OF_FREE = 0.5  # share of the memory that a node's ranks together keep between products
SHARE_OF_BASIS = 0.25  # share of the memory for the vectors of the basis
SMALLEST_BASIS = 12
SHARE_OF_CHUNK = 1 / 16  # share of the memory for the part of the basis that is in float64
SMALLEST_CHUNK = 1 << 16
MEMORY_BYTES = 1 << 30  # memory for the eigenvectors of finished points
MOST_REMEMBERED = 64  # number of points
RANDOM_START, NEIGHBOUR_START = 0, 1
# Added to eigenvectors of length 1: enough to find directions orthogonal to them.
RANDOM_PART = 0.1
MIN_PRODUCTS = 6  # least number from a neighbour's eigenvectors: here others may be extreme


@dataclass(frozen=True)
class Finished:
    """Hold a point whose eigenvectors are remembered."""

    alpha: float
    beta: float
    start: torch.Tensor  # sum of the eigenvectors, float32 [n_parameters]


def fit_solver(
    ranks: Ranks, plan: HessianPlan, inputs: SharedInputs, setting: Setting
) -> PointSolver:
    """Set the ranks up, with smaller batches if one does not fit. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        plan: Plan of the run.
        inputs: Inputs of this rank.
        setting: How to compute, without the batch.

    Raises:
        SharedInputError: If a requested batch does not fit, or not even one sample.
    """
    setting = replace(
        setting, batch=plan.surface.evaluation.batch or _choose_batch(plan, inputs, setting)
    )
    while True:
        group = group_ranks(ranks, plan.surface, setting)
        solver, problem = _try_on_all(ranks, plan, inputs, setting, group)
        problems = [text for text in ranks.comm.allgather(problem) if text is not None]
        if solver is not None and not problems:
            return solver
        group.free()
        if plan.surface.evaluation.batch is not None or setting.batch == 1:
            raise SharedInputError(
                f"--batch: {setting.batch} {plan.surface.subject.noun} per pass do not fit into "
                f"the memory of the device ({problems[0]}). A product needs several times the "
                f"memory of an evaluation: {_way_out(plan)}, or use devices with more memory."
            )
        setting = replace(setting, batch=setting.batch // 2)


def _way_out(plan: HessianPlan) -> str:
    is_problem = isinstance(plan.surface.subject, ProblemSubject)
    return "give the problem smaller batches" if is_problem else "pass a smaller --batch"


def _choose_batch(plan: HessianPlan, inputs: SharedInputs, setting: Setting) -> int:
    if not setting.device.is_host:
        return GPU_BATCH
    return batch_for_cpu(inputs.cost(), plan.surface.subject.n_samples["train"])


def _try_on_all(
    ranks: Ranks, plan: HessianPlan, inputs: SharedInputs, setting: Setting, group: Group
) -> tuple[PointSolver | None, str | None]:
    """Set this rank up, or return why its memory did not suffice. Collective over the ranks."""
    # The ranks of a node share its memory; a GPU's memory belongs to one rank.
    n_sharing = ranks.node.size if setting.device.is_host else 1

    def attempt() -> tuple[PointSolver | None, str | None]:
        try:
            return PointSolver(plan, inputs, setting, group, n_sharing=n_sharing), None
        except torch.OutOfMemoryError as error:
            return None, str(error).split(". ")[0]

    return agree(ranks, attempt)


class PointSolver:
    """Hold this rank's network, directions and part of the data on its device."""

    def __init__(
        self,
        plan: HessianPlan,
        inputs: SharedInputs,
        setting: Setting,
        group: Group,
        *,
        n_sharing: int,
    ) -> None:
        """Put all inputs on the device, and check products at the center. Local.

        Args:
            plan: Plan of the run.
            inputs: Inputs of this rank.
            setting: How to compute.
            group: The ranks that share a point with this one.
            n_sharing: Number of ranks that share the memory of this device.

        Raises:
            InputError: If the network has no Hessian; see HessianPlane.check_products.
        """
        self.setting, self.group = setting, group
        self._plan = plan
        free = setting.device.free_bytes() // n_sharing
        n_samples = plan.surface.subject.n_samples["train"]
        samples = inputs.samples("train", self._rows(n_samples), setting.device)
        moved = inputs.moved_loss(samples, setting, quick=True)
        self.plane = HessianPlane(
            moved.network,
            moved.directions,
            moved.losses,
            setting,
            parameters=plan.parameters,
            total_weight=plan.total_weight,
            gauss_newton=plan.gauss_newton,
            budget_bytes=plan.budget_bytes or int(SHARE_OF_FREE * free),
            build=moved.build,
        )
        vector_bytes = 4 * self.plane.n_parameters
        fitting = int(SHARE_OF_BASIS * free / vector_bytes)
        self.n_basis = min(plan.n_basis, max(SMALLEST_BASIS, fitting))
        fitting = int(SHARE_OF_CHUNK * free / (8 * self.n_basis))
        self._chunk = min(setting.device.vector_chunk, max(SMALLEST_CHUNK, fitting))
        self._n_remembered = max(1, min(MOST_REMEMBERED, MEMORY_BYTES // vector_bytes))
        self._finished: list[Finished] = []
        self.preparation, self.launching = self.plane.description, "batch by batch"
        # A search keeps its basis in memory next to the batches, so products are tried next to one.
        # The vectors of the check take as much as the search's further ones.
        basis = torch.empty(
            self.n_basis, self.plane.n_parameters, dtype=torch.float32, device=setting.device.name
        )
        self.plane.check_products()
        self.plane.leave()
        del basis

    def _rows(self, n_samples: int) -> slice:
        """Return this rank's rows: whole batches, shared out as evenly as possible."""
        batch = self.setting.batch
        part = self.group.part(-(-n_samples // batch))
        return slice(min(part.start * batch, n_samples), min(part.stop * batch, n_samples))

    def evaluate_points(self, points: np.ndarray) -> np.ndarray:
        """Return the values of schema.HESSIAN at some points. Collective over the group."""
        return one_by_one(self._solve)(points)

    def _solve(self, point: int) -> np.ndarray:
        subject = self._plan.surface.subject
        with users_own(f"{subject.option}: {subject.model} raised at point {point}"):
            return self.solve_point(point)

    def solve_point(self, point: int) -> np.ndarray:
        """Return the values of schema.HESSIAN at a point. Collective over the group.

        Args:
            point: Flat index into [n_alpha, n_beta].

        Returns:
            Float64 [n] on the leader of the group; not valid elsewhere.
        """
        surface = self._plan.surface
        row, column = divmod(point, len(surface.beta))
        alpha, beta = float(surface.alpha[row]), float(surface.beta[column])
        values = self.lead(alpha, beta, lambda: self._ends_at(point, alpha, beta))
        return np.full(len(schema.HESSIAN), np.nan) if values is None else values

    def lead(self, alpha: float, beta: float, work: Callable[[], T]) -> T | None:
        """Go to a point, and do work there that needs products. Collective over the group.

        Args:
            alpha: Coordinate along the first direction.
            beta: Coordinate along the second.
            work: Function that the leader runs, while the others compute their part of each
                product.

        Returns:
            Result of the work, on the leader; None elsewhere.
        """
        self.plane.move_to(alpha, beta)
        if self._plan.total_weight is None:
            self.plane.divide_by(self.group.comm.allreduce(self.plane.weight))
        found = None
        if self.group.is_leader:
            found = work()
            if self.group.comm.size > 1:
                self.group.comm.bcast(False, root=0)
        else:
            self._serve()
        self.plane.leave()
        return found

    def _ends_at(self, point: int, alpha: float, beta: float) -> np.ndarray:
        start, kind = self._start(point, alpha, beta)
        ends = self._find(start, kind)
        self._remember(alpha, beta, ends)
        least, greatest = ends.least, ends.greatest
        values = (least.value, greatest.value, least.residual, greatest.residual)
        return np.array([*values, ends.n_products, kind], np.float64)

    def _find(self, start: torch.Tensor, kind: int) -> Ends:
        how = {
            "tolerance": self._plan.tolerance,
            "max_products": self._plan.max_products,
            "n_basis": self.n_basis,
        }
        if self._plan.solver == "arpack":
            from landscape_mpi.compute.arpack import find_ends_by_arpack  # slow to import, and rare

            return find_ends_by_arpack(self.multiply, start, **how)  # type: ignore[arg-type]
        least = MIN_PRODUCTS if kind == NEIGHBOUR_START else 1
        how |= {"min_products": least, "chunk": self._chunk}
        return find_ends(self.multiply, start, **how)  # type: ignore[arg-type]

    def _start(self, point: int, alpha: float, beta: float) -> tuple[torch.Tensor, int]:
        """Return a start from the nearest finished point or a random one, and its kind."""
        drawn = random_vector(self.plane, point)
        if not self._finished:
            return drawn, RANDOM_START
        near = min(
            self._finished, key=lambda done: (done.alpha - alpha) ** 2 + (done.beta - beta) ** 2
        )
        return near.start.to(drawn.device) + RANDOM_PART * drawn, NEIGHBOUR_START

    def _remember(self, alpha: float, beta: float, ends: Ends) -> None:
        if np.isfinite([ends.least.value, ends.greatest.value]).all():
            start = (ends.least.vector + ends.greatest.vector).cpu()
            self._finished = [*self._finished, Finished(alpha, beta, start)][-self._n_remembered :]

    def multiply(self, vector: torch.Tensor) -> torch.Tensor:
        """Return the product over all samples, on the leader; the others compute their part."""
        if self.group.comm.size == 1:
            return self.plane.multiply(vector)
        self.group.comm.bcast(True, root=0)
        sent = vector.cpu().numpy()
        self.group.comm.Bcast(sent, root=0)
        return torch.from_numpy(self._add_up(vector)).to(vector.device)

    def _serve(self) -> None:
        """Compute this rank's part of every product until the leader has its eigenvalues."""
        received = np.empty(self.plane.n_parameters, np.float32)
        while self.group.comm.bcast(None, root=0):
            self.group.comm.Bcast(received, root=0)
            self._add_up(torch.from_numpy(received).to(self.plane.device))

    def _add_up(self, vector: torch.Tensor) -> np.ndarray:
        """Return the sum of all ranks' parts to the leader. Collective over the group."""
        part = self.plane.multiply(vector).cpu().numpy()
        total = np.zeros_like(part)
        self.group.comm.Reduce(part, total, root=0)
        return total
