"""Measure each choice of the evaluation on a CPU: the same points with one thing changed."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from case import Case, cpu_setting
from page import table
from worker import Worker

from landscape_mpi.compute import evaluation, fusion, preparation
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.folding import FoldedNetwork
from landscape_mpi.compute.loss_plane import LossPlane

N_ROUNDS = 5
THREADS = 2
DEFAULTS = "the defaults"  # name of the first choice


@dataclass(frozen=True)
class Choice:
    """One thing done otherwise, in a process of its own."""

    name: str
    before: Callable[[], None] = lambda: None  # called before the plane is made
    after: Callable[[LossPlane], None] = lambda plane: None
    batch: int = CPU.default_batch
    threads: int = THREADS


def _hand_memory_back() -> None:
    evaluation.keep_freed_memory = lambda: False


def _leave_unfused() -> None:
    fusion.is_available = lambda: False


def _leave_unfolded() -> None:
    preparation._fold_if_right = lambda network, directions, sample: FoldedNetwork(
        network, directions, 0, 0, "measured so"
    )


def _split_each_batch(plane: LossPlane) -> None:
    torch.set_num_threads(THREADS)


def _keep_floats(plane: LossPlane) -> None:
    for samples in plane._splits.values():
        everything = samples.batch(slice(0, len(samples)))
        samples.batch = lambda rows, kept=everything: kept[rows]


CHOICES = (
    Choice(DEFAULTS),
    Choice("freed memory handed back to the system", before=_hand_memory_back),
    Choice("bias and additions not fused", before=_leave_unfused),
    Choice("batch-norm not folded, nothing fused", before=_leave_unfolded),
    Choice("one batch at a time, split over the threads", after=_split_each_batch, threads=1),
    Choice("pixels kept as float32, normalised once", after=_keep_floats),
    *(Choice(f"batch {batch}", batch=batch) for batch in (16, 32, 128, 256, 1024)),
)


def measure(case: Case, precision: str) -> dict[str, float]:
    """Return the time of a point relative to the first choice, medians over rounds."""
    workers = {choice.name: _worker(case, precision, choice) for choice in CHOICES}
    rounds = []
    for worker in workers.values():
        worker.point(0, 0)
    for number in range(N_ROUNDS):
        seconds = {name: worker.point(0.1 * number, 0)[1] for name, worker in workers.items()}
        rounds.append({name: s / seconds[DEFAULTS] for name, s in seconds.items()})
    for worker in workers.values():
        worker.close()
    return {name: statistics.median(r[name] for r in rounds) for name in workers}


def _worker(case: Case, precision: str, choice: Choice) -> Worker:
    def make() -> Callable[[float, float], float]:
        choice.before()
        setting: Setting = replace(cpu_setting(precision, choice.threads), batch=choice.batch)
        plane = case.ours(setting)
        choice.after(plane)
        return lambda a, b: plane.evaluate(a, b)[0]

    return Worker(make, THREADS)


def describe(model: str, n_images: int, measured: dict[str, dict[str, float]]) -> list[str]:
    """Return the section, line by line.

    Args:
        model: Network.
        n_images: Samples of a point.
        measured: By precision, what measure returned.
    """
    rows = [
        (choice.name, *(f"{times[choice.name]:.2f}" for times in measured.values()))
        for choice in CHOICES
    ]
    return [
        f"The time of a point of {model}, {n_images:,} images, {THREADS} threads. Each row changes "
        f"one thing; the times are relative to `surface` with its defaults (batch "
        f"{CPU.default_batch}). They are medians of {N_ROUNDS} rounds; in each round, all rows "
        "take turns.",
        "",
        *table(("", *measured), rows),
    ]
