"""The points of a run with a tolerance: computed level by level, then the rest is filled in.

Only rank 0 has them. It decides from the computed values, whichever run computed them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape_mpi.engine.adaptive.level_grid import first_level
from landscape_mpi.engine.adaptive.refinement import carry_on
from landscape_mpi.engine.adaptive.self_check import Check, Step, next_step
from landscape_mpi.engine.adaptive.tolerance import Tolerance
from landscape_mpi.store.schema import CHECK_ERROR, CHECK_ESTIMATE, ESTIMATE, is_loss

AROUND = 3  # points to each side of the center: minimum, sharpness and curvature are exact


def around_center(alpha: np.ndarray, beta: np.ndarray) -> np.ndarray:
    """Say which points lie around (0, 0), bool [n_alpha, n_beta]; none if it is not a point.

    Args:
        alpha: Coordinates, float64 [n_alpha].
        beta: Coordinates, float64 [n_beta].
    """
    near = [
        np.abs(np.subtract.outer(np.arange(len(axis)), np.flatnonzero(axis == 0))) <= AROUND
        for axis in (alpha, beta)
    ]
    return np.logical_and.outer(near[0].any(axis=1), near[1].any(axis=1))


@dataclass(frozen=True)
class Filled:
    """The results to write once all points that the tolerance asks for are computed."""

    points: np.ndarray  # interpolated points, flat indices, int64 [n]
    columns: dict[str, np.ndarray]  # their quantities and estimated errors, each float64 [n]
    check_columns: dict[str, np.ndarray]  # results of the check at every point, NaN without one


class AdaptivePoints:
    """The points computed so far, and the next ones that follow from them."""

    def __init__(
        self,
        names: Sequence[str],
        values: np.ndarray,
        done: np.ndarray,
        tolerance: Tolerance,
        always: np.ndarray | None = None,
        work: np.ndarray | None = None,
    ) -> None:
        """Begin a run, or continue one.

        Args:
            names: Quantities of a point; the losses among them decide.
            values: Float64 [n_quantities, n_alpha, n_beta]; values of points that are not computed
                do not matter.
            done: True at computed points, bool [n_alpha, n_beta].
            tolerance: Largest error of interpolated losses.
            always: True at points that are computed in any case, bool [n_alpha, n_beta].
            work: Samples taken at computed points, float64 [n_alpha, n_beta]; None if all points
                take the same number.
        """
        self._names, self._tolerance, self._always = tuple(names), tolerance, always
        self._values, self._done = values.copy(), done.copy()
        self._work = None if work is None else np.where(done, work, 0.0)
        self._losses = [k for k, name in enumerate(names) if is_loss(name)]
        self._step: Step | None = None

    @property
    def tolerance(self) -> Tolerance:
        """Return the tolerance, whose offset may follow from the losses of the first level."""
        losses = np.where(self._done, self._values[self._losses], np.nan)
        return self._tolerance.for_losses(losses[..., *first_level(*self._done.shape).select])

    @property
    def n_done(self) -> int:
        """Return the number of computed points."""
        return int(self._done.sum())

    def take(self, points: np.ndarray, values: np.ndarray, work: np.ndarray | None = None) -> None:
        """Record computed points.

        Args:
            points: Flat indices, int64 [n].
            values: Float64 [n, n_quantities].
            work: Samples taken, float64 [n]; needed if they differ from point to point.
        """
        if self._work is not None and work is not None:
            self._work.ravel()[points] = work
        self._values.reshape(len(self._names), -1)[:, points] = values.T
        self._done.ravel()[points] = True
        self._step = None

    def next_points(self) -> np.ndarray:
        """Return the points to compute next, int64 [n]; empty if nothing is left.

        Those that are likely to take most samples come first, so that all ranks end a level at
        about the same time. The order changes no value and no choice.
        """
        step = self._find_step()
        if self._work is None or step.is_last:
            return step.pending
        expected = carry_on(self._work[None], step.answer.used)[0].ravel()[step.pending]
        return step.pending[np.argsort(-expected, kind="stable")]

    def last_check(self) -> Check | None:
        """Return the last complete check."""
        checks = self._find_step().checks
        return checks[-1] if checks else None

    def fill(self) -> Filled:
        """Return the values of all points that are not computed, and the results of the checks."""
        step, tolerance = self._find_step(), self.tolerance
        # Computed points that no level and no check asked for count as the others: a run that
        # was begun with larger errors of its values may have some.
        points = np.flatnonzero(~step.answer.used)
        columns = dict(zip(self._names, self._interpolated(step, points), strict=True))
        for k, errors in zip(self._losses, step.answer.errors, strict=True):
            scaled = tolerance.scaled(columns[self._names[k]])
            in_nat = tolerance.loss_errors(scaled, errors.ravel()[points])
            columns[f"{self._names[k]}{ESTIMATE}"] = in_nat
        last = step.checks[-1]  # points were added where earlier checks failed
        found = {}
        for name, of_checked in ((CHECK_ERROR, last.errors), (CHECK_ESTIMATE, last.estimates)):
            found[name] = np.full(self._done.size, np.nan)
            found[name][last.points] = of_checked
        return Filled(points, columns, found)

    def _find_step(self) -> Step:
        if self._step is None:
            losses = self._values[self._losses]
            self._step = next_step(losses, self._done, self.tolerance, self._always)
        return self._step

    def _interpolated(self, step: Step, points: np.ndarray) -> list[np.ndarray]:
        """Return each quantity at some points, interpolated."""
        found = []
        for k, grid in enumerate(self._values):
            if k in self._losses:
                scaled = step.answer.values[self._losses.index(k)].ravel()[points]
                found.append(self.tolerance.losses(scaled))
                continue
            found.append(carry_on(grid[None], step.answer.used)[0].ravel()[points])
        return found
