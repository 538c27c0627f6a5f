"""Oracles: the published parameter counts, a shortcut written out by hand with numpy, and He's
variance 2 / fan-in. None of them shares code with the networks.
"""

import numpy as np
import pytest
import torch

from landscape_mpi.zoo.networks import build_network
from landscape_mpi.zoo.resnet import PadShortcut, ResNet

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
