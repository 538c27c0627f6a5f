"""The points of a tolerance, and the check that they suffice, on a computed sample of the others.

Everything here depends only on values and flags, so a run on other ranks, or one that resumes
after a kill, makes the same decisions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from landscape_mpi.engine.adaptive.level_grid import coarsest_points
from landscape_mpi.engine.adaptive.refinement import MOST, Answer, Question, refine
from landscape_mpi.engine.adaptive.tolerance import Tolerance

HOLDING = 0.95  # share of the checked estimates that must hold
LEAST_CHECKED, MOST_CHECKED = 100, 500  # 500 points measure a share of 95 % to within 1 %
CHECKED = 0.02  # share of the interpolated points, between the two numbers above
MOST_SCALING = 1.25  # largest growth of all estimates after a failed check


@dataclass(frozen=True)
class Check:
    """The errors found by computing some interpolated points."""

    points: np.ndarray  # flat indices, int64 [n]
    errors: np.ndarray  # observed errors of the worst loss, in the tolerance's unit, float64 [n]
    estimates: np.ndarray  # estimates from before, float64 [n]
    holds: np.ndarray  # whether the estimate covers the error, bool [n]

    @property
    def is_passed(self) -> bool:
        """Say whether enough estimates held."""
        return bool(self.holds.size == 0 or self.holds.mean() >= HOLDING)


@dataclass(frozen=True)
class Step:
    """The points to compute next, or, if none are left, the values of the grid."""

    pending: np.ndarray  # flat indices, int64 [n], in their order
    answer: Answer
    checks: tuple[Check, ...]  # complete checks, in their order

    @property
    def is_last(self) -> bool:
        """Say whether all points that the tolerance asks for are computed."""
        return not len(self.pending)


def next_step(
    losses: np.ndarray, done: np.ndarray, tolerance: Tolerance, always: np.ndarray | None = None
) -> Step:
    """Return the points to compute next.

    Args:
        losses: Losses, used only at computed points, float64 [n_losses, n_alpha, n_beta].
        done: True at computed points, bool [n_alpha, n_beta].
        tolerance: Largest error of the other points.
        always: True at points that are computed in any case, bool [n_alpha, n_beta].
    """
    values = tolerance.scaled(np.where(done, losses, np.nan))
    always = np.zeros(done.shape, bool) if always is None else always
    question = Question(values, done, always, np.zeros_like(values), 1, 1.0, tolerance)
    checks: list[Check] = []
    while True:
        answer = refine(question)
        if len(answer.pending) or (checks and checks[-1].is_passed):
            return Step(answer.pending, answer, tuple(checks))
        chosen = _choose(~answer.used, seed=len(checks))
        missing = chosen[~done.ravel()[chosen]]
        if len(missing):
            return Step(np.sort(missing), answer, tuple(checks))
        check, question = _judge(question, answer, chosen)
        checks.append(check)


def least_points(n_alpha: int, n_beta: int) -> int:
    """Return the least number of computed points of a grid: the coarsest level and a check.

    Args:
        n_alpha: Points along alpha.
        n_beta: Points along beta.
    """
    n_base, n = coarsest_points(n_alpha, n_beta), n_alpha * n_beta
    return min(n, n_base + _n_checked(n - n_base))


def _n_checked(n: int) -> int:
    """Return the number of interpolated points that are computed as a check."""
    return min(n, int(np.clip(np.ceil(CHECKED * n), LEAST_CHECKED, MOST_CHECKED)))


def _choose(candidates: np.ndarray, *, seed: int) -> np.ndarray:
    """Return a random sample of points, the same for a seed in any version of NumPy."""
    places = np.flatnonzero(candidates)
    drawn = np.random.PCG64(seed).random_raw(candidates.size)[places]
    return places[np.argsort(drawn, kind="stable")[: _n_checked(len(places))]]


def _judge(question: Question, answer: Answer, chosen: np.ndarray) -> tuple[Check, Question]:
    """Compare estimates with computed values, and return the next question."""
    n_losses, tolerance = len(answer.values), question.tolerance
    found, said, estimates = (
        x.reshape(n_losses, -1)[:, chosen] for x in (question.values, answer.values, answer.errors)
    )
    with np.errstate(invalid="ignore"):
        errors = np.abs(found - said)  # NaN where the computed value is not finite
    holds = errors <= estimates
    known = np.where(np.isfinite(errors), errors, MOST)
    with np.errstate(over="ignore"):
        ratios = known / np.maximum(estimates, tolerance.floor)
    worst = ratios.argmax(axis=0)  # the worst of the losses of a point
    places = worst, np.arange(len(chosen))
    check = Check(chosen, errors[places], estimates[places], holds[places])
    missed = question.missed.copy()
    missed.reshape(n_losses, -1)[:, chosen] = np.where(holds, 0.0, known)
    settled = question.settled | answer.used
    settled.ravel()[chosen] = True
    factor, reach = question.factor, question.reach
    if not check.is_passed:
        covering = np.quantile(ratios.max(axis=0), HOLDING, method="higher")
        factor *= float(np.clip(covering, 1.0, MOST_SCALING))
        reach *= 2
    return check, replace(question, settled=settled, missed=missed, reach=reach, factor=factor)
