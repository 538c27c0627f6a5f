"""The duration of a run, from the cost of a sample on each rank; needs no MPI."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from landscape_mpi.cluster.duration import describe_duration
from landscape_mpi.cluster.shards import shard_sizes
from landscape_mpi.compute.cost import MachineRates, SampleCost

MEASURE_S = 3.0
MIN_POINTS = 2
ENOUGH_S, ENOUGH_POINTS = 0.5, 100  # so many points in this time already tell their mean
# Of the points of large grids, to 0.03 decades (docs/adaptive.md).
SHARES = {"smooth": 0.05, "chaotic": 0.2}
DISTURBED = 1.1  # a measured share above this means that the measurement was disturbed


@dataclass(frozen=True)
class Measured:
    """The measurement of one precision."""

    precision: str
    sample_seconds: np.ndarray  # time of a sample on each rank, s, float64 [n_ranks]
    cost: SampleCost | None  # None if it cannot be counted
    rates: MachineRates  # of a rank

    def ideal_seconds(self) -> tuple[float, float]:
        """Return the time of a sample by arithmetic alone and by memory alone, s."""
        assert self.cost is not None
        n_bytes = 2 if self.precision == "bf16" else 4
        return (
            self.cost.operations / self.rates.operations_per_s,
            self.cost.values_moved * n_bytes / self.rates.bytes_per_s,
        )


def seconds_per_point(evaluate_point: Callable[[int], object], n_points: int) -> float:
    """Return the mean time of a point, s.

    Args:
        evaluate_point: Computes a point; called for a few seconds, for less if points are short.
        n_points: Number of points.
    """
    evaluate_point(0)  # the first point allocates memory
    n_done, elapsed, began = 0, 0.0, time.perf_counter()
    while n_done < MIN_POINTS or elapsed < (ENOUGH_S if n_done >= ENOUGH_POINTS else MEASURE_S):
        evaluate_point(n_done % n_points)
        n_done += 1
        elapsed = time.perf_counter() - began
    return elapsed / n_done


def run_seconds(sample_seconds: np.ndarray, *, n_points: int, n_samples: int) -> float:
    """Return the duration of a run whose points are shared out by the speed of the ranks.

    Args:
        sample_seconds: Time of a sample on each rank, s, float64 [n_ranks].
        n_points: Points of the grid.
        n_samples: Samples of a point.
    """
    one_round = n_points * sample_seconds.max()
    sizes = shard_sizes(sample_seconds, n_points=n_points, round_seconds=one_round)
    return float((sizes * sample_seconds).max()) * n_samples


def group_seconds(sample_seconds: np.ndarray, of_rank: Sequence[int]) -> np.ndarray:
    """Return the time of a sample for ranks that share the data of a point evenly.

    Args:
        sample_seconds: Time of a sample on each rank, s, float64 [n_ranks].
        of_rank: Group of each rank, int [n_ranks].

    Returns:
        Time of each group, s, float64 [n_groups]: that of its slowest rank.
    """
    groups = np.asarray(of_rank)
    members = [sample_seconds[groups == group] for group in range(groups.max() + 1)]
    return np.array([times.max() / len(times) for times in members])


@dataclass(frozen=True)
class Work:
    """The work of a run."""

    grid: tuple[int, int]  # points along alpha and beta
    n_pending: int  # points of the grid that are not done
    n_samples: int  # samples of a point
    noun: str  # noun for the samples, e.g. images
    quantities: tuple[str, ...] = ()  # quantities of a point, if they should be mentioned


def describe(measured: Measured, work: Work, of_rank: Sequence[int]) -> str:
    """Describe the measurement and the estimate of a run, line by line.

    Args:
        measured: Measurement in the run's precision, on all of its ranks.
        work: The work of the run.
        of_rank: Group of each rank; the ranks of a group share a point.
    """
    n_samples, noun = work.n_samples, work.noun
    sample_s = float(measured.sample_seconds.mean())
    run_s = run_seconds(
        group_seconds(measured.sample_seconds, of_rank),
        n_points=work.n_pending,
        n_samples=n_samples,
    )
    lines = [
        f"{_rate(sample_s)} {noun}/s per rank, {_seconds(sample_s * n_samples)} per point of "
        f"{n_samples:,} {noun}" + (f", for {', '.join(work.quantities)}" if work.quantities else "")
    ]
    if measured.cost is not None:
        lines += _describe_limits(measured, sample_s, n_samples)
    lines.append(f"{_points(work)} on {_ranks(of_rank)}: about {describe_duration(run_s)}")
    return "\n".join(lines)


def describe_adaptive(
    measured: Measured, work: Work, of_rank: Sequence[int], *, least: int, tolerance: str
) -> str:
    """Describe the estimate of a run whose points depend on values, in a sentence.

    Args:
        measured: Measurement in the run's precision, on all of its ranks.
        work: The work of computing every point.
        of_rank: Group of each rank.
        least: Least number of points that it computes.
        tolerance: The tolerance, with its unit.
    """
    n_points = work.grid[0] * work.grid[1]
    words = []
    for kind, share in SHARES.items():
        n = min(n_points, max(least, round(share * n_points)))
        took = _time_of(measured, work, of_rank, points=n, samples=work.n_samples)
        words.append(f"about {n:,} if the surface is {kind} ({took})")
    return (
        f"with --adaptive, to {tolerance}, values decide how many points are computed: "
        f"{', '.join(words)}, at most all of them"
    )


def describe_sampling(
    measured: Measured, work: Work, of_rank: Sequence[int], *, least: int, rule: str
) -> str:
    """Describe the estimate of a run whose samples depend on values, in a sentence.

    Args:
        measured: Measurement in the run's precision, on all of its ranks.
        work: The work of taking every sample at every point.
        of_rank: Group of each rank.
        least: Least number of samples of a point.
        rule: The largest standard error, in words.
    """
    all_points = work.grid[0] * work.grid[1]
    took = _time_of(measured, work, of_rank, points=all_points, samples=least)
    return (
        f"with --rtol and --atol, to a standard error of {rule}, values decide how many "
        f"{work.noun} a point takes: at least {least:,} ({took} if no point "
        f"takes more), at most all of them"
    )


def describe_both(
    measured: Measured, work: Work, of_rank: Sequence[int], *, points: int, samples: int
) -> str:
    """Describe the least work of a run whose points and samples both depend on values.

    Args:
        measured: Measurement in the run's precision, on all of its ranks.
        work: The work of taking every sample at every point.
        of_rank: Group of each rank.
        points: Least number of points.
        samples: Least number of samples of a point.
    """
    took = _time_of(measured, work, of_rank, points=points, samples=samples)
    return f"with both, at least {points:,} points of {samples:,} {work.noun} each ({took})"


def _time_of(
    measured: Measured, work: Work, of_rank: Sequence[int], *, points: int, samples: int
) -> str:
    """Return the time, in words, until so many points are computed with so many samples each."""
    left = max(0, points - (work.grid[0] * work.grid[1] - work.n_pending))
    seconds = group_seconds(measured.sample_seconds, of_rank)
    took = run_seconds(seconds, n_points=left, n_samples=samples) if left else 0.0
    return describe_duration(took)


def _describe_limits(measured: Measured, sample_s: float, n_samples: int) -> list[str]:
    """Describe the used share of the machine, and the limit of the run."""
    operations_s, moved_s = measured.ideal_seconds()
    limit = "matrix products" if operations_s >= moved_s else "memory traffic"
    floor_s = max(operations_s, moved_s)
    disturbed = (
        ", as measured while other jobs disturbed it" if floor_s > DISTURBED * sample_s else ""
    )
    of_products, of_copies = (100 * part_s / sample_s for part_s in (operations_s, moved_s))
    return [
        f"arithmetic: {of_products:.0f} % of the rate of matrix products on this machine "
        f"({measured.rates.operations_per_s / 1e9:,.0f} GFLOP/s a rank, {measured.precision})",
        f"memory: {of_copies:.0f} % of the rate of copies ({measured.rates.bytes_per_s / 1e9:,.1f} "
        "GB/s a rank), if every activation is written and read once",
        f"at full speed, {limit} alone would take {_seconds(floor_s * n_samples)} a point"
        f"{disturbed}",
    ]


def _points(work: Work) -> str:
    grid = f"{work.grid[0]} x {work.grid[1]} points"
    if work.n_pending == work.grid[0] * work.grid[1]:
        return grid
    return f"{work.n_pending:,} points left of {grid}"


def _ranks(of_rank: Sequence[int]) -> str:
    n_ranks, n_groups = len(of_rank), len(set(of_rank))
    ranks = f"{n_ranks} rank{'s' if n_ranks > 1 else ''}"
    if n_groups == n_ranks:
        return ranks
    return f"{ranks}, {n_groups} points at a time" if n_groups > 1 else f"{ranks} that share each"


def _rate(sample_s: float) -> str:
    rate = 1 / sample_s
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.2g}"


def _seconds(value: float) -> str:
    return f"{value:,.0f} s" if value >= 100 else f"{value:.3g} s"
