"""Print rank 0's messages before and after a Hessian run."""

from __future__ import annotations

import h5py
import numpy as np

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.compute.lanczos import FLOOR
from landscape_mpi.engine.filling import Outcome, Start
from landscape_mpi.engine.loss_messages import counted, sharing, summary
from landscape_mpi.engine.stopped import say_stopped
from landscape_mpi.jobs.hessian.plan import HessianPlan
from landscape_mpi.jobs.hessian.points import NEIGHBOUR_START, PointSolver
from landscape_mpi.store.hessian import ALL, FLAGS
from landscape_mpi.zoo.subset import describe


def say_start(ranks: Ranks, job: HessianPlan, solver: PointSolver, start: Start) -> None:
    """Print the planned computation and its devices. Local; rank 0 prints."""
    if not ranks.is_root:
        return
    surface, workers, kept = job.surface, start.workers, solver.plane.kept
    n_done = len(job.points) - start.n_pending
    n_grid = len(surface.alpha) * len(surface.beta)
    print(
        f"{surface.subject.model}: {job.identity['matrix']} in {solver.plane.n_parameters:,} "
        f"parameters, {surface.subject.n_samples['train']:,} training {surface.subject.noun}"
        f"{_which(job)}, at {len(job.points):,} of {n_grid:,} points, {n_done:,} of them done\n"
        f"{counted(ranks.size, 'rank')}: {workers.devices}; batch {solver.setting.batch}, "
        f"{workers.threads} a rank{sharing(workers)}; {solver.plane.description}\n"
        f"kept between the products of a point: {kept.n_kept} of {kept.n_batches} batches, "
        f"{kept.n_kept * kept.batch_bytes / 1e9:.2g} GB a rank; {job.solver}, tolerance "
        f"{job.tolerance:g}, {solver.n_basis} vectors",
        flush=True,
    )


def _which(job: HessianPlan) -> str:
    subset = str(job.identity["subset"])
    return "" if subset == ALL else f" ({describe(subset)})"


def say_end(ranks: Ranks, job: HessianPlan, outcome: Outcome) -> None:
    """Print the file's content and the next step. Local; rank 0 prints."""
    if not ranks.is_root:
        return
    names = ("hessian_min", "hessian_max", "hessian_min_residual", "hessian_max_residual")
    with h5py.File(job.path, "r", locking=False) as file:
        done = file[FLAGS][...].ravel()[job.points] == 1
        points = job.points[done]
        known = {n: file[n][...].ravel()[points] for n in names}
        products = file["hessian_products"][...].ravel()[points]
        starts = file["hessian_start"][...].ravel()[points]
    if not outcome.finished:
        say_stopped(outcome.signal, done.sum(), len(job.points), "points")
        return
    for name in names[:2]:
        print(summary(name, known[name], points, job.surface))
    print(
        f"products: {products.mean():.1f} a point, at most {products.max()}; "
        f"{(starts == NEIGHBOUR_START).sum()} points started from a neighbour"
    )
    n_left = int((~_converged(known, job.tolerance)).sum())
    if n_left:
        print(
            f"not converged at {n_left} points: see hessian_min_residual and "
            f"hessian_max_residual. To search further, pass --fresh --max-products "
            f"{2 * job.max_products}"
        )
    print(f"done: {job.path}; next: python -m landscape_mpi.plot {job.path}", flush=True)


def _converged(known: dict[str, np.ndarray], tolerance: float) -> np.ndarray:
    """Return the points at which both residuals are within the tolerance, bool [n]."""
    low, high, low_residual, high_residual = known.values()
    floor = FLOOR * np.maximum(np.abs(low), np.abs(high))
    good_low = low_residual <= tolerance * np.maximum(np.abs(low), floor)
    return good_low & (high_residual <= tolerance * np.maximum(np.abs(high), floor))
