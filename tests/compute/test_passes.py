"""Oracle: the batches evaluated one after the other by hand.

What decides over recordings is tried with recordings that a CPU can make: one that repeats the
work, one that fails, one that repeats it wrongly. CUDA graphs run on GPUs, also on fake ones.
"""

import contextlib
import gc

import numpy as np
import pytest
import torch

from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.evaluation import Evaluator, Setting, prepare_device
from landscape_mpi.compute.passes import RecordedPasses, ThreadedPasses, batches
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.zoo.networks import build_network


def samples_of(n, device):
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (n, 8, 8, 3), np.uint8)
    targets = generator.integers(0, 10, n)
    return ResidentSplit(images, targets, mean=(0.5,) * 3, std=(0.2,) * 3, device=device)


class Rows:
    """Evaluates rows by writing the factor times their number; notes which."""

    def __init__(self, factor=1.0):
        self.factor, self.seen = factor, []

    def __call__(self, samples, rows):
        self.seen.append(rows)
        places = torch.arange(rows.start, rows.stop, device=samples.losses.device)
        samples.losses[rows] = self.factor * places


def expected(n, factor=1.0):
    return (factor * torch.arange(n)).tolist()


def test_batches_cover_all_rows_once():
    assert list(batches(5, 2)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(batches(0, 2)) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_threads(threads, device):
    samples, rows = samples_of(10, device), Rows()
    ThreadedPasses(rows, batch=4, threads=threads).run(samples)
    assert samples.losses.tolist() == expected(10)
    assert sorted(part.start for part in rows.seen) == [0, 4, 8]


def test_a_recording_is_made_once_a_split_and_repeated(device):
    samples, rows = samples_of(10, device), Rows()
    n_recorded = []
    passes = RecordedPasses(rows, batch=4, record=lambda work: n_recorded.append(1) or work)
    for factor in (1.0, 2.0, 3.0):
        rows.factor = factor
        passes.run(samples)
        assert samples.losses.tolist() == expected(10, factor)
    assert len(n_recorded) == 1
    assert passes.description == "one CUDA graph per split"


def test_what_cannot_be_recorded_is_computed_plainly_and_said(device):
    def refuse(work):
        raise RuntimeError("operation not permitted when stream is capturing\nsecond line")

    samples, rows = samples_of(10, device), Rows()
    passes = RecordedPasses(rows, batch=4, record=refuse)
    for factor in (1.0, 2.0):
        rows.factor = factor
        passes.run(samples)
        assert samples.losses.tolist() == expected(10, factor)
    assert passes.description == (
        "no CUDA graph (operation not permitted when stream is capturing)"
    )


def test_a_recording_with_other_losses_is_not_used(device):
    samples, rows = samples_of(10, device), Rows()
    passes = RecordedPasses(rows, batch=4, record=lambda work: lambda: samples.losses.fill_(7.0))
    passes.run(samples)
    passes.run(samples)
    assert samples.losses.tolist() == expected(10)
    assert passes.description == "no CUDA graph (replaying it gives other losses)"


def test_too_many_batches_are_not_recorded(device):
    samples, rows = samples_of(500, device), Rows()
    passes = RecordedPasses(rows, batch=1, record=lambda work: pytest.fail("recorded"))
    passes.run(samples)
    assert samples.losses.tolist() == expected(500)
    assert passes.description == "no CUDA graph (500 batches per split)"


def test_a_lack_of_memory_is_not_taken_for_anything_else(device):
    def run_out(work):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        RecordedPasses(Rows(), batch=4, record=run_out).run(samples_of(10, device))


def prepared(gpu, network, *, batch=16, precision="fp32"):
    """Return an evaluator of a network on a GPU, and the samples it is for."""
    setting = Setting(device_named(gpu), precision, batch)
    network = network.eval().to(gpu)
    prepare_device(setting, network)
    return Evaluator(network, setting), samples_of(50, gpu)


def plain_losses(evaluator, samples, batch=16):
    for rows in batches(len(samples), batch):
        evaluator._evaluate_rows(samples, rows)
    return samples.losses.clone()


@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_graph_on_a_gpu_follows_the_weights(precision, gpu):
    torch.manual_seed(0)
    network = build_network("resnet8", n_channels=3, n_classes=10)
    evaluator, samples = prepared(gpu, network, precision=precision)
    for step in range(3):
        with torch.no_grad():
            network.conv1.weight.add_(0.1 * step)
        evaluator.compute_losses(samples)
        recorded = samples.losses.clone()
        assert torch.equal(recorded, plain_losses(evaluator, samples))
    assert evaluator.passes.description == "one CUDA graph per split"


class Asks(torch.nn.Module):
    """A network that asks the device for a value, which a recording cannot."""

    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(192, 10)

    def forward(self, images):
        return self.linear(images.flatten(1)) * (2.0 if images.sum().item() > 1e9 else 1.0)


def test_a_network_that_asks_for_a_value_is_not_recorded(gpu):
    evaluator, samples = prepared(gpu, Asks())
    before = torch.cuda.current_stream()
    for _ in range(2):
        evaluator.compute_losses(samples)
        assert torch.equal(samples.losses, plain_losses(evaluator, samples))
    assert evaluator.passes.description == (
        "no CUDA graph (CUDA error: operation not permitted when stream is capturing)"
    )
    assert torch.cuda.current_stream() == before


def test_a_recording_is_freed_with_its_samples(gpu):
    evaluator, samples = prepared(gpu, torch.nn.Sequential(torch.nn.Flatten(), linear()))
    evaluator.compute_losses(samples)
    kept = torch.cuda.memory_reserved(gpu)
    evaluator.passes.forget(samples)
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved(gpu) < kept


def linear():
    return torch.nn.Linear(192, 10)


class Crowded(torch.nn.Module):
    """A network for which a GPU has no memory left while it is recorded."""

    def __init__(self, gpu):
        super().__init__()
        self.linear, self.index = linear(), int(gpu[5:])

    def forward(self, images):
        from fake_gpus import control

        is_recorded = torch.cuda.is_current_stream_capturing()
        with control.room_for(0, self.index) if is_recorded else contextlib.nullcontext():
            return self.linear(images.flatten(1))


@pytest.mark.fake_gpus
def test_a_recording_that_does_not_fit_is_a_lack_of_memory(gpu):
    evaluator, samples = prepared(gpu, Crowded(gpu))
    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        evaluator.compute_losses(samples)


class AsksLate(Asks):
    """A network that has made something before it asks for a value."""

    def forward(self, images):
        return super().forward(images.double().float())


def test_networks_that_cannot_be_recorded_take_memory_for_one_recording(gpu):
    """A failed recording is remembered, so that a run does not try it for each evaluation."""
    held = []
    for _ in range(3):
        evaluator, samples = prepared(gpu, AsksLate())
        evaluator.compute_losses(samples)
        assert evaluator.passes.description == (
            "no CUDA graph (CUDA error: operation not permitted when stream is capturing)"
        )
        del evaluator, samples
        gc.collect()
        torch.cuda.empty_cache()
        held.append(torch.cuda.memory_reserved(gpu))
    assert held[1:] == held[:1] * 2
