"""The points that a tolerance asks for, level by level, from the values of coarser levels alone.

Each level is predicted from the one before. The difference between the computed values of
a level and this prediction (the hierarchical surplus) estimates the error of the next prediction
nearby. If that exceeds the tolerance, the next level is computed there; elsewhere it is predicted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from landscape_mpi.engine.adaptive.level_grid import LevelGrid, level_grids, predict
from landscape_mpi.engine.adaptive.tolerance import Tolerance

COVERED = 0.9  # share of surpluses that the estimate from the previous level should cover
DECAY = (0.25, 2.0)  # bounds of the ratio of a surplus to those of the previous level
ENOUGH = 30  # smallest number of surpluses of a level to measure that
MOST = 1e300  # values that overflow count as this
UNSEEN_DECAY = 0.5  # the same ratio for estimates without a measurement


@dataclass(frozen=True)
class Question:
    """The known values, and how cautiously to use them."""

    values: np.ndarray  # in the unit of the tolerance, float64 [n_losses, n_alpha, n_beta]
    done: np.ndarray  # computed points, bool [n_alpha, n_beta]
    settled: np.ndarray  # computed points to use wherever they lie, bool [n_alpha, n_beta]
    missed: np.ndarray  # error of interpolations found wrong, 0 elsewhere, as values
    reach: int  # nodes around a wrong one that count as equally wrong
    factor: float  # factor on every estimate
    tolerance: Tolerance


@dataclass(frozen=True)
class Answer:
    """The points that a tolerance asks for, or the values of the grid once they are computed."""

    pending: np.ndarray  # points to compute next, flat indices, int64 [n]
    used: np.ndarray  # computed points that give the values, bool [n_alpha, n_beta]
    values: np.ndarray  # float64 [n_losses, n_alpha, n_beta], from the finest level reached
    errors: np.ndarray  # estimated errors, 0 where computed, same shape as values


@dataclass
class _Level:
    """A level: its values, and the errors of its prediction."""

    grid: LevelGrid
    values: np.ndarray  # float64 [n_losses, a, b]
    errors: np.ndarray  # estimated errors, 0 where computed
    surplus: np.ndarray  # surpluses of new nodes, or their estimates; 0 elsewhere
    new: np.ndarray  # bool [a, b]
    decay: np.ndarray  # ratio of the next surplus to this one, float64 [n_losses]


def refine(question: Question) -> Answer:
    """Return the missing points of the first incomplete level, or the values of the whole grid.

    Args:
        question: The known values.
    """
    shape = question.done.shape
    below, base, *finer = level_grids(*shape)
    used = np.zeros(shape, bool)
    used[base.select] = True
    pending = (used | question.settled) & ~question.done
    if pending.any():
        return _stop(question, pending, used)
    level = _base_level(question, below, base)
    for grid in finer:
        prediction, roughness, estimate = _look_ahead(question, level, grid)
        asked = _asked(question, level.grid, grid, prediction, estimate)
        wanted = np.zeros(shape, bool)
        wanted[grid.select] = asked
        pending = wanted & ~question.done
        if pending.any():
            return _stop(question, pending, used)
        asked |= question.settled[grid.select] & grid.is_new(level.grid)
        used[grid.select] |= asked
        level = _next_level(question, level, grid, asked, (prediction, roughness, estimate))
    values = within_range(level.values, used)
    return Answer(np.empty(0, np.int64), used, values, level.errors)


def within_range(values: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Keep values that are not computed within the range of the computed ones.

    A cubic may overshoot; below the lowest computed loss it could make a negative one.

    Args:
        values: Float64 [n, n_alpha, n_beta].
        used: True at computed values, bool [n_alpha, n_beta].
    """
    known = np.isfinite(values) & used
    low = np.min(values, axis=(1, 2), keepdims=True, where=known, initial=np.inf)
    high = np.max(values, axis=(1, 2), keepdims=True, where=known, initial=-np.inf)
    return np.where(used | (low > high), values, np.clip(values, low, high))


