"""The points of a tolerance, and the check that they are enough: a sample of the others, computed.

Everything here follows from values and flags alone, so that a run on other ranks, or one that
was killed and goes on, decides the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

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
    errors: np.ndarray  # observed, in the unit of the tolerance, float64 [n]; NaN is not finite
    holds: np.ndarray  # whether the estimate covered it, bool [n]

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


def next_step(losses: np.ndarray, done: np.ndarray, tolerance: Tolerance) -> Step:
    """Return the points to compute next.

    Args:
        losses: Of computed points; others are not looked at, float64 [n_losses, n_alpha, n_beta].
        done: Which are computed, bool [n_alpha, n_beta].
        tolerance: How far the others may be off.
    """
    values = tolerance.scaled(np.where(done, losses, np.nan))
    nowhere = np.zeros(done.shape, bool)
    question = Question(values, done, nowhere, np.zeros_like(values), 1, 1.0, tolerance)
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


def _choose(candidates: np.ndarray, *, seed: int) -> np.ndarray:
    """Return a random sample of points, the same for one seed with any version of NumPy."""
    places = np.flatnonzero(candidates)
    n = int(np.clip(np.ceil(CHECKED * len(places)), LEAST_CHECKED, MOST_CHECKED))
    drawn = np.random.PCG64(seed).random_raw(candidates.size)[places]
    return places[np.argsort(drawn, kind="stable")[:n]]


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
    check = Check(chosen, errors.max(axis=0), holds.all(axis=0))
    missed = question.missed.copy()
    missed.reshape(n_losses, -1)[:, chosen] = np.where(holds, 0.0, known)
    settled = question.settled | answer.used
    settled.ravel()[chosen] = True
    factor, reach = question.factor, question.reach
    if not check.is_passed:
        with np.errstate(over="ignore"):
            ratios = (known / np.maximum(estimates, tolerance.floor)).max(axis=0)
        covering = np.quantile(ratios, HOLDING, method="higher")
        factor *= float(np.clip(covering, 1.0, MOST_SCALING))
        reach *= 2
    return check, replace(question, settled=settled, missed=missed, reach=reach, factor=factor)
