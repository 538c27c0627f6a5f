"""Measure evaluation beside the field's plain one, and write examples/benchmarks.md.

    LANDSCAPE_DATA=/data make bench

Both ways take turns at the same points in one run, each in a process of its own; ratios are
medians over the pairs. Takes about eight minutes on two cores; nothing else should run.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import choices
import command_runs
import profiles
import stacked
import torch
from case import Case, cpu_setting, trained
from page import BENCHMARKS, replace_section, table
from worker import Worker

from landscape_mpi.compute.cost import MachineRates, measure_machine, sample_cost
from landscape_mpi.compute.devices.cpu import CPU

MODELS = ("resnet20", "resnet56")
N_IMAGES = 1000
THREADS = 2
N_PAIRS = 7
PLANE = [(a / 2, b / 2) for a in range(-2, 3) for b in range(-2, 3)]


@dataclass(frozen=True)
class Ratio:
    """Our evaluation beside the plain one."""

    model: str
    precision: str
    plain_s: float  # a point, median
    ours_s: float
    faster: float  # median of the pairs' ratios
    share: float  # of the matrix products measured in the same run, median
    deviation: float  # of the loss over the plane, largest, relative
    deviation_above: float  # the same where the loss is above 0.1


def measure_model(model: str, say: Callable[[str], None]) -> list[Ratio]:
    """Return what fp32 and bf16 do for a network."""
    case = trained(model, N_IMAGES)
    operations = _operations(case)
    plain = Worker(lambda: case.plain().evaluate, THREADS)
    ours = {name: _our_worker(case, name) for name in ("fp32", "bf16")}
    rates = {name: Worker(_matrix_products(name), THREADS) for name in ours}
    try:
        return [
            _compare(model, name, plain, worker, rates[name], operations, say)
            for name, worker in ours.items()
        ]
    finally:
        for worker in (plain, *ours.values(), *rates.values()):
            worker.close()


def _our_worker(case: Case, precision: str) -> Worker:
    def make() -> Callable[[float, float], float]:
        plane = case.ours(cpu_setting(precision, THREADS))
        return lambda a, b: plane.evaluate(a, b)[0]

    return Worker(make, THREADS)


def _matrix_products(precision: str) -> Callable[[], Callable[[float, float], float]]:
    """Return what makes a function that returns operations per second, whatever the point."""

    def measure(a: float, b: float) -> float:
        rates: MachineRates = measure_machine(cpu_setting(precision, THREADS))
        return rates.operations_per_s

    def make() -> Callable[[float, float], float]:
        torch.set_num_threads(1)  # the threads of a rank multiply side by side
        return measure

    return make


def _operations(case: Case) -> float:
    """Return the floating-point operations of a point; in a process that may use torch."""

    def make() -> Callable[[float, float], float]:
        cost = sample_cost(case.network(), torch.zeros(2, 3, 32, 32))
        return lambda a, b: cost.operations * case.n_images

    worker = Worker(make, 1)
    operations, _ = worker.point(0, 0)
    worker.close()
    return operations


def _compare(
    model: str,
    precision: str,
    plain: Worker,
    ours: Worker,
    rates: Worker,
    operations: float,
    say: Callable[[str], None],
) -> Ratio:
    plain.point(0, 0), ours.point(0, 0)  # the first point allocates
    pairs = []
    for number in range(N_PAIRS):
        point = (number / N_PAIRS, -number / N_PAIRS)
        _, plain_s = plain.point(*point)
        _, ours_s = ours.point(*point)
        rate, _ = rates.point(0, 0)
        pairs.append((plain_s, ours_s, plain_s / ours_s, operations / ours_s / rate))
        say(f"{model} {precision}: plain {plain_s:.3f} s, ours {ours_s:.3f} s")
    losses = [(plain.point(*point)[0], ours.point(*point)[0]) for point in PLANE]
    deviations = [(abs(found - expected) / expected, expected) for expected, found in losses]
    return Ratio(
        model,
        precision,
        *(statistics.median(column) for column in zip(*pairs, strict=True)),
        deviation=max(value for value, _ in deviations),
        deviation_above=max(value for value, loss in deviations if loss > 0.1),
    )


def say_machine() -> str:
    """Return what the figures were measured on."""
    return (
        f"`make bench`, {date.today():%B %Y}: two cores of {CPU.describe()}, a virtual "
        f"machine; torch {torch.__version__}."
    )


def describe(ratios: list[Ratio]) -> list[str]:
    """Return the section about a point, line by line."""
    columns = (
        *("network", "precision", "plain", "ours", "times faster", "share of matrix products"),
        *("largest deviation at 25 points", "where the loss is above 0.1"),
    )
    rows = [
        (
            *(r.model, r.precision, f"{r.plain_s:.3f} s", f"{r.ours_s:.3f} s", f"{r.faster:.1f}"),
            *(f"{r.share:.0%}", f"{r.deviation:.1e}", f"{r.deviation_above:.1e}"),
        )
        for r in ratios
    ]
    return [
        say_machine(),
        "",
        f"The loss of {N_IMAGES:,} CIFAR-10 images at one point. The plain evaluation is that of "
        "most scripts: the unmodified network, channels first, float32, batch 128, weights set "
        "tensor by tensor. A DataLoader converts and normalises each image in the same process. "
        "Worker processes would share the same two cores, and were slower. Ours is `surface` with "
        f"its defaults and {THREADS} threads. Both take turns in one run; the times are medians of "
        f"{N_PAIRS} pairs. The share compares our operations per second with the rate of matrix "
        "products in the same run.",
        "",
        *table(columns, rows),
        "",
        "The deviations of the loss are relative to the plain evaluation, over a filter-normalised "
        "plane from -1 to 1.",
    ]


def main() -> None:
    def say(words: str) -> None:
        print(words, flush=True)

    ratios = [ratio for model in MODELS for ratio in measure_model(model, say)]
    replace_section(BENCHMARKS, "A point on a CPU, beside the plain evaluation", describe(ratios))
    lines = [say_machine(), "", *profiles.describe([profiles.measure(m) for m in MODELS])]
    replace_section(BENCHMARKS, "Where the time of a CPU goes", lines)
    case = trained(MODELS[0], N_IMAGES)
    measured = {name: choices.measure(case, name) for name in ("fp32", "bf16")}
    lines = [say_machine(), "", *choices.describe(MODELS[0], N_IMAGES, measured)]
    replace_section(BENCHMARKS, "What each choice for a CPU saves", lines)
    runs = command_runs.measure_runs(say)
    lines = [say_machine(), "", *command_runs.describe(runs)]
    replace_section(BENCHMARKS, "Whole runs on a CPU", lines)
    lines = [say_machine(), "", *stacked.describe("cpu")]
    replace_section(BENCHMARKS, "Several points at once, on one core", lines)
    print(BENCHMARKS.read_text())


if __name__ == "__main__":
    sys.exit(main())
