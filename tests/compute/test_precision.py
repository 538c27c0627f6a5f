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

from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.precision import (
    Trial,
    check_available,
    deviation,
    fastest,
    try_precisions,
)
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.engine.precision_choice import (
    Precision,
    describe_deviation,
    describe_trials,
    measure_in_memory,
    points_to_try,
)
from landscape_mpi.engine.request import Evaluation
from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import read_surface


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


def test_deviation_of_a_loss_that_passes_0():
    """Over the largest value, 4, and not over the 0.001 beside 0."""
    found = deviation(np.array([-4.0, 0.021, 1.0]), np.array([-4.0, 0.001, 1.0]))
    assert found == pytest.approx(0.02 / 4)


@pytest.mark.parametrize(
    ("far", "last", "point", "words"),
    [
        (1.734, 0.2893, (0.0, 0.0), "bf16 changes the loss by up to 173 %: at the center it is "),
        (0.002, 0.2893, (0.1, 0.0), "bf16 changes the loss by up to 0.2 %: at (0.1, 0) it is "),
        (
            math.inf,
            0.2893,
            (0.0, 0.0),
            "bf16 gives losses that are not finite where those of fp32 are",
        ),
        (0.001, 0.1059, (0.0, 0.0), None),
        (math.nan, math.nan, (0.0, 0.0), None),
    ],
)
def test_a_type_that_deviates_more_than_allowed_is_said_in_words(far, last, point, words):
    fp32, bf16 = Trial("fp32", 0.0, 1.0, last=0.1058), Trial("bf16", far, 2.0, last=last)
    found = describe_deviation(fp32, bf16, [(-1.0, 0.0), point], 512, tolerance=1e-3)
    if words is None:
        assert found == ""
    else:
        assert found.startswith(words)
        assert found.endswith(
            "it is 0.2893, and 0.1058 in fp32 (2 points and 512 samples compared)"
        )


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


def flat(images, weight, device):
    """Return a function that makes planes of a linear network without a direction."""

    def make(precision):
        network = nn.Sequential(nn.Flatten(), nn.Linear(images.shape[-1], 2, bias=False))
        network[1].weight = nn.Parameter(torch.tensor(weight))
        samples = ResidentSplit(
            images, np.zeros(len(images), np.int64), mean=(0.0,), std=(1 / 255,), device=device
        )
        sample = samples.batch(slice(0, 2)).cpu()
        setting = Setting(device_named(device), precision, 8)
        return LossPlane(
            network.eval(), {"alpha": {}, "beta": {}}, {"train": samples}, sample, setting
        )

    return make


def test_what_bfloat16_holds_exactly_deviates_by_nothing(device):
    images = np.full((4, 1, 1, 1), 2, np.uint8)
    trials = try_precisions(flat(images, [[1.0], [-0.5]], device), ["bf16"], [(0.0, 0.0)])
    assert [trial.precision for trial in trials] == ["fp32", "bf16"]
    assert trials[1].deviation == 0
    assert trials[1].speed > 0


def test_logits_that_bfloat16_cannot_tell_apart(device):
    images = np.ones((4, 1, 1, 1), np.uint8)
    trials = try_precisions(flat(images, [[256.0], [256.4]], device), ["bf16"], [(0.0, 0.0)])
    exact = math.log(1 + math.exp(0.4))
    assert trials[1].deviation == pytest.approx((exact - math.log(2)) / exact, rel=1e-4)
    assert [t.last for t in trials] == pytest.approx([exact, math.log(2)], rel=1e-4)


WEAK = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10, bias=False))
    network[1].weight.data += 5.0  # large logits, nearly alike
    return network