def carry_on(values: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Predict values at all points from the used ones, as refine predicts losses.

    Args:
        values: Float64 [n, n_alpha, n_beta].
        used: True at computed points to use; all of the coarsest level, bool [n_alpha, n_beta].
    """
    _, grid, *finer = level_grids(*used.shape)
    found = values[..., *grid.select]
    for fine in finer:
        prediction = predict(found, grid, fine)
        prediction[..., *fine.places_of(grid)] = found
        known = used[fine.select] & fine.is_new(grid)
        found = np.where(known, values[..., *fine.select], prediction)
        grid = fine
    return within_range(found, used)


def _stop(question: Question, pending: np.ndarray, used: np.ndarray) -> Answer:
    return Answer(np.flatnonzero(pending), used, question.values, np.zeros_like(question.values))


def _base_level(question: Question, below: LevelGrid, base: LevelGrid) -> _Level:
    values = question.values[..., *base.select]
    prediction = predict(question.values[..., *below.select], below, base)
    surplus = _finite_difference(values, prediction)
    new, n_losses = base.is_new(below), len(values)
    return _Level(base, values, np.zeros_like(values), surplus * new, new, np.ones(n_losses))


def _finite_difference(values: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """Return |values - prediction|, or 0 if not finite: all points there are computed anyway."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(values - prediction)
    return np.where(np.isfinite(difference), difference, 0.0)


def _look_ahead(
    question: Question, level: _Level, grid: LevelGrid
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the prediction of a level, the nearby surpluses of the previous one, the estimate."""
    floor = question.tolerance.floor
    roughness = np.maximum(_nearby(level, grid), floor)
    estimate = question.factor * level.decay[:, None, None] * roughness
    if question.missed.any():
        estimate = np.maximum(estimate, _missed_nearby(question, grid))
    estimate = np.maximum(estimate, question.tolerance.least_estimate)
    return predict(level.values, level.grid, grid), roughness, estimate


def _nearby(level: _Level, grid: LevelGrid) -> np.ndarray:
    """Return the mean surplus of a level around the nodes of the next, float64 [n_losses, a, b]."""
    total, number = _window_sums(level.surplus), _window_sums(level.new[None].astype(float))
    corners = _corners(level.grid, grid)
    weight = sum(number[..., *corner] for corner in corners)
    with np.errstate(over="ignore"):
        mean = sum(total[..., *corner] for corner in corners) / np.maximum(weight, 1.0)
    return np.minimum(mean, MOST)


def _window_sums(values: np.ndarray) -> np.ndarray:
    """Return the sums of each value and its neighbours, float64 [n, a, b].

    scipy.ndimage has this and the largest value within reach, but all ranks would wait half a
    second for its import on rank 0.
    """
    _, n_alpha, n_beta = values.shape
    padded = np.pad(values, ((0, 0), (1, 1), (1, 1)))
    total = np.zeros_like(values)
    with np.errstate(over="ignore"):
        for row, column in np.ndindex(3, 3):
            total += padded[:, row : row + n_alpha, column : column + n_beta]
    return total


def _corners(coarse: LevelGrid, fine: LevelGrid) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return four indices, one for each corner of the coarse cell of each fine node."""
    sides = [
        (
            np.searchsorted(old, new, side="right") - 1,
            np.searchsorted(old, new, side="left"),
        )
        for old, new in ((coarse.alpha, fine.alpha), (coarse.beta, fine.beta))
    ]
    return [LevelGrid(rows, columns).select for rows in sides[0] for columns in sides[1]]


def _missed_nearby(question: Question, grid: LevelGrid) -> np.ndarray:
    """Return the largest error found within reach of each node, in the shape of the level."""
    along_beta = _largest_within(question.missed, grid.beta, question.reach)
    turned = np.swapaxes(along_beta, -1, -2)
    return np.swapaxes(_largest_within(turned, grid.alpha, question.reach), -1, -2)


def _largest_within(values: np.ndarray, nodes: np.ndarray, reach: int) -> np.ndarray:
    """Return the largest value within so many nodes of each node, along the last axis."""
    step = reach * int(np.diff(nodes).max(initial=1))
    near = [slice(max(0, node - step), node + step + 1) for node in nodes]
    return np.stack([values[..., places].max(axis=-1) for places in near], axis=-1)


def _asked(
    question: Question,
    coarse: LevelGrid,
    grid: LevelGrid,
    prediction: np.ndarray,
    estimate: np.ndarray,
) -> np.ndarray:
    """Say which nodes of a level should be computed, bool [a, b]."""
    too_far = ~(estimate <= question.tolerance.value) | ~np.isfinite(prediction)
    return too_far.any(axis=0) & grid.is_new(coarse)


def _next_level(
    question: Question,
    level: _Level,
    grid: LevelGrid,
    computed: np.ndarray,
    ahead: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> _Level:
    prediction, roughness, estimate = ahead
    old, new = grid.places_of(level.grid), grid.is_new(level.grid)
    values = np.where(computed, question.values[..., *grid.select], prediction)
    values[..., *old] = level.values
    inherited = [level.errors[..., *corner] for corner in _corners(level.grid, grid)]
    errors = np.where(computed, 0.0, np.maximum(np.max(inherited, axis=0), estimate))
    errors[..., *old] = level.errors
    found = _finite_difference(values, prediction)
    surplus = np.where(computed, found, UNSEEN_DECAY * estimate / question.factor) * new
    decay = _measure_decay(level.decay, found, roughness, computed)
    return _Level(grid, values, errors, surplus, new, decay)


def _measure_decay(
    before: np.ndarray, found: np.ndarray, roughness: np.ndarray, computed: np.ndarray
) -> np.ndarray:
    """Return the factor with which surpluses cover most of those of the next level."""
    if computed.sum() < ENOUGH:
        return before
    with np.errstate(over="ignore"):
        ratios = np.minimum(found[:, computed] / roughness[:, computed], MOST)
    return np.clip(np.quantile(ratios, COVERED, axis=1), *DECAY)
