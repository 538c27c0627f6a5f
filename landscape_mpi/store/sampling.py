"""The numbers of samples behind the values of a surface file, and their standard errors."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from landscape_mpi.output import whole_file
from landscape_mpi.store.checksums import seal
from landscape_mpi.store.sampling_fields import (
    ATOL,
    N_ALL,
    N_SAMPLES,
    NOUN,
    RTOL,
    SAMPLING,
    STANDARD_ERROR,
)
from landscape_mpi.store.schema import CHECK_ERROR, CHECK_ESTIMATE, COMPUTED, is_loss

MANY = 99.0  # percent: a larger share has four digits; with two it would read 1e+02
NO_UNIT = "1"


@dataclass(frozen=True)
class Sampling:
    """The samples taken at the points of a surface, and the standard errors of its values."""

    rule: str  # the largest standard error of a loss, e.g. 0.002 + 0.02 x loss
    noun: str  # noun for what is taken, e.g. images
    computed: np.ndarray  # bool [n_alpha, n_beta]
    unmet: np.ndarray  # computed points whose error is too large yet, bool [n_alpha, n_beta]
    n_all: dict[str, int]  # samples of each split
    n_samples: dict[str, np.ndarray]  # taken, by split, int64 [n_alpha, n_beta]
    errors: dict[str, np.ndarray]  # by quantity, in its unit, float64 [n_alpha, n_beta]
    units: dict[str, str]  # of the errors

    @property
    def share(self) -> float:
        """Return the share of all samples that was taken at the computed points, from 0 to 1."""
        n_points = int(self.computed.sum())
        taken = sum(int(n[self.computed].sum()) for n in self.n_samples.values())
        return taken / (n_points * sum(self.n_all.values())) if n_points else 0.0

    @property
    def percent(self) -> str:
        """Return the share in percent, in words: 2.6 %, 100 %."""
        percent = 100 * self.share
        return f"{percent:.{2 if percent < MANY else 4}g} %"

    def largest_error(self, name: str) -> float:
        """Return the largest standard error of a quantity; NaN where none is known.

        Args:
            name: Name of the quantity.
        """
        known = self.errors[name][self.computed]
        known = known[np.isfinite(known)]
        return float(known.max()) if known.size else float("nan")

    @property
    def title(self) -> str:
        """Return the rule in a few words, for the title of a picture."""
        n_unmet = int(self.unmet.sum())
        yet = f" (not yet at {n_unmet:,} point{'' if n_unmet == 1 else 's'})" if n_unmet else ""
        return f"estimates, standard error up to {self.rule}{yet}"

    @property
    def words(self) -> str:
        """Describe the samples taken and the largest standard error of each loss in a sentence."""
        losses = [name for name in self.errors if is_loss(name)]
        found = [
            " ".join((f"{self.largest_error(name):.2g}", *self._unit(name), f"({name})"))
            for name in losses
            if math.isfinite(self.largest_error(name))
        ]
        return (
            f"values are estimates from {self.percent} of the {self.noun}, taken until "
            f"the standard error was at most {self.rule}; the largest is "
            f"{', '.join(found) or 'not known'}{self._unmet_words()}"
        )

    def _unmet_words(self) -> str:
        """Say how many points still have a larger error than the rule allows."""
        n = int(self.unmet.sum())
        have = "point has" if n == 1 else "points have"
        return f"; {n:,} {have} not reached this limit yet" if n else ""

    def _unit(self, name: str) -> list[str]:
        """Return the unit of a quantity, if it has one."""
        return [] if self.units[name] == NO_UNIT else [self.units[name]]


def describe_rule(rtol: float, atol: float) -> str:
    """Return the largest standard error of a loss in words, e.g. ``0.002 + 0.02 x loss``.

    Args:
        rtol: Its part relative to the loss.
        atol: Its part in the unit of the loss.
    """
    parts = [f"{atol:g}"] if atol or not rtol else []
    return " + ".join(parts + ([f"{rtol:g} x loss"] if rtol else []))


def is_met(
    means: np.ndarray,
    errors: np.ndarray,
    n_taken: np.ndarray,
    n_all: int,
    *,
    rtol: float,
    atol: float,
) -> np.ndarray:
    """Say at which points the samples taken suffice, bool [...].

    A loss that is NaN or infinite stays so, whatever is added. Where no target has counted so far,
    the loss is NaN and its error infinite, so more are taken.

    Args:
        means: Losses, float64 [...].
        errors: Their standard errors; NaN beside a loss that is not finite.
        n_taken: Samples taken, 0 where the point is not computed.
        n_all: Samples of the split.
        rtol: Standard error allowed, relative to the loss.
        atol: Standard error allowed, in the unit of the loss. If rtol is also 0, only all samples
            suffice.
    """
    with np.errstate(invalid="ignore"):
        within = errors <= atol + rtol * np.abs(means)
    fixed = ~np.isfinite(means) & ~np.isposinf(errors)
    enough = (within | fixed) & (n_taken > 0) & (rtol > 0 or atol > 0)
    return np.asarray(enough | (n_taken >= n_all))


def read_sampling(file: h5py.File) -> Sampling | None:
    """Read the numbers of samples of a file; return None if every value is from all samples.

    Args:
        file: Surface file, open.
    """
    splits = [name.removesuffix(N_SAMPLES) for name in file if name.endswith(f"_{N_SAMPLES}")]
    if SAMPLING not in file.attrs or RTOL not in file.attrs:
        return None
    names = [name.removesuffix(STANDARD_ERROR) for name in file if name.endswith(STANDARD_ERROR)]
    errors = {name: file[f"{name}{STANDARD_ERROR}"] for name in names}
    rtol, atol = float(file.attrs[RTOL]), float(file.attrs[ATOL])
    n_all = {split[:-1]: int(file.attrs[f"{N_ALL}{split[:-1]}"]) for split in splits}
    n_samples = {split[:-1]: file[f"{split}{N_SAMPLES}"][()] for split in splits}
    computed = file["done"][()] == COMPUTED
    met = np.ones_like(computed)
    for split, n in n_samples.items():
        values, deviations = file[f"{split}_loss"][()], errors[f"{split}_loss"][()]
        met &= is_met(values, deviations, n, n_all[split], rtol=rtol, atol=atol)
    return Sampling(
        rule=describe_rule(rtol, atol),
        noun=str(file.attrs[NOUN]),
        computed=computed,
        unmet=computed & ~met,
        n_all=n_all,
        n_samples=n_samples,
        errors={name: dataset[()] for name, dataset in errors.items()},
        units={name: str(dataset.attrs["units"]) for name, dataset in errors.items()},
    )


def stored_tolerances(file: h5py.File) -> tuple[float, float] | None:
    """Return rtol and atol of a file; None if it takes all samples at every point.

    Args:
        file: Surface file, open.
    """
    if RTOL not in file.attrs:
        return None
    return float(file.attrs[RTOL]), float(file.attrs[ATOL])


def tighten(path: Path, *, rtol: float, atol: float) -> None:
    """Give a file smaller tolerances. Local; nobody may be writing the file.

    The file is replaced at once or not at all. Interpolated points are taken out, since the values
    around them are going to change; computed ones keep theirs until they take further samples.

    Args:
        path: Surface file.
        rtol: Standard error allowed, relative to the loss.
        atol: Standard error allowed, in the unit of the loss.
    """
    image = path.read_bytes()
    with whole_file(path) as partial:
        partial.write_bytes(image)
        with h5py.File(partial, "r+", locking=False) as file:
            file.attrs.modify(RTOL, rtol)
            file.attrs.modify(ATOL, atol)
            done = file["done"][...]
            file["done"][...] = np.where(done == COMPUTED, done, 0)
            for name in {CHECK_ERROR, CHECK_ESTIMATE} & set(file):
                file[name][...] = np.nan  # of values that are going to change
        seal(partial)


def rows_of(file: h5py.File, names: Sequence[str]) -> np.ndarray:
    """Return the values of some datasets at every point, float64 [n_points, n_names].

    Args:
        file: Surface file, open.
        names: Names of the datasets.
    """
    return np.stack([file[name][...].ravel().astype(np.float64) for name in names], axis=1)
