"""The points of a tolerance, and the check that they are enough: a sample of the others, computed.

Everything here follows from values and flags alone, so that a run on other ranks, or one that
was killed and goes on, decides the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from landscape_mpi.engine.adaptive.level_grid import coarsest_points
from landscape_mpi.engine.adaptive.refinement import MOST, Answer, Question, refine
from landscape_mpi.engine.adaptive.tolerance import Tolerance

HOLDING = 0.95  # share of the checked estimates that must hold
LEAST_CHECKED, MOST_CHECKED = 100, 500  # 500 tell a share of 95 % to within 1 %
CHECKED = 0.02  # of the interpolated points, between these
MOST_SCALING = 1.25  # of all estimates after a check that fails; what is local is refined locally


@dataclass(frozen=True)
class Check:
    """What computing some interpolated points has shown."""

    points: np.ndarray  # flat indices, int64 [n]
    errors: np.ndarray  # observed in the worst loss, in the tolerance's unit, float64 [n]
    estimates: np.ndarray  # made before, float64 [n]
    holds: np.ndarray  # whether the estimate covers the error, bool [n]

    @property
    def is_passed(self) -> bool:
        """Return whether enough estimates held."""
        return bool(self.holds.size == 0 or self.holds.mean() >= HOLDING)


@dataclass(frozen=True)
class Step:
    """What to compute next; where nothing is left, what the grid holds."""

    pending: np.ndarray  # flat indices, int64 [n], in their order
    answer: Answer
    checks: tuple[Check, ...]  # those that are complete, in their order

    @property
    def is_last(self) -> bool:
        """Return whether all that the tolerance asks for is computed."""
        return not len(self.pending)


def next_step(
    losses: np.ndarray, done: np.ndarray, tolerance: Tolerance, always: np.ndarray | None = None
) -> Step:
    """Return the points to compute next.

    Args:
        losses: Of computed points; others are not looked at, float64 [n_losses, n_alpha, n_beta].
        done: Which are computed, bool [n_alpha, n_beta].
        tolerance: How far the others may be off.
        always: Which are computed whatever the values say, bool [n_alpha, n_beta].
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
    """Return how many points of a grid are computed at least: the coarsest level, and a check.

    Args:
        n_alpha: Points along alpha.
        n_beta: Points along beta.
    """
    n_base, n = coarsest_points(n_alpha, n_beta), n_alpha * n_beta
    return min(n, n_base + _n_checked(n - n_base))


def _n_checked(n: int) -> int:
    """Return how many of so many interpolated points are computed to check them."""
    return min(n, int(np.clip(np.ceil(CHECKED * n), LEAST_CHECKED, MOST_CHECKED)))


def _choose(candidates: np.ndarray, *, seed: int) -> np.ndarray:
    """Return a random sample of points, the same for one seed with any version of NumPy."""
    places = np.flatnonzero(candidates)
    drawn = np.random.PCG64(seed).random_raw(candidates.size)[places]
    return places[np.argsort(drawn, kind="stable")[: _n_checked(len(places))]]


def _judge(question: Question, answer: Answer, chosen: np.ndarray) -> tuple[Check, Question]:
    """Return how estimates compare with computed values, and what to ask after that."""
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
    worst = ratios.argmax(axis=0)  # of the losses of a point
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
