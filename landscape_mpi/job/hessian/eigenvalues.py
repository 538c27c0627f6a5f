"""The eigenvalues in the surface file: room made for them, or gone on with, and filled."""

from __future__ import annotations

import numpy as np

from landscape_mpi.cluster.communicator import ROOT, Ranks, on_root
from landscape_mpi.cluster.progress import Progress
from landscape_mpi.cluster.rounds import one_by_one
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.job import provenance
from landscape_mpi.job.hessian.plan import HessianInputs, HessianPlan
from landscape_mpi.job.hessian.points import PointSolver
from landscape_mpi.job.surface.surface_file import Columns, Outcome, Start, fill_columns
from landscape_mpi.job.workers import describe_workers
from landscape_mpi.output import OutputLock
from landscape_mpi.store import schema
from landscape_mpi.store.hessian import (
    FLAGS,
    RUNS,
    check_same_hessian,
    has_hessian,
    make_room,
    pending_eigenvalues,
)
from landscape_mpi.store.runs import next_row, settle_killed_run

COLUMNS = Columns(tuple(schema.HESSIAN), prefix="hessian_", command="landscape_mpi.hessian")


def begin_or_resume(
    ranks: Ranks, job: HessianPlan, root: HessianInputs | None, solver: PointSolver
) -> Start:
    """Make room for the eigenvalues, or go on with those there. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        job: What is asked.
        root: On rank 0 what it has read.
        solver: This rank's.
    """
    workers = describe_workers(ranks, solver.setting, solver.group)

    def begin() -> tuple[np.ndarray, int, OutputLock] | None:
        if root is None:
            return None
        lock = OutputLock(job.path)  # a surface that is still computed is left to its own run
        known = job.identity | {"device": solver.setting.kind}
        if has_hessian(job.path) and not root.fresh:
            check_same_hessian(job.path, known)
        else:
            make_room(job.path, known | _described(job, solver))
        settle_killed_run(job.path, table=RUNS, flags=FLAGS)
        pending = pending_eigenvalues(job.path, job.points)
        return pending, next_row(job.path, table=RUNS), lock

    pending, row, lock = on_root(ranks, begin) or (None, 0, None)
    known = (len(pending), row) if pending is not None else None
    n_pending, row = ranks.comm.bcast(known, root=ROOT)
    return Start(workers, n_pending, row, pending, lock)


def _described(job: HessianPlan, solver: PointSolver) -> dict:
    return {
        "n_parameters": solver.plane.n_parameters,
        "max_products": job.max_products,
        "batch": solver.setting.batch,
        "preparation": solver.plane.description,
        **provenance.made_by("landscape_mpi.hessian"),
        "started": provenance.now(),
    }


def fill(
    ranks: Ranks, job: HessianPlan, solver: PointSolver, start: Start, stop: StopRequest
) -> Outcome:
    """Compute the eigenvalues that are left and write them. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        job: What is asked.
        solver: This rank's.
        start: Where to begin.
        stop: Asked after every point; it listens already.
    """
    progress = Progress(
        n_points=len(job.points),
        n_done=len(job.points) - start.n_pending,
        samples_per_point=None,
        shown=ranks.is_root,
    )
    evaluate, group = one_by_one(solver.solve_point), solver.group
    return fill_columns(ranks, job.surface, group, evaluate, COLUMNS, start, stop, progress)
