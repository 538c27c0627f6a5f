"""Oracle: deviations worked out by hand, and a network whose bfloat16 rounding is known.

A linear network on inputs and weights that bfloat16 holds exactly deviates by nothing; one
whose two logits differ by less than bfloat16 can tell has a loss of ln 2 there, exactly.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.precision import Trial, deviation, fastest, try_precisions
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.errors import InputError
from landscape_mpi.job.surface.precision import (
    Precision,
    describe_trials,
    measure_in_memory,
    points_to_try,
)


@pytest.mark.parametrize(
    ("losses", "expected", "by_hand"),
    [
        ([1.0, 2.2], [1.0, 2.0], 0.1),
        ([0.0], [0.0], 0.0),
        ([1e-9], [0.0], math.inf),
        ([math.nan, 2.0], [math.inf, 2.0], 0.0),  # neither is a number
        ([math.inf, 2.0], [1e30, 2.0], math.inf),
        ([1e30], [math.nan], math.inf),
        ([math.nan, math.inf], [math.inf, math.inf], math.nan),  # nothing to compare
    ],
)
def test_deviation(losses, expected, by_hand):
    found = deviation(np.array(losses), np.array(expected))
    assert found == pytest.approx(by_hand, nan_ok=True)


FP32 = Trial("fp32", 0.0, 1.0)


@pytest.mark.parametrize(
    ("others", "tolerance", "expected"),
    [
        ([Trial("tf32", 1e-4, 2.0), Trial("bf16", 5e-4, 3.0)], 1e-3, "bf16"),
        ([Trial("tf32", 1e-4, 2.0), Trial("bf16", 5e-3, 3.0)], 1e-3, "tf32"),
        ([Trial("tf32", 2e-3, 2.0), Trial("bf16", 5e-3, 3.0)], 1e-3, "fp32"),
        ([Trial("bf16", 1e-4, 0.2)], 1e-3, "fp32"),  # emulated
        ([Trial("bf16", 1e-4, 1.01)], 1e-3, "fp32"),  # within the noise
        ([Trial("bf16", math.inf, 0.0, 1, "not implemented")], 1e9, "fp32"),
        ([Trial("bf16", math.nan, 3.0)], 1e9, "fp32"),  # nothing could be compared
        ([], 1e-3, "fp32"),
    ],
)
def test_the_fastest_type_within_the_tolerance(others, tolerance, expected):
    assert fastest([FP32, *others], tolerance=tolerance).precision == expected


def flat(images, weight):
    """Return a function that makes planes of a linear network without a direction."""

    def make(precision):
        network = nn.Sequential(nn.Flatten(), nn.Linear(images.shape[-1], 2, bias=False))
        network[1].weight = nn.Parameter(torch.tensor(weight))
        samples = ResidentSplit(
            images, np.zeros(len(images), np.int64), mean=(0.0,), std=(1 / 255,), device="cpu"
        )
        sample = samples.batch(slice(0, 2))
        setting = Setting("cpu", precision, 8)
        return LossPlane(
            network.eval(), {"alpha": {}, "beta": {}}, {"train": samples}, sample, setting
        )

    return make


def test_what_bfloat16_holds_exactly_deviates_by_nothing():
    images = np.full((4, 1, 1, 1), 2, np.uint8)
    trials = try_precisions(flat(images, [[1.0], [-0.5]]), ["bf16"], [(0.0, 0.0)])
    assert [trial.precision for trial in trials] == ["fp32", "bf16"]
    assert trials[1].deviation == 0
    assert trials[1].speed > 0


def test_logits_that_bfloat16_cannot_tell_apart():
    images = np.ones((4, 1, 1, 1), np.uint8)
    trials = try_precisions(flat(images, [[256.0], [256.4]]), ["bf16"], [(0.0, 0.0)])
    exact = math.log(1 + math.exp(0.4))
    assert trials[1].deviation == pytest.approx((exact - math.log(2)) / exact, rel=1e-4)


class Refuses(nn.Module):
    """A network with an operation that knows float32 only."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 2)

    def forward(self, images):
        if torch.is_autocast_enabled("cpu") or images.dtype != torch.float32:
            raise RuntimeError("not implemented for BFloat16")
        return self.layer(images.flatten(1))


def test_a_type_that_cannot_compute_the_network_is_never_taken():
    def make(precision):
        samples = ResidentSplit(
            np.ones((2, 1, 1, 1), np.uint8),
            np.zeros(2, np.int64),
            mean=(0.0,),
            std=(1.0,),
            device="cpu",
        )
        return LossPlane(
            Refuses().eval(),
            {"alpha": {}, "beta": {}},
            {"train": samples},
            samples.batch(slice(0, 2)),
            Setting("cpu", precision, 8),
        )

    trials = try_precisions(make, ["bf16"], [(0.0, 0.0)])
    assert trials[1] == Trial("bf16", math.inf, 0.0, 1, "not implemented for BFloat16")
    assert fastest(trials, tolerance=1e9).precision == "fp32"
    words = describe_trials(Precision("fp32", tuple(trials), 0.0, 1, 2))
    assert words == (
        "bf16 cannot compute this network (not implemented for BFloat16) "
        "(at 1 points, 2 samples, beside fp32)"
    )


@pytest.mark.parametrize(
    ("alpha", "beta", "expected"),
    [
        ([-1, 0, 1], [-2, 0, 3], [(-1, -2), (-1, 3), (1, -2), (1, 3), (0, 0)]),
        ([-1, 0.1, 1], [0], [(-1, 0), (1, 0), (0.1, 0)]),
        ([0], [0], [(0, 0)]),
        ([5, 6], [1], [(6, 1), (5, 1)]),
        ([-2, -1, 0, 1, 2], [0], [(-2, 0), (2, 0), (-1, 0), (1, 0), (0, 0)]),
    ],
)
def test_corners_half_way_and_the_point_nearest_to_the_center(alpha, beta, expected):
    found = points_to_try(np.array(alpha, float), np.array(beta, float))
    assert found[-1] == expected[-1]  # which is timed
    assert set(expected) <= set(found)
    assert len(found) == len(set(found)) <= 9


def test_where_no_loss_is_finite_nothing_is_claimed():
    trials = (Trial("fp32", 0.0, 1.0), Trial("bf16", math.nan, 3.0))
    assert describe_trials(Precision("fp32", trials, 0.0, 5, 64)) == (
        "bf16 cannot be compared, as no loss here is a finite number "
        "(at 0 of 5 points, 64 samples, beside fp32)"
    )


def test_a_network_of_which_no_sample_fits():
    """What a GPU raises, raised where the network is built: no GPU is needed to be out of it."""

    def plane(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80.00 GiB.")

    inputs = SimpleNamespace(plane=plane, samples=lambda *_: None)
    axis = np.linspace(-1, 1, 3)
    plan = SimpleNamespace(precision="bf16", n_samples={"train": 100}, alpha=axis, beta=axis)
    with pytest.raises(InputError, match="a single sample does not fit .* allocate 80.00 GiB"):
        measure_in_memory(plan, inputs, Setting("cpu", "fp32", 4))
