"""The points of a file that need no further samples, and the sums from which others go on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from landscape_mpi.engine.plan import Plan
from landscape_mpi.engine.sampling.rule import SamplingRule
from landscape_mpi.errors import InputError
from landscape_mpi.store.resume import open_surface
from landscape_mpi.store.sampling import rows_of, stored_tolerances, tighten
from landscape_mpi.store.sampling_fields import N_SAMPLES, STANDARD_ERROR
from landscape_mpi.store.schema import COMPUTED


@dataclass(frozen=True)
class Progress:
    """The state of a file of which a run takes further samples."""

    settled: np.ndarray  # True at computed points that need no more, bool [n_alpha, n_beta]
    rows: dict[int, np.ndarray]  # by point, the sums of those that need more; see Tally.row
    n_empty: int  # points without a value
    n_samples: np.ndarray  # taken at computed points, of all splits, int64 [n_alpha, n_beta]

    @property
    def n_pending(self) -> int:
        """Return the number of points without a value, or that need more samples."""
        return self.n_empty + len(self.rows)


def read_progress(plan: Plan) -> Progress:
    """Return which points of a file need further samples. Local.

    Args:
        plan: The plan of the run, with its file and a rule.
    """
    assert plan.sampling is not None
    names = [item.name for item in plan.sampling_fields]
    with open_surface(plan.out) as file:
        done = file["done"][...]
        computed = done == COMPUTED
        settled, n_samples = computed.copy(), np.zeros(done.shape, np.int64)
        for split, n_all in plan.subject.n_samples.items():
            loss = f"{split}_loss"
            values, errors = file[loss][...], file[f"{loss}{STANDARD_ERROR}"][...]
            n_taken = file[f"{split}_{N_SAMPLES}"][...]
            settled &= plan.sampling.is_met(values, errors, n_taken, n_all)
            n_samples += n_taken
        open_points = np.flatnonzero(computed & ~settled)
        rows = dict(zip(open_points.tolist(), rows_of(file, names)[open_points], strict=True))
    return Progress(settled, rows, int((done == 0).sum()), n_samples)


def check_tolerances(plan: Plan) -> None:
    """Check that a resumed file allows no smaller errors than this run.

    Args:
        plan: The plan of the run; its file has a rule if the plan has one.

    Raises:
        InputError: If the file has a smaller tolerance.
    """
    stored, asked = stored_rule(plan), plan.sampling
    if stored is None or asked is None or asked.is_within(stored):
        return
    raise InputError(
        f"{plan.out} was computed with --rtol {stored.rtol:g} --atol {stored.atol:g}, but this "
        f"run has --rtol {asked.rtol:g} --atol {asked.atol:g}. A file can be continued with the "
        f"same or smaller tolerances, down to --rtol 0 --atol 0 for all samples: pass such "
        f"tolerances, or a new --out, or --fresh to start over."
    )


def with_progress(plan: Plan) -> Plan:
    """Return the plan of a resumed run with the number of points that need samples.

    Args:
        plan: The plan of the run, with its file.
    """
    return plan if plan.sampling is None else replace(plan, n_pending=read_progress(plan).n_pending)


def stored_rule(plan: Plan) -> SamplingRule | None:
    """Return the rule of the file of a plan, None if it takes all samples."""
    with open_surface(plan.out) as file:
        found = stored_tolerances(file)
    return None if found is None else SamplingRule(*found)


def take_over(plan: Plan) -> None:
    """Give a resumed file the tolerances of this run, if they are smaller. Local.

    Args:
        plan: The plan of the run. Nobody else may be writing its file.
    """
    if plan.sampling is not None and stored_rule(plan) != plan.sampling:
        tighten(plan.out, rtol=plan.sampling.rtol, atol=plan.sampling.atol)
