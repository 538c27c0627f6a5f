"""The parts of a measurement in the first minutes on a GPU, each a function of the request.

The first parts decide whether the numbers are right, the next how fast they come. A part raises
where something is wrong; what it returns is in plain types, for one line of JSON.
"""

from __future__ import annotations

import math
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import stacked
import torch
from case import MEAN, STD, Case, find_checkpoint
from torch import nn

from landscape_mpi.compute.batch_losses import OutputLosses
from landscape_mpi.compute.cost import measure_machine
from landscape_mpi.compute.devices import recording
from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.evaluation import Evaluator, Setting, prepare_device
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.losses import CROSS_ENTROPY
from landscape_mpi.compute.passes import batches
from landscape_mpi.compute.precision import deviation
from landscape_mpi.compute.products import HessianPlane, random_vector
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.tuning import is_worth_compiling
from landscape_mpi.jobs.training.inputs import make_deterministic
from landscape_mpi.store.reader import read_surface
from landscape_mpi.zoo.dataset import DataSet, Split
from landscape_mpi.zoo.recipe import Recipe
from landscape_mpi.zoo.sample_task import SampleTask
from landscape_mpi.zoo.trainer import Trainer

POINTS = [(0.0, 0.0), (0.25, 0.0), (0.0, -0.25), (0.5, 0.5), (1.0, -1.0)]
N_CHECKED = 512  # images
N_TIMED = 7
LARGEST = {"fp32": 1e-4, "tf32": 2e-2, "bf16": 0.1}  # deviation from float64, relative
PRODUCT_BATCHES = (128, 256, 512, 1024)
Found = dict[str, Any]


class WrongError(Exception):
    """A GPU gave a wrong number."""


@dataclass(frozen=True)
class Asked:
    """The size of the measurement, and its device."""

    device: Device
    model: str
    n_images: int
    batches: tuple[int, ...]

    @property
    def is_trial(self) -> bool:
        """Return whether the script is tried, and not the device measured."""
        return self.n_images < N_CHECKED

    def case(self, n_images: int | None = None) -> Case:
        """Return the network and its images; trained weights where LANDSCAPE_DATA has some."""
        checkpoint = find_checkpoint(self.model)
        name = f"{self.model}_pad" if checkpoint else self.model
        return Case(name, n_images or self.n_images, checkpoint)

    def setting(self, precision: str = "fp32", **others: Any) -> Setting:
        """Return how to evaluate on the device."""
        return Setting(self.device, precision, others.pop("batch", self.batches[0]), **others)


