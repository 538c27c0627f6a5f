"""Measure whole runs of the command: two ranks beside one, time without evaluation, memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np
import torch
from case import MEAN, STD, Case, trained
from page import table

from landscape_mpi.compute.cost import sample_cost
from landscape_mpi.compute.devices.cpu import CPU

ROOT = Path(__file__).parents[2]
N_PAIRS = 5
N_POINTS = 40
N_IMAGES = 800  # a point of ResNet-20 then takes about 0.3 s and more
ALLOWED_BESIDE_BYTES = 400 << 20


@dataclass(frozen=True)
class Runs:
    """The measurements of whole runs."""

    scaling: float  # points per second of two ranks over those of one on one core, median
    point_s: float  # on one rank, median
    overhead: float  # share of a rank's time that is not spent on evaluation, median, one rank
    overhead_2: float  # the same, two ranks
    peak_bytes: int  # of a rank
    bound_bytes: int  # data, three times the weights, a batch's activations, and 400 MB


def surface(case: Case, out: Path, *options: str) -> list[str]:
    """Return the command line of a run."""
    return [
        *(sys.executable, "-m", "landscape_mpi.surface"),
        *("--model", case.model, "--checkpoint", str(case.checkpoint)),
        *("--data", f"npz:{case.data}", "--limit", str(case.n_images)),
        *("--mean", ",".join(map(str, MEAN)), "--std", ",".join(map(str, STD))),
        *("--out", str(out), "--device", "cpu", "--round-seconds", "3", *options),
    ]


def measure_runs(say: Callable[[str], None]) -> Runs:
    """Run the command on one rank on one core, and on two ranks on two, in turns."""
    case = trained("resnet20", N_IMAGES)
    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(N_PAIRS):
            one = _run(1, case, Path(folder) / f"{number}_1.h5")
            two = _run(2, case, Path(folder) / f"{number}_2.h5")
            say(f"surface: {one[0]:.2f} points/s on 1 rank, {two[0]:.2f} on 2")
            pairs.append((two[0] / one[0], one[1], one[2], two[2]))
        peak, bound = _memory(trained("resnet56", 1000), Path(folder) / "memory.h5")
    say(f"surface: peak memory {peak / 2**20:.0f} MB, bound {bound / 2**20:.0f} MB")
    return Runs(*(statistics.median(column) for column in zip(*pairs, strict=True)), peak, bound)


def _run(n_ranks: int, case: Case, out: Path) -> tuple[float, float, float]:
    """Return points per second, seconds a point, and the share of time not spent on evaluation."""
    core = ["taskset", "-c", "0"] if n_ranks == 1 else []
    words = surface(case, out, f"--x=-1:1:{N_POINTS}")
    command = [*core, str(ROOT / "launch/try_ranks.sh"), str(n_ranks), *words]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    with h5py.File(out) as file:
        run = file["provenance/runs"][0]
        seconds = file["seconds"][...]
    began, ended = (datetime.fromisoformat(run[name].decode()) for name in ("started", "ended"))
    elapsed = (ended - began).total_seconds()
    busy = seconds.sum() / n_ranks
    return N_POINTS / elapsed, float(np.median(seconds)), 1 - busy / elapsed


def _memory(case: Case, out: Path) -> tuple[int, int]:
    """Return the peak resident memory of a run on one rank, and what it may need."""
    process = subprocess.Popen(
        surface(case, out, "--x=-1:1:5", "--batch", str(CPU.default_batch)),
        stdout=subprocess.DEVNULL,
        env={**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"},
    )
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise RuntimeError(f"the run for its memory ended with status {status}")
    network = case.network()
    weights = sum(p.numel() * p.element_size() for p in network.state_dict().values())
    cost = sample_cost(network, torch.zeros(2, 3, 32, 32))
    activations = int(cost.values_moved / 2 * 4 * CPU.default_batch)
    data = case.n_images * (32 * 32 * 3 + 8)
    bound = data + 3 * weights + activations + ALLOWED_BESIDE_BYTES
    return usage.ru_maxrss * 1024, bound


def describe(runs: Runs) -> list[str]:
    """Return the section about whole runs, line by line."""
    rows = [
        ("a point on one rank", f"{runs.point_s:.2f} s"),
        ("points per second: two ranks divided by one", f"{runs.scaling:.2f}"),
        ("time not spent on evaluation (coordination, writes), one rank", f"{runs.overhead:.1%}"),
        ("the same, two ranks, waiting for the other included", f"{runs.overhead_2:.1%}"),
        ("peak memory of a rank, ResNet-56, 1,000 images", f"{runs.peak_bytes / 2**20:.0f} MB"),
        (
            "data + 3 x weights + a batch's activations + 400 MB",
            f"{runs.bound_bytes / 2**20:.0f} MB",
        ),
    ]
    return [
        f"`surface`, ResNet-20, fp32, {N_IMAGES} images, {N_POINTS} points, rounds of 3 s. One "
        f"rank on one core and two ranks on two cores take turns; medians of {N_PAIRS} pairs.",
        "",
        *table(("", ""), rows),
    ]
