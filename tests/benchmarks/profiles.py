"""Divide the time of an evaluation by kind of operation."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass

import torch
from case import cpu_setting, trained
from page import table

from landscape_mpi.compute.passes import batches

N_IMAGES = 640
# By the beginning of an operation's name, in the order in which they are tried.
KINDS = {
    "mkldnn::_convolution": "convolutions",
    "aten::mkldnn_convolution": "convolutions",
    "aten::thnn": "convolutions",
    "aten::addmm": "linear layers",
    "mkldnn::_linear": "linear layers",
    "aten::relu": "ReLU",
    "aten::clamp": "ReLU",  # relu calls it
    "aten::copy_": "conversion and layout",
    "aten::mul_": "normalising images",
    "aten::add_": "additions",
    "aten::avg_pool2d": "pooling",
    "aten::mean": "pooling",
}


@dataclass(frozen=True)
class Profile:
    """Shares of the time, by kind of operation."""

    model: str
    precision: str
    shares: dict[str, float]


def measure(model: str) -> list[Profile]:
    """Return a profile for fp32 and bf16, each taken in a process of its own."""
    profiles = []
    for precision in ("fp32", "bf16"):
        done = subprocess.run(
            [sys.executable, __file__, model, precision],
            check=True,
            capture_output=True,
            text=True,
        )
        lines = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
        shares = {name: float(share) for name, share in lines}
        profiles.append(Profile(model, precision, shares))
    return profiles


def _print_shares(model: str, precision: str) -> None:
    case = trained(model, N_IMAGES)
    setting = cpu_setting(precision, 1)
    plane = case.ours(setting)
    plane.evaluate(0.0, 0.0)
    (samples,) = plane._splits.values()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profiler:
        # In this thread: the profiler does not see the evaluator's own.
        for rows in batches(len(samples), setting.batch):
            plane._evaluator._evaluate_rows(samples, rows)
    times: dict[str, float] = defaultdict(float)
    for event in profiler.key_averages():
        kind = next((name for start, name in KINDS.items() if event.key.startswith(start)), "other")
        times[kind] += event.self_cpu_time_total
    total = sum(times.values())
    for kind, value in sorted(times.items(), key=lambda item: -item[1]):
        print(kind, value / total)


def describe(profiles_of_models: list[list[Profile]]) -> list[str]:
    """Return the section, line by line."""
    profiles = [profile for of_model in profiles_of_models for profile in of_model]
    kinds = list(dict.fromkeys(kind for profile in profiles for kind in profile.shares))
    rows = [
        (p.model, p.precision, *(f"{p.shares.get(kind, 0):.0%}" for kind in kinds))
        for p in profiles
    ]
    return [
        f"Measured by torch's profiler: {N_IMAGES} images, one thread. The time of the "
        "convolutions includes the reading and writing of activations. The matrix products that "
        "give the rate above stay in the cache.",
        "",
        *table(("network", "precision", *kinds), rows),
    ]


if __name__ == "__main__":
    _print_shares(*sys.argv[1:])