def machine(asked: Asked) -> Found:
    """Measure what the GPU does at its best: products in each type, and copies."""
    device = asked.device
    found: Found = {
        "device": device.model(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda or torch.version.hip or "none",
        "cudnn": torch.backends.cudnn.version(),
        "python": platform.python_version(),
        "free_gib": device.free_bytes() / 2**30,
    }
    for precision in ("fp32", *device.precisions()):
        small = {"matrix_size": 256, "copy_bytes": 1 << 20} if asked.is_trial else {}
        rates = measure_machine(asked.setting(precision), **small)
        found[f"{precision}_tflops"] = rates.operations_per_s / 1e12
        found["copy_gb_per_s"] = rates.bytes_per_s / 1e9
    return found


def losses_at(plane: LossPlane, points: list[tuple[float, float]] = POINTS) -> np.ndarray:
    """Return the loss at points, float64 [n]."""
    return np.array([plane.evaluate(*point)[0] for point in points])


def exact_losses(case: Case) -> np.ndarray:
    """Return the loss at the points by a plain loop over the network, in float64 on the CPU."""
    network, directions = case.network().double(), case.directions()
    samples = ResidentSplit(*case.images(), mean=MEAN, std=STD, device=CPU.name)
    center = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    found = []
    for alpha, beta in POINTS:
        moved = dict(center)
        for axis, step in (("alpha", alpha), ("beta", beta)):
            for name, values in directions[axis].items():
                moved[name] = moved[name] + step * torch.from_numpy(values).double()
        network.load_state_dict(moved)
        with torch.no_grad():
            total = sum(
                float(
                    nn.functional.cross_entropy(
                        network(samples.batch(rows).double().contiguous()),
                        samples.targets[rows],
                        reduction="sum",
                    )
                )
                for rows in batches(len(samples), 64)
            )
        found.append(total / len(samples))
    return np.array(found)


def correctness(asked: Asked) -> Found:
    """Compare the loss at five points in each type with float64 on the CPU.

    Raises:
        WrongError: If one deviates by more than its type explains, or a second run gives others.
    """
    case = asked.case(min(asked.n_images, N_CHECKED))
    exact, found = exact_losses(case), {}
    for precision in ("fp32", *asked.device.precisions()):
        setting = asked.setting(precision, batch=min(case.n_images, asked.batches[0]))
        losses = losses_at(case.ours(setting))
        found[precision] = deviation(losses, exact)
        if not found[precision] <= LARGEST[precision]:
            raise WrongError(f"{precision} deviates from float64 by {found[precision]:.3g}")
        if not np.array_equal(losses, losses_at(case.ours(setting))):
            raise WrongError(f"{precision} gives other losses the second time")
    return found


def graphs(asked: Asked) -> Found:
    """Compare recorded batches with plain ones, also where recording cannot work.

    Raises:
        WrongError: If they differ, or something is recorded that cannot be.
    """
    case = asked.case(min(asked.n_images, N_CHECKED))
    return {
        "graph": _graph_against_plain(asked, case),
        "not_a_number": _not_a_number(asked, case),
        "reads_a_value": _falls_back(asked, case),
        "after_that": _graph_against_plain(asked, case),
    }


def _graph_against_plain(asked: Asked, case: Case) -> str:
    setting = asked.setting(batch=max(1, case.n_images // 4))
    network = case.network().to(asked.device.place)
    prepare_device(setting, network)
    evaluator = Evaluator(network, setting)
    samples = ResidentSplit(*case.images(), mean=MEAN, std=STD, device=asked.device.name)
    for step in (0.0, 0.1, -0.2):
        with torch.no_grad():
            for weights in network.parameters():
                weights.mul_(1 + step)
        evaluator.compute_losses(samples)
        recorded = samples.losses.clone()
        for rows in batches(len(samples), setting.batch):
            evaluator._evaluate_rows(samples, rows)
        if not torch.equal(recorded, samples.losses):
            raise WrongError("a recording gives other losses than the same batches one by one")
    return evaluator.passes.description


def _not_a_number(asked: Asked, case: Case) -> str:
    plane = case.ours(asked.setting(batch=max(1, case.n_images // 2)))
    far = plane.evaluate(1e30, 0.0)[0]
    if math.isfinite(far):
        raise WrongError(f"a loss far out is {far:.3g} and not beyond all numbers")
    near = plane.evaluate(0.0, 0.0)[0]
    if not math.isfinite(near):
        raise WrongError("after a loss that is not finite, the loss at the center is not either")
    return str(far)


class Reading(nn.Module):
    """A network that reads a value from its device, which no recording can."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs."""
        outputs: torch.Tensor = self.network(inputs)
        return outputs * (2.0 if outputs.sum().item() == math.pi else 1.0)


def _falls_back(asked: Asked, case: Case) -> str:
    setting = asked.setting(batch=max(1, case.n_images // 4))
    network = Reading(case.network()).to(asked.device.place)
    prepare_device(setting, network)
    evaluator = Evaluator(network, setting)
    samples = ResidentSplit(*case.images(), mean=MEAN, std=STD, device=asked.device.name)
    evaluator.compute_losses(samples)
    if asked.device.can_record and "no CUDA graph" not in evaluator.passes.description:
        raise WrongError("a network that reads a value from the device was recorded")
    return evaluator.passes.description


def memory(asked: Asked) -> Found:
    """Run out of memory, with and without recording, and go on with half the batch.

    Raises:
        WrongError: If that is not an OutOfMemoryError, or nothing can be computed afterwards.
    """
    if asked.device.is_host:
        return {"left out": "on a CPU, memory is that of the machine"}
    case = asked.case(min(asked.n_images, N_CHECKED))
    found: Found = {}
    for name, is_recorded in (("plain", False), ("recorded", True)):
        with _little_memory(asked):
            found[name] = _words_of_shortage(asked, case, is_recorded=is_recorded)
        losses_at(case.ours(asked.setting(batch=max(1, case.n_images // 4))), POINTS[:1])
    return found


@contextmanager
def _little_memory(asked: Asked) -> Iterator[None]:
    """Leave no more than 64 MiB to this process, beside what it has."""
    memory, index = torch.get_device_module(asked.device.place), asked.device.index
    memory.empty_cache()
    whole = memory.get_device_properties(index).total_memory
    allowed = memory.memory_reserved(index) + (64 << 20)
    memory.set_per_process_memory_fraction(allowed / whole, index)
    try:
        yield
    finally:
        memory.set_per_process_memory_fraction(1.0, index)


def _words_of_shortage(asked: Asked, case: Case, *, is_recorded: bool) -> str:
    huge = 256 << 20

    def work() -> None:
        torch.empty(huge, dtype=torch.uint8, device=asked.device.place)

    try:
        if is_recorded and asked.device.can_record:
            # Once before, plainly, so that memory is short in the recording itself.
            asked.device.record(lambda: work() if recording.is_underway() else None)
        else:
            work()
    except torch.OutOfMemoryError as problem:
        return str(problem).splitlines()[0][:100]
    raise WrongError("256 MiB fit where 64 MiB are allowed")


def batch_and_type(asked: Asked) -> Found:
    """Time a point of all images: types by batches, recorded and not, with the peak of memory."""
    case, found = asked.case(), {}
    for precision in ("fp32", *asked.device.precisions()):
        for batch in asked.batches:
            for is_last in (True, False) if precision == "fp32" else (True,):
                setting = asked.setting(precision, batch=min(batch, case.n_images))
                steps = replace(setting.steps, channels_last=is_last)
                name = f"{precision} {batch}{'' if is_last else ' channels first'}"
                found[name] = _timed(asked, case, replace(setting, steps=steps))
    return found


def reset_peak(device: Device) -> None:
    """Forget the most memory that was taken so far."""
    if not device.is_host:
        torch.get_device_module(device.place).reset_peak_memory_stats(device.index)


def peak_bytes(device: Device) -> int:
    """Return the most memory that was taken on a GPU since; 0 on a CPU."""
    if device.is_host:
        return 0
    return int(torch.get_device_module(device.place).max_memory_allocated(device.index))


def _timed(asked: Asked, case: Case, setting: Setting) -> Found:
    reset_peak(asked.device)
    try:
        plane = case.ours(setting)
        seconds = _median_seconds(asked, lambda: plane.evaluate(0.1, 0.1))
    except torch.OutOfMemoryError as problem:
        return {"out_of_memory": str(problem)[:100]}
    evaluator, samples = plane._evaluator, plane._splits["train"]

    def plainly() -> None:
        for rows in batches(len(samples), setting.batch):
            evaluator._evaluate_rows(samples, rows)

    return {
        "point_s": seconds,
        "unrecorded_s": _median_seconds(asked, plainly),
        "launched": plane.launching,
        "peak_gib": peak_bytes(asked.device) / 2**30,
    }


def kernels(asked: Asked) -> Found:
    """Profile one batch, and name the kernels that took longest."""
    case = asked.case(min(asked.n_images, asked.batches[0]))
    found: Found = {}
    for precision in ("fp32", *asked.device.precisions()):
        plane = case.ours(asked.setting(precision, batch=case.n_images))
        plane.evaluate(0.0, 0.0)
        activity = torch.profiler.ProfilerActivity
        with torch.profiler.profile(activities=[activity.CPU, activity.CUDA]) as profile:
            plane.evaluate(0.1, 0.1)
            asked.device.synchronize()
        times = {event.key[:80]: _own_time(event) for event in profile.key_averages()}
        longest = sorted(times, key=lambda name: -times[name])[:8]
        found[precision] = {name: f"{times[name]:.0f} us" for name in longest}
    return found


def _own_time(event: Any) -> float:
    return float(event.self_device_time_total or event.self_cpu_time_total)


def hessian(asked: Asked) -> Found:
    """Time a product with the Hessian in several batches, a fifth of the images."""
    n = max(1, asked.n_images // 5)
    case, found = asked.case(n), {}
    directions = case.directions()
    for batch in (b for b in PRODUCT_BATCHES if b <= n) if n >= PRODUCT_BATCHES[0] else (n,):
        samples = ResidentSplit(*case.images(), mean=MEAN, std=STD, device=asked.device.name)
        how = {"sample": samples.batch(slice(0, 2)).cpu(), "channels_last": True, "quick": True}
        losses = OutputLosses(samples, CROSS_ENTROPY, batch=batch, **how)
        plane = HessianPlane(
            case.network(),
            directions,
            losses,
            asked.setting(batch=batch),
            parameters=list(directions["alpha"]),
            total_weight=n,
            budget_bytes=asked.device.free_bytes() // 2,
        )
        plane.move_to(0.0, 0.0)
        vector = random_vector(plane, 1)
        found[str(batch)] = _median_seconds(asked, lambda: plane.multiply(vector))  # noqa: B023
    return found


def training(asked: Asked) -> Found:
    """Time an epoch of training on a tenth of the images, in both types."""
    case, found = asked.case(max(128, asked.n_images // 10)), {}
    split = Split(*case.images())
    data = DataSet("noise", {"train": split, "test": split}, MEAN, STD, 10, "")
    make_deterministic(asked.device)
    for precision in ("fp32", "bf16"):
        recipe = Recipe(
            epochs=2,
            batch_size=128,
            lr=0.1,
            weight_decay=5e-4,
            augment=True,
            seed=1,
            precision=precision,
        )
        place = asked.device.place
        task = SampleTask(data, recipe, device=place)
        trainer = Trainer(case.network().train(), task, recipe, device=place)
        trainer.run_epoch()
        began = time.perf_counter()
        trainer.run_epoch()
        asked.device.synchronize()
        found[f"{precision}_images_per_s"] = len(split.targets) / (time.perf_counter() - began)
    torch.use_deterministic_algorithms(False)
    return found


def points_at_once(asked: Asked) -> Found:
    """Time points of small networks one after the other, and stacked."""
    return {
        small.model: stacked.measure(
            replace(small, n_samples=min(small.n_samples, asked.n_images)), asked.device
        )
        for small in stacked.CASES
    }


def precision_choice(asked: Asked) -> Found:
    """Run the command with --precision auto, and return what its file says of the choice."""
    case = asked.case(min(asked.n_images, 4096))
    with tempfile.TemporaryDirectory() as folder:
        data, weights, out = (Path(folder) / name for name in ("a.npz", "a.pt", "a.h5"))
        images, labels = case.images()
        n = max(1, len(labels) // 10)
        np.savez(data, images=images, labels=labels, test_images=images[:n], test_labels=labels[:n])
        torch.save(case.network().state_dict(), weights)
        words = ["--model", case.model, "--checkpoint", str(weights), "--data", f"npz:{data}"]
        words += ["--x=-0.5:0.5:3", "--y=-0.5:0.5:3", "--out", str(out), "--precision", "auto"]
        command = [sys.executable, "-m", "landscape_mpi.surface", *words]
        done = subprocess.run([*command, "--device", asked.device.kind], check=False)
        if done.returncode != 0:
            raise WrongError(f"the command ended with status {done.returncode}")
        known = read_surface(out).attributes
        return {name: str(known[name]) for name in ("precision", "batch", "preparation")}


def compiling(asked: Asked) -> Found:
    """Say whether torch.compile pays, in fp32 and bf16."""
    case = asked.case(min(asked.n_images, 4 * asked.batches[0]))
    found = {}
    for precision in ("fp32", *asked.device.precisions()[-1:]):

        def make_plane(compiled: bool, precision: str = precision) -> LossPlane:
            return case.ours(asked.setting(precision, compiled=compiled))

        began = time.perf_counter()
        _, words = is_worth_compiling(make_plane, precision, n_planes=math.inf)
        found[precision] = f"{words} ({time.perf_counter() - began:.0f} s to learn it)"
    return found


def plain(asked: Asked) -> Found:
    """Time the field's plain evaluation on a tenth of the images, scaled to all of them."""
    n = max(1, asked.n_images // 10)
    evaluation = asked.case(n).plain(device=asked.device.name)
    seconds = _median_seconds(asked, lambda: evaluation.evaluate(0.1, 0.1), n_rounds=3)
    return {"point_s": seconds * asked.n_images / n, "images": n}


def _median_seconds(asked: Asked, work: Callable[[], object], *, n_rounds: int = N_TIMED) -> float:
    seconds = []
    for _ in range(n_rounds + 1):  # the first round warms up
        asked.device.synchronize()
        began = time.perf_counter()
        work()
        asked.device.synchronize()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:])


# In the order of what they decide, each with the seconds that it may take on a GPU.
PARTS: dict[str, tuple[Callable[[Asked], Found], float]] = {
    "machine": (machine, 60),
    "correctness": (correctness, 90),
    "graphs": (graphs, 60),
    "memory": (memory, 60),
    "batch and type": (batch_and_type, 240),
    "kernels": (kernels, 60),
    "hessian": (hessian, 120),
    "training": (training, 120),
    "points at once": (points_at_once, 120),
    "precision choice": (precision_choice, 120),
    "compiling": (compiling, 240),
    "plain": (plain, 120),
}


def asked_of(device: str, model: str, n_images: int, batch_words: str) -> Asked:
    """Return what is asked from the words of a command line."""
    sizes = tuple(int(word) for word in batch_words.split(","))
    return Asked(device_named(device), model, n_images, sizes)
