"""Measure evaluation on a GPU beside the field's plain one, and write examples/benchmarks.md.

    make bench-gpu                                       on the GPU that torch sees, some minutes
    python tests/benchmarks/gpu.py --device cpu ...      the same steps without one

Needs torch and numpy, no MPI. Trained weights of ResNet-20 and -56 are used where the folder
LANDSCAPE_DATA has them (checkpoints/resnet20-*.th), else random ones; images are made up, since
their values change no time.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from functools import cache, partial
from pathlib import Path

import stacked
import torch
from case import Case, find_checkpoint
from page import BENCHMARKS, replace_section, table
from worker import Worker

from landscape_mpi.compute.cost import measure_machine, sample_cost
from landscape_mpi.compute.device import describe_device
from landscape_mpi.compute.evaluation import DEFAULT_BATCH, Setting
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.precision import candidates, deviation
from landscape_mpi.compute.tuning import choose_batch_and_code
from landscape_mpi.job.surface.forecast import Measured

POINTS = [(0.0, 0.0), (0.25, 0.0), (0.0, -0.25), (0.5, 0.5), (1.0, -1.0)]
N_TIMED = 7

rates_of = cache(measure_machine)  # those of a precision, whatever the network


@dataclass(frozen=True)
class Row:
    """What one precision does for a network."""

    model: str
    precision: str
    how: str  # batch, compiled or not, graph or not
    ours_s: float  # a point, median
    floor_s: float  # by arithmetic or memory alone, at the rates measured in the same run
    plain_s: float  # a point of the plain evaluation, median
    deviation: float  # of the loss from fp32, largest of a few points, relative


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--models", default="resnet20,resnet56,resnet110")
    parser.add_argument("--plain-points", type=int, default=5)
    parser.add_argument("--page", type=Path, default=BENCHMARKS)
    return parser.parse_args(arguments)


def tuned(case: Case, setting: Setting) -> Setting:
    """Return the setting as `surface` would find it on a GPU; on a CPU it is what it is."""
    if setting.kind == "cpu":
        return setting

    def make_plane(batch: int, compiled: bool, n_timed: int) -> LossPlane:
        asked = replace(setting, batch=batch, compiled=compiled)
        return replace(case, n_images=n_timed).ours(asked)

    batch, worth, words = choose_batch_and_code(
        make_plane, n_samples=case.n_images, precision=setting.precision
    )
    print(f"{case.model} {setting.precision}: batch {batch}, {words}", flush=True)
    return replace(setting, batch=batch, compiled=worth)


def measure(model: str, options: argparse.Namespace) -> list[Row]:
    """Return a row for every precision of the device."""
    checkpoint = find_checkpoint(model)
    case = Case(f"{model}_pad" if checkpoint else model, options.images, checkpoint)
    kind = options.device.split(":")[0]
    make_plain = partial(_evaluate_plainly, case, options.device, _workers(kind))
    plain = Worker(make_plain, torch.get_num_threads(), start="spawn")
    plain.point(0.0, 0.0)
    cost = sample_cost(case.network(), torch.zeros(2, 3, 32, 32))
    expected, rows = None, []
    for precision in ("fp32", *candidates(options.device)):
        setting = tuned(case, Setting(options.device, precision, DEFAULT_BATCH[kind]))
        plane = case.ours(setting)
        losses = torch.tensor([plane.evaluate(*point)[0] for point in POINTS]).numpy()
        expected = losses if expected is None else expected
        seconds = [_time(plane.evaluate) for _ in range(N_TIMED)]
        plain_seconds = [plain.point(0.1, 0.1)[1] for _ in range(options.plain_points)]
        rates = rates_of(setting)
        measured = Measured(precision, torch.ones(1).numpy(), cost, rates)
        row = Row(
            model,
            precision,
            f"batch {setting.batch}, {'' if setting.compiled else 'not '}compiled, "
            f"{plane.launching}",
            statistics.median(seconds),
            max(measured.ideal_seconds()) * case.n_images,
            statistics.median(plain_seconds),
            deviation(losses, expected),
        )
        print(row, flush=True)
        rows.append(row)
    plain.close()
    return rows


def _evaluate_plainly(case: Case, device: str, n_workers: int) -> Callable[[float, float], float]:
    """Return the plain evaluation; in a process of its own, with torch's own settings."""
    return case.plain(device=device, n_workers=n_workers).evaluate


def _workers(kind: str) -> int:
    return 0 if kind == "cpu" else min(8, len(os.sched_getaffinity(0)))


def _time(evaluate) -> float:
    began = time.perf_counter()
    evaluate(0.1, 0.1)
    return time.perf_counter() - began


def describe(rows: list[Row], options: argparse.Namespace) -> list[str]:
    """Return the section, line by line."""
    columns = (
        *("network", "precision", "how", "a point", "floor", "share of the floor"),
        *("plain", "times faster", "largest deviation from fp32"),
    )
    cells = [
        (
            *(r.model, r.precision, r.how, f"{r.ours_s * 1e3:.1f} ms", f"{r.floor_s * 1e3:.1f} ms"),
            *(f"{r.floor_s / r.ours_s:.0%}", f"{r.plain_s * 1e3:,.0f} ms"),
            *(f"{r.plain_s / r.ours_s:,.0f}", f"{r.deviation:.1e}"),
        )
        for r in rows
    ]
    return [
        f"`make bench-gpu`, {date.today():%d %B %Y}, {describe_device(options.device)}, torch "
        f"{torch.__version__}: the loss of {options.images:,} images at one point, medians of "
        f"{N_TIMED} points, and of {options.plain_points} of the plain evaluation, in one run. The "
        "floor is what arithmetic or memory traffic alone would take, whichever is longer, at the "
        "rates of matrix products and copies measured beside it.",
        "",
        *table(columns, cells),
    ]


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    if options.device.startswith("cuda") and not torch.cuda.is_available():
        sys.exit("bench-gpu: torch sees no GPU here.")
    rows = [row for model in options.models.split(",") for row in measure(model, options)]
    heading = f"A point on {describe_device(options.device)}"
    replace_section(options.page, heading, describe(rows, options))
    lines = stacked.describe(options.device, most_samples=options.images)
    heading = f"Several points at once on {describe_device(options.device)}"
    replace_section(options.page, heading, lines)
    print(options.page.read_text())


if __name__ == "__main__":
    main(sys.argv[1:])