"""


def test_a_run_in_a_type_that_deviates_warns_and_warns_again_when_resumed(tmp_path, alone):
    """Beside the loss at the center as two runs store it, of the 512 samples that are compared."""
    (tmp_path / "weak.py").write_text(WEAK)
    argv = ["landscape_mpi.surface", "--model=weak:build", "--data=digits", "--limit=512", "--x=0"]
    losses, told = {}, {}
    for name in ("bf16", "fp32"):
        options = [f"--precision={name}", f"--out={name}.h5"]
        told[name] = alone([*argv, *options], cwd=tmp_path, check=True).stdout
        losses[name] = read_surface(tmp_path / f"{name}.h5").values["train_loss"][0, 0]
    deviation = abs(losses["bf16"] - losses["fp32"]) / losses["fp32"]
    assert deviation > 1e-3
    warning = (
        f"bf16 changes the loss by up to {100 * deviation:.3g} %: at the center it is "
        f"{losses['bf16']:.4g}, and {losses['fp32']:.4g} in fp32 (1 point and 512 samples compared)"
    )
    assert f"warning: {warning}. The file, its pictures and its summary also say so" in told["bf16"]
    assert "warning: " not in told["fp32"]
    assert read_surface(tmp_path / "bf16.h5").attributes["precision_warning"] == warning
    again = alone([*argv, "--precision=bf16", "--out=bf16.h5"], cwd=tmp_path, check=True).stdout
    assert f"warning: {warning}. The file" in again
    assert "pass --precision fp32 --fresh\n" in again
    allowed = ["--precision=bf16", f"--tolerance={2 * deviation}", "--out=allowed.h5"]
    assert "warning: " not in alone([*argv, *allowed], cwd=tmp_path, check=True).stdout


class Refuses(nn.Module):
    """A network with an operation that knows float32 only."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 2)

    def forward(self, images):
        if torch.is_autocast_enabled(images.device.type) or images.dtype != torch.float32:
            raise RuntimeError("not implemented for BFloat16")
        return self.layer(images.flatten(1))


def test_a_type_that_cannot_compute_the_network_is_never_taken(device):
    def make(precision):
        samples = ResidentSplit(
            np.ones((2, 1, 1, 1), np.uint8),
            np.zeros(2, np.int64),
            mean=(0.0,),
            std=(1.0,),
            device=device,
        )
        return LossPlane(
            Refuses().eval(),
            {"alpha": {}, "beta": {}},
            {"train": samples},
            samples.batch(slice(0, 2)).cpu(),
            Setting(device_named(device), precision, 8),
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
    assert found[-1] == expected[-1]  # the last point is timed
    assert set(expected) <= set(found)
    assert len(found) == len(set(found)) <= 9


def test_where_no_loss_is_finite_nothing_is_claimed():
    trials = (Trial("fp32", 0.0, 1.0), Trial("bf16", math.nan, 3.0))
    assert describe_trials(Precision("fp32", trials, 0.0, 5, 64)) == (
        "bf16 cannot be compared, because no loss here is finite (at 0 of 5 points, 64 samples, "
        "beside fp32)"
    )


@pytest.mark.fake_gpus
@pytest.mark.parametrize(
    ("name", "capability", "types"),
    [
        ("NVIDIA H200", (9, 0), ("tf32", "bf16")),
        ("NVIDIA A100-SXM4-80GB", (8, 0), ("tf32", "bf16")),
        ("Tesla V100-SXM2-32GB", (7, 0), ("bf16",)),
    ],
)
def test_the_types_of_a_gpu(name, capability, types, gpu):
    from fake_gpus import control

    index, (major, minor) = int(gpu[5:]), capability
    with control.like(index, name=name, major=major, minor=minor):
        device = device_named(gpu)
        assert device.precisions() == types
        if "tf32" in types:
            check_available("tf32", device)
        else:
            words = f"Ampere or newer, but this run computes on {name}. Pass fp32 or bf16"
            with pytest.raises(InputError, match=words):
                check_available("tf32", device)


def test_a_network_of_which_no_sample_fits():
    """The error of a GPU is raised where the network is built, so the test needs no GPU."""

    def plane(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 80.00 GiB.")

    inputs = SimpleNamespace(plane=plane, samples=lambda *_: None)
    axis = np.linspace(-1, 1, 3)
    asked = Evaluation(precision="bf16", batch=4)
    subject = SimpleNamespace(n_samples={"train": 100})
    plan = SimpleNamespace(subject=subject, evaluation=asked, alpha=axis, beta=axis)
    with pytest.raises(InputError, match="a single sample does not fit .* allocate 80.00 GiB"):
        measure_in_memory(plan, inputs, Setting(CPU, "fp32", 4))
