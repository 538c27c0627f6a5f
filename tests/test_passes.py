"""Oracle: the batches evaluated one after the other by hand.

A CUDA graph needs a GPU. What decides over recordings is tried here with recordings that a
CPU can make: one that repeats the work, one that fails, one that repeats it wrongly.
"""

import numpy as np
import pytest
import torch

from landscape_mpi.compute.evaluation import Evaluator, Setting, prepare_device
from landscape_mpi.compute.passes import RecordedPasses, ThreadedPasses, batches
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.zoo.networks import build_network

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")


def samples_of(n, device="cpu"):
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
        samples.losses[rows] = self.factor * torch.arange(rows.start, rows.stop)


def expected(n, factor=1.0):
    return (factor * torch.arange(n)).tolist()


def test_batches_cover_all_rows_once():
    assert list(batches(5, 2)) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert list(batches(0, 2)) == []


@pytest.mark.parametrize("threads", [1, 3])
def test_threads(threads):
    samples, rows = samples_of(10), Rows()
    ThreadedPasses(rows, batch=4, threads=threads).run(samples)
    assert samples.losses.tolist() == expected(10)
    assert sorted(part.start for part in rows.seen) == [0, 4, 8]


def test_a_recording_is_made_once_a_split_and_repeated():
    samples, rows = samples_of(10), Rows()
    n_recorded = []
    passes = RecordedPasses(rows, batch=4, record=lambda work: n_recorded.append(1) or work)
    for factor in (1.0, 2.0, 3.0):
        rows.factor = factor
        passes.run(samples)
        assert samples.losses.tolist() == expected(10, factor)
    assert len(n_recorded) == 1
    assert passes.description == "one CUDA graph a split"


def test_what_cannot_be_recorded_is_computed_plainly_and_said():
    def refuse(work):
        raise RuntimeError("operation not permitted when stream is capturing\nsecond line")

    samples, rows = samples_of(10), Rows()
    passes = RecordedPasses(rows, batch=4, record=refuse)
    for factor in (1.0, 2.0):
        rows.factor = factor
        passes.run(samples)
        assert samples.losses.tolist() == expected(10, factor)
    assert passes.description == (
        "no CUDA graph (operation not permitted when stream is capturing)"
    )


def test_a_recording_with_other_losses_is_not_used():
    samples, rows = samples_of(10), Rows()
    passes = RecordedPasses(rows, batch=4, record=lambda work: lambda: samples.losses.fill_(7.0))
    passes.run(samples)
    passes.run(samples)
    assert samples.losses.tolist() == expected(10)
    assert passes.description == "no CUDA graph (replayed it gives other losses)"


def test_too_many_batches_are_not_recorded():
    samples, rows = samples_of(500), Rows()
    passes = RecordedPasses(rows, batch=1, record=lambda work: pytest.fail("recorded"))
    passes.run(samples)
    assert samples.losses.tolist() == expected(500)
    assert passes.description == "no CUDA graph (500 batches a split)"


def test_a_lack_of_memory_is_not_taken_for_anything_else():
    def run_out(work):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    with pytest.raises(torch.OutOfMemoryError, match="CUDA out of memory"):
        RecordedPasses(Rows(), batch=4, record=run_out).run(samples_of(10))


@needs_gpu
@pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
def test_a_graph_on_a_gpu_follows_the_weights(precision):
    setting = Setting("cuda:0", precision, 16)
    torch.manual_seed(0)
    network = build_network("resnet8", n_channels=3, n_classes=10).eval().cuda()
    prepare_device(setting, network)
    evaluator, samples = Evaluator(network, setting), samples_of(50, "cuda:0")
    for step in range(3):
        with torch.no_grad():
            network.conv1.weight.add_(0.1 * step)
        evaluator.compute_losses(samples)
        recorded = samples.losses.clone()
        for rows in batches(50, 16):
            evaluator._evaluate_rows(samples, rows)
        assert torch.equal(recorded, samples.losses)
    assert evaluator.passes.description == "one CUDA graph a split"
