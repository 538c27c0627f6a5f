"""Print rank 0's messages before and after a Hessian run."""

from __future__ import annotations

import h5py
import numpy as np

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.compute.lanczos import FLOOR
from landscape_mpi.engine.filling import Outcome, Start
from landscape_mpi.engine.loss_messages import counted, sharing, summary
from landscape_mpi.engine.stopped import say_stopped
from landscape_mpi.invocation import typed
from landscape_mpi.jobs.hessian.hessian_plan import HessianPlan
from landscape_mpi.jobs.hessian.points import NEIGHBOUR_START, PointSolver
from landscape_mpi.store.hessian import ALL, FLAGS
from landscape_mpi.zoo.subset import describe


def say_start(ranks: Ranks, plan: HessianPlan, solver: PointSolver, start: Start) -> None:
    """Print the planned computation and its devices. Local; rank 0 prints."""
    if not ranks.is_root:
        return
    surface, rank_summary, kept = plan.surface, start.rank_summary, solver.plane.kept
    n_done = len(plan.points) - start.n_pending
    n_grid = len(surface.alpha) * len(surface.beta)
    print(
        f"{surface.subject.model}: {plan.identity['matrix']} in {solver.plane.n_parameters:,} "
        f"parameters, {surface.subject.n_samples['train']:,} training {surface.subject.noun}"
        f"{_which(plan)}, at {len(plan.points):,} of {n_grid:,} points, {n_done:,} of them done\n"
        f"{counted(ranks.size, 'rank')}: {rank_summary.devices}; batch {solver.setting.batch}, "
        f"{rank_summary.threads} a rank{sharing(rank_summary)}; {solver.plane.description}\n"
        f"kept between the products of a point: {kept.n_kept} of {kept.n_batches} batches, "
        f"{kept.n_kept * kept.batch_bytes / 1e9:.2g} GB a rank; {plan.solver}, tolerance "
        f"{plan.tolerance:g}, {solver.n_basis} vectors",
        flush=True,
    )


def _which(plan: HessianPlan) -> str:
    subset = str(plan.identity["subset"])
    return "" if subset == ALL else f" ({describe(subset)})"


def say_end(ranks: Ranks, plan: HessianPlan, outcome: Outcome) -> None:
    """Print the file's content and the next step. Local; rank 0 prints."""
    if not ranks.is_root:
        return
    names = ("hessian_min", "hessian_max", "hessian_min_residual", "hessian_max_residual")
    with h5py.File(plan.path, "r", locking=False) as file:
        done = file[FLAGS][...].ravel()[plan.points] == 1
        points = plan.points[done]
        known = {n: file[n][...].ravel()[points] for n in names}
        products = file["hessian_products"][...].ravel()[points]
        starts = file["hessian_start"][...].ravel()[points]
    if not outcome.finished:
        say_stopped(outcome.signal, done.sum(), len(plan.points), "points")
        return
    for name in names[:2]:
        print(summary(name, known[name], points, plan.surface))
    print(
        f"products: {products.mean():.1f} a point, at most {products.max()}; "
        f"{(starts == NEIGHBOUR_START).sum()} points started from a neighbour"
    )
    n_left = int((~_converged(known, plan.tolerance)).sum())
    if n_left:
        print(
            f"not converged at {n_left} points: see hessian_min_residual and "
            f"hessian_max_residual. To search further, pass --fresh --max-products "
            f"{2 * plan.max_products}"
        )
    print(f"done: {plan.path}; next: {typed('plot')} {plan.path}", flush=True)


def _converged(known: dict[str, np.ndarray], tolerance: float) -> np.ndarray:
    """Return the points at which both residuals are within the tolerance, bool [n]."""
    low, high, low_residual, high_residual = known.values()
    floor = FLOOR * np.maximum(np.abs(low), np.abs(high))
    good_low = low_residual <= tolerance * np.maximum(np.abs(low), floor)
    return good_low & (high_residual <= tolerance * np.maximum(np.abs(high), floor))
