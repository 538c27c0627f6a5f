"""Count the points that a tolerance takes, and measure its errors, on surfaces of known values.

No network is evaluated: what is known at every point is asked for point by point, as a run asks
for losses, and compared with what was interpolated. The surfaces are formulas made here, and, with
LANDSCAPE_SURFACES, the folder of surface files that others published.

    LANDSCAPE_SURFACES=... make bench-adaptive
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from page import replace_section, table
from scipy.interpolate import RectBivariateSpline

from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.engine.adaptive.self_check import next_step
from landscape_mpi.engine.adaptive.tolerance import Tolerance
from landscape_mpi.store.reader import read_surface

PAGE = Path(__file__).parents[2] / "docs/adaptive.md"
HEADING, WAITING = "Points and errors", "Waiting for a level"
SEED = 0
FINE = 249  # points of an axis of a smooth surface
TOLERANCES = (0.1, 0.03, 0.01)
RANKS = (4, 16, 64, 256)
DECADES = 2.0  # of the loss, from the center of a formula to its rim


@dataclass(frozen=True)
class Outcome:
    """The points that a tolerance took on one surface, and the errors of the others."""

    name: str
    tolerance: Tolerance
    done: np.ndarray  # computed, bool [n_alpha, n_beta]
    errors: np.ndarray  # of the others, in the unit of the tolerance, float64 [n]
    estimates: np.ndarray  # [n]
    steps: list[int]  # points of each level or check, one after the other
    seconds: float  # of processor, for all decisions together

    def row(self) -> tuple[str, ...]:
        """Return the row of the table."""
        known = self.errors if self.errors.size else np.zeros(1)
        holds = (self.errors <= self.estimates).mean() if self.errors.size else 1.0
        shape = " x ".join(str(n) for n in self.done.shape)
        return (
            f"{self.name}, {shape}",
            f"{self.tolerance.value:g}",
            f"{100 * self.done.mean():.1f} %",
            f"{np.quantile(known, 0.99):.4f}",
            f"{known.max():.4f}",
            f"{100 * holds:.1f} %",
            f"{self.seconds:.2f} s",
        )

    def waiting(self, n_ranks: int) -> float:
        """Return the share of time that equal ranks wait where each level is awaited."""
        busy = sum(self.steps)
        taken = sum(-(-n // n_ranks) * n_ranks for n in self.steps)
        return 1 - busy / taken


def take(name: str, losses: np.ndarray, tolerance: Tolerance) -> Outcome:
    """Take the points that a tolerance asks for, and compare the others with the truth."""
    done, steps, seconds = np.zeros(losses.shape, bool), [], 0.0
    while True:
        began = time.process_time()
        step = next_step(losses[None], done, tolerance)
        seconds += time.process_time() - began
        if step.is_last:
            break
        done.ravel()[step.pending] = True
        steps.append(len(step.pending))
    errors = np.abs(tolerance.scaled(losses) - step.answer.values[0])
    estimates = step.answer.errors[0]
    return Outcome(name, tolerance, done, errors[~done], estimates[~done], steps, seconds)


def made_surfaces() -> Iterator[tuple[str, np.ndarray]]:
    """Yield surfaces from formulas: a bowl, a bent valley, a bowl with ripples."""
    axis = np.linspace(-1, 1, FINE)
    alpha, beta = np.meshgrid(axis, axis, indexing="ij")
    yield "bowl", 10**DECADES * (0.3 * alpha**2 + 0.7 * beta**2) / 2
    yield "bent valley", 10**DECADES * ((beta - alpha**2) ** 2 + 0.01 * (alpha - 0.3) ** 2)
    draw = np.random.default_rng(SEED)
    ripples = np.zeros_like(alpha)
    for length in np.geomspace(0.1, 2, 60):
        angle, phase = draw.uniform(0, 2 * np.pi, 2)
        along = alpha * np.cos(angle) + beta * np.sin(angle)
        ripples += length * np.cos(2 * np.pi * along / length + phase)
    yield "bowl with ripples", np.exp(0.1 * ripples) * (0.1 + 8 * np.hypot(alpha, beta))


def published_surfaces(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the surfaces of files; smooth ones of few points also through a spline of many."""
    for path in sorted(folder.glob("*.h5")):
        surface = read_surface(path)
        losses = surface.values["train_loss"]
        yield path.stem, losses
        if max(losses.shape) < FINE // 4 and "noshort" not in path.stem:
            fine = [np.linspace(axis[0], axis[-1], FINE) for axis in (surface.alpha, surface.beta)]
            spline = RectBivariateSpline(surface.alpha, surface.beta, np.log10(losses + 0.1))
            yield f"{path.stem} through a spline", 10 ** spline(*fine) - 0.1


def lines_of(outcomes: list[Outcome], folder: Path | None) -> list[str]:
    """Return the section of points and errors."""
    command = (
        "make bench-adaptive" if folder is None else "LANDSCAPE_SURFACES=... make bench-adaptive"
    )
    heads = ("surface", "decades", "computed", "99 % of errors below", "largest", "estimates hold")
    return [
        f"`{command}`, seed {SEED}, {CPU.describe()}. Errors and estimates are in decades of loss "
        "+ 0.1, at the points that were not computed; points of the check count as computed. The "
        "last column is the processor time of all decisions of a run. The first three surfaces are "
        "formulas. The others are those that Li et al. 2018 published; *through a spline* means a "
        "spline through such a surface, evaluated on a finer grid.",
        "",
        *table((*heads, "decisions"), [outcome.row() for outcome in outcomes]),
    ]


def waiting_lines(outcomes: list[Outcome]) -> list[str]:
    """Return the section on how long ranks wait for one another at the ends of levels."""
    rows = [
        (
            outcome.name,
            f"{sum(outcome.steps):,} in {len(outcome.steps)}",
            *(f"{100 * outcome.waiting(n):.1f} %" for n in RANKS),
        )
        for outcome in outcomes
    ]
    return [
        "A level or check begins only when the one before is complete, so ranks wait. The table "
        "shows the share of the time that ranks of equal speed spend waiting. The tolerance is "
        f"{outcomes[0].tolerance.text}. The shares are counted from the points of each level, not "
        "timed. If a level has few points for the number of ranks, several ranks share the data of "
        "a point (`--ranks-per-point`), and wait less.",
        "",
        *table(("surface", "points in levels", *(f"{n} ranks" for n in RANKS)), rows),
    ]


def main() -> None:
    """Measure, and write both sections."""
    parser = argparse.ArgumentParser(description=__doc__)
    folder = os.environ.get("LANDSCAPE_SURFACES")
    parser.add_argument("--surfaces", type=Path, default=Path(folder) if folder else None)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    surfaces = [*made_surfaces()]
    if options.surfaces is not None:
        surfaces += published_surfaces(options.surfaces)
    outcomes = [
        take(name, losses, Tolerance(value)) for name, losses in surfaces for value in TOLERANCES
    ]
    replace_section(options.page, HEADING, lines_of(outcomes, options.surfaces))
    usual = [outcome for outcome in outcomes if outcome.tolerance.value == TOLERANCES[1]]
    replace_section(options.page, WAITING, waiting_lines(usual))


if __name__ == "__main__":
    main()
