"""Oracles: the published parameter counts, a shortcut written out by hand with numpy, He's
variance 2 / fan-in, and published weights whose loss on the first 1,000 training images was
measured with another program. None of them shares code with the networks.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from landscape_mpi.zoo.checkpoint import load_state, read_checkpoint
from landscape_mpi.zoo.networks import build_network
from landscape_mpi.zoo.resnet import PadShortcut, ResNet

DATA = os.environ.get("LANDSCAPE_DATA")
PUBLISHED = {"resnet20": 272_474, "resnet56": 855_770, "resnet110": 1_730_714}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_the_published_ones(name):
    network = build_network(name, n_channels=3, n_classes=10)
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED[name]


def test_padded_shortcuts_save_the_two_projections_and_their_batch_norm():
    network = build_network("resnet20_pad", n_channels=3, n_classes=10)
    projections = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED["resnet20"] - projections


@pytest.mark.parametrize("size", [8, 9])
def test_pad_shortcut_is_the_one_written_out(size):
    images = np.random.default_rng(0).standard_normal((2, 16, size, size))
    expected = np.zeros((2, 32, (size + 1) // 2, (size + 1) // 2))
    for row in range(0, size, 2):
        for column in range(0, size, 2):
            expected[:, 8:24, row // 2, column // 2] = images[:, :, row, column]
    got = PadShortcut(16, 32, 2)(torch.from_numpy(images))
    np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("name", ["resnet8", "resnet8_pad"])
@pytest.mark.parametrize(
    ("n_channels", "n_classes", "size"), [(1, 10, (8, 8)), (3, 100, (32, 32)), (3, 2, (9, 12))]
)
def test_any_channels_classes_and_sizes_traced_or_not(name, n_channels, n_classes, size):
    torch.manual_seed(0)
    network = build_network(name, n_channels=n_channels, n_classes=n_classes).eval()
    images = torch.randn(2, n_channels, *size)
    logits = network(images)
    assert logits.shape == (2, n_classes)
    assert torch.equal(torch.fx.symbolic_trace(network)(images), logits)


def test_initial_weights_have_variance_two_over_fan_in():
    torch.manual_seed(0)
    network = build_network("resnet110", n_channels=3, n_classes=10)
    weight = network.layer3[1].conv1.weight
    assert weight.var().item() == pytest.approx(2 / (64 * 9), rel=0.03)
    assert not network.linear.bias.any()


def test_depth_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"depth 6n \+ 2 with n >= 1, not 21"):
        ResNet(21, pad=False, n_channels=3, n_classes=10)


@pytest.mark.skipif(DATA is None, reason="LANDSCAPE_DATA names no folder with published weights")
@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("resnet20_pad", "resnet20-12fca82f.th"),
        ("resnet32_pad", "resnet32-d509ac18.th"),
        ("resnet44_pad", "resnet44-014dd654.th"),
        ("resnet56_pad", "resnet56-4bfd9763.th"),
    ],
)
def test_published_weights_load_and_classify(name, file):
    network = build_network(name, n_channels=3, n_classes=10).eval()
    load_state(network, read_checkpoint(Path(DATA) / "checkpoints" / file))
    n = 1000 if name == "resnet20_pad" else 100
    with np.load(Path(DATA) / "cifar10_first4000.npz") as arrays:
        images, labels = arrays["images"][:n], torch.from_numpy(arrays["labels"][:n]).long()
    inputs = (images / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)
    with torch.no_grad():
        logits = network(torch.from_numpy(inputs.transpose(0, 3, 1, 2)).float())
    error = 100 * (logits.argmax(1) != labels).double().mean().item()
    loss = functional.cross_entropy(logits, labels).item()
    if name == "resnet20_pad":
        assert (round(loss, 4), round(error, 2)) == (0.0058, 0.1)
    else:
        assert loss < 0.01
        assert error == 0
