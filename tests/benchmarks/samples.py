"""Count the samples that a standard error takes, and how often the stated interval holds.

The losses of all samples are computed once at each point of the plane, for the networks that the
authors of the method published. What a run would state is then computed for many orders of these
samples, and compared with the mean of all. Kept losses (--losses FILE) are not computed again.

    WEIGHTS=FOLDER IMAGES=FILE.npz make bench-samples
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from case import Case, cpu_setting
from page import replace_section, table

from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.unit_values import UnitValues
from landscape_mpi.engine.sampling.order import LEAST
from landscape_mpi.engine.sampling.rule import SamplingRule
from landscape_mpi.engine.sampling.tally import Tally, Z

PAGE = Path(__file__).parents[2] / "docs/sampling.md"
POINTS = {
    "resnet56": ((0, 0), (0.1, -0.1), (0.25, 0), (0.5, 0), (0.7, 0.7), (1, 0), (0, 1), (1, 1)),
    "resnet56_noshort": (
        *((0, 0), (0.02, 0.02), (0.05, 0.05), (0.1, 0)),
        *((0.25, 0), (0.5, 0.5), (0, 1), (1, 1)),
    ),
}
N_IMAGES, N_MANY = 4000, 50_000
MEAN, STD = (0.4914, 0.4824, 0.4467), (0.2471, 0.2435, 0.2616)
RULES = (SamplingRule(0.02, 0.002), SamplingRule(0.05, 0.002))
SEED, N_ORDERS = 0, 1000


@dataclass(frozen=True)
class Point:
    """The losses of all samples at a point of the plane of one network."""

    model: str
    place: tuple[float, float]
    losses: np.ndarray  # float64 [n]


@dataclass(frozen=True)
class Population:
    """All samples, or batches, of a split at a point; the quantity is total sum / total count."""

    sums: np.ndarray  # float64 [n]
    counts: np.ndarray  # float64 [n]
    guess: float  # value of one about which the network knows nothing, or 0 if that is not known
    guessed: float = math.inf  # how many targets of one may be as bad as a guess; see Tally

    @classmethod
    def of_losses(cls, losses: np.ndarray) -> Population:
        """Return that of samples of which each counts once, of a cross-entropy of ten classes."""
        return cls(losses, np.ones_like(losses), np.log(10))

    @property
    def value(self) -> float:
        """Return the quantity of all."""
        return float(self.sums.sum() / self.counts.sum())


@dataclass(frozen=True)
class Found:
    """The results of many orders of the samples of a point."""

    n_taken: np.ndarray  # float64 [n_orders]
    holds: np.ndarray  # whether the stated interval holds, bool [n_orders]
    plain_holds: np.ndarray  # the same for 1.96 deviations / sqrt(n), stopped by the same rule

    def cells(self) -> tuple[str, str]:
        """Return samples taken and the share of intervals that hold, in words."""
        return f"{self.n_taken.mean():,.0f}", f"{100 * self.holds.mean():.1f} %"


def compute_losses(model: str, weights: Path, images: Path) -> dict[str, np.ndarray]:
    """Return the losses of all images at the points of a network, float32 [n] each, by name."""
    case = Case(model, N_IMAGES, weights / f"{model}.t7", images)
    setting = cpu_setting("fp32", len(os.sched_getaffinity(0)))
    samples = ResidentSplit(*case.images(), mean=MEAN, std=STD, device="cpu")
    sample = samples.batch(slice(0, 2))
    plane = LossPlane(case.network(), case.directions(), {"train": samples}, sample, setting)
    return {
        name_of(model, place): plane.losses_at(*place, samples).numpy().copy()
        for place in POINTS[model]
    }


def name_of(model: str, place: Sequence[float]) -> str:
    """Return the name of a point in the file of losses."""
    return f"{model}/{place[0]:g}/{place[1]:g}"


def known_losses(options: argparse.Namespace) -> list[Point]:
    """Return the losses at all points, from the file or computed and kept there."""
    known: dict[str, np.ndarray] = {}
    if options.losses is not None and options.losses.exists():
        with np.load(options.losses) as file:
            known = dict(file)
    for model in POINTS:
        if name_of(model, POINTS[model][0]) not in known:
            known |= compute_losses(model, options.weights, options.images)
            if options.losses is not None:
                np.savez(options.losses, **known)
    return [
        Point(model, place, known[name_of(model, place)].astype(np.float64))
        for model, places in POINTS.items()
        for place in places
    ]


def orders_of(n: int, n_orders: int) -> np.ndarray:
    """Return random orders of n samples, int64 [n_orders, n]."""
    draw = np.random.default_rng(SEED)
    return np.stack([draw.permutation(n) for _ in range(n_orders)])


def try_orders(population: Population, orders: np.ndarray, rule: SamplingRule) -> Found:
    """Take samples in each order as a run does, and compare with the value of all."""
    true = population.value
    stated = [_take(population, order, rule) for order in orders]
    plain = [_take(population, order, rule, plain=True) for order in orders]
    return Found(
        np.array([n for n, _, _ in stated], dtype=float),
        np.array([abs(mean - true) <= half + 1e-9 * true for _, mean, half in stated]),
        np.array([abs(mean - true) <= half + 1e-9 * true for _, mean, half in plain]),
    )


def _take(
    population: Population, order: np.ndarray, rule: SamplingRule, *, plain: bool = False
) -> tuple[int, float, float]:
    """Return the samples taken, their mean and the half width of its interval."""
    n_all, guess = len(order), np.array([population.guess])
    start, end, tally = 0, min(LEAST, n_all), None
    while True:
        rows = order[start:end]
        sums, counts = population.sums[rows][None], population.counts[rows][None]
        portion = UnitValues(sums, counts, sums.sum(1), counts.sum(1))
        tally = Tally.begin(portion) if tally is None else tally.add(portion)
        stated = tally.standard_errors(n_all, guess, guessed=population.guessed)[0]
        error = _plain_error(tally, n_all) if plain else stated
        if rule.is_met(tally.means[0], error, np.array(tally.n), n_all):
            return tally.n, float(tally.means[0]), Z * float(error)
        start, end = end, min(2 * end, n_all)


def _plain_error(tally: Tally, n_all: int) -> float:
    spread = np.sqrt((1 - tally.n / n_all) * tally.squares[0] / (tally.n * (tally.n - 1)))
    return float(spread * tally.n / tally.counts[0])


def lines_of(points: Sequence[Point], rule: SamplingRule, n_orders: int) -> list[str]:
    """Return the section of one rule."""
    few, many = orders_of(N_IMAGES, n_orders), orders_of(N_MANY, n_orders)
    rows = []
    for point in points:
        losses = point.losses
        of_few = try_orders(Population.of_losses(losses), few, rule)
        of_many = try_orders(Population.of_losses(np.resize(losses, N_MANY)), many, rule)
        rows.append(
            (
                point.model,
                f"({point.place[0]:g}, {point.place[1]:g})",
                f"{losses.mean():.3g}",
                f"{losses.std() / losses.mean():.2g}",
                *of_few.cells(),
                *of_many.cells(),
                f"{100 * of_many.plain_holds.mean():.1f} %",
            )
        )
    heads = ("network", "point", "mean loss", "deviation / mean")
    few_heads = (f"taken of {N_IMAGES:,}", "interval holds")
    many_heads = (f"taken of {N_MANY:,}", "interval holds", "plain interval holds")
    return [
        f"`make bench-samples`, seed {SEED}, {n_orders:,} orders, {CPU.describe()}. The planes "
        "have seed 1, and the losses are those of the first 4,000 training images of CIFAR-10. To "
        "stand in for 50,000 images, each of the 4,000 occurs 12 or 13 times. The plain interval "
        "is 1.96 standard deviations / sqrt(n), without the corrections; the same rule stops it.",
        "",
        *table((*heads, *few_heads, *many_heads), rows),
    ]


def main() -> None:
    """Measure, and write a section for each rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=os.environ.get("WEIGHTS"))
    parser.add_argument("--images", type=Path, default=os.environ.get("IMAGES"))
    parser.add_argument("--losses", type=Path, help="file in which the losses are kept")
    parser.add_argument("--orders", type=int, default=N_ORDERS, help="orders to try")
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    if options.weights is None or options.images is None:
        parser.error("name the folder of the weights and the file of the images: see --help")
    points = known_losses(options)
    for rule in RULES:
        replace_section(
            options.page, f"Tolerance {rule.text}", lines_of(points, rule, options.orders)
        )


if __name__ == "__main__":
    main()
