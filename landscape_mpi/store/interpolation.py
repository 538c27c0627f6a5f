"""The interpolated points of a surface file, with their estimated errors."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np

from landscape_mpi.store.schema import (
    ADAPTIVE,
    CHECK_CHECKSUM,
    CHECK_ERROR,
    CHECK_ESTIMATE,
    ESTIMATE,
    INTERPOLATED,
    SPLITS,
    is_loss,
)

LOSS_ESTIMATE = f"loss{ESTIMATE}"  # ending of the names of the estimates of losses


@dataclass(frozen=True)
class Interpolation:
    """The interpolated points of a surface, and their estimated and observed errors."""

    tolerance: str  # e.g. 0.03 decades
    alpha: np.ndarray  # float64 [n_alpha]
    beta: np.ndarray  # float64 [n_beta]
    points: np.ndarray  # interpolated points, bool [n_alpha, n_beta]
    errors: dict[str, np.ndarray]  # by loss, in its unit: 0 at computed points, NaN without a value
    check_errors: np.ndarray  # found by the check, in the unit of the tolerance [n]
    check_estimates: np.ndarray  # the errors estimated there [n]

    @property
    def n_points(self) -> int:
        """Return the number of interpolated points."""
        return int(self.points.sum())

    def computed_places(self) -> np.ndarray:
        """Return the coordinates of the computed points, float64 [n, 2]."""
        rows, columns = np.nonzero(~self.points)
        return np.stack([self.alpha[rows], self.beta[columns]], axis=1)

    @property
    def check_words(self) -> str:
        """Describe the result of the check in a sentence."""
        return describe_check(self.check_errors, self.check_estimates, self.tolerance.split()[1])

    @property
    def title(self) -> str:
        """Return the number of interpolated points in a few words, for the title of a picture."""
        share = 100 * self.n_points / self.points.size
        return f"{share:.0f} % interpolated to {self.tolerance}"

    @property
    def words(self) -> str:
        """Return the number of interpolated points in a sentence."""
        n = self.points.size
        return (
            f"{self.n_points:,} of {n:,} points ({100 * self.n_points / n:.0f} %) are interpolated "
            f"to {self.tolerance}"
        )


def describe_check(errors: np.ndarray, estimates: np.ndarray, unit: str) -> str:
    """Compare estimated errors with observed ones, in words.

    Args:
        errors: Errors found by the check, NaN if the value is not finite, float64 [n].
        estimates: Their estimates, float64 [n].
        unit: Unit of both.
    """
    held, known = int((errors <= estimates).sum()), errors[np.isfinite(errors)]
    largest = f"; largest error {known.max():.2g} {unit}" if known.size else ""
    return (
        f"of {len(errors):,} interpolated points computed to check, {held:,} within the estimate"
        f"{largest}"
    )


def is_of_interpolation(file: h5py.File, name: str) -> bool:
    """Say whether a dataset is about interpolation, and not a separate quantity."""
    if CHECK_ERROR not in file:
        return False
    return name in {CHECK_ERROR, CHECK_ESTIMATE, CHECK_CHECKSUM} or (
        name.startswith(SPLITS) and name.endswith(ESTIMATE) and is_loss(name.removesuffix(ESTIMATE))
    )


def read_interpolation(file: h5py.File) -> Interpolation | None:
    """Read the interpolated points of a file; return None if it has none.

    Args:
        file: Surface file, open.
    """
    points = file["done"][()] == INTERPOLATED
    if CHECK_ERROR not in file or not points.any():
        return None
    names = [
        name for name in file if is_of_interpolation(file, name) and name.endswith(LOSS_ESTIMATE)
    ]
    errors, estimates = (file[name][()].ravel() for name in (CHECK_ERROR, CHECK_ESTIMATE))
    checked = ~np.isnan(estimates)
    return Interpolation(
        tolerance=f"{float(file.attrs[ADAPTIVE]):g} {file.attrs['adaptive_unit']}",
        alpha=file["alpha"][()],
        beta=file["beta"][()],
        points=points,
        errors={name.removesuffix(ESTIMATE): file[name][()] for name in names},
        check_errors=errors[checked],
        check_estimates=estimates[checked],
    )
