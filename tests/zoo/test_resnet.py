"""Oracles: the published parameter counts, and counts by hand from the tables of the papers; a
shortcut written out with numpy; the networks' arithmetic written out with torch's functions; He's
variance 2 / fan-in; and published weights whose loss on the first 1,000 training images was
measured with another program. None of them shares code with the networks.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from parameter_count import parameter_count
from torch.nn import functional

from landscape_mpi.zoo.blocks import BasicBlock, Bottleneck, PadShortcut
from landscape_mpi.zoo.checkpoint import load_state, read_checkpoint
from landscape_mpi.zoo.networks import build_network
from landscape_mpi.zoo.resnet import ResNet, small_resnet

DATA = os.environ.get("LANDSCAPE_DATA")
PUBLISHED = {
    "resnet20": 272_474,
    "resnet56": 855_770,
    "resnet110": 1_730_714,
    "resnet20_noshort": 269_722,
    "resnet56_noshort": 853_018,
    "resnet110_noshort": 1_727_962,
    "wrn56_2": 3_412_394,
    "wrn56_4": 13_628_234,
    "wrn56_8": 54_470_282,
    "wrn56_8_noshort": 54_304_906,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_the_published_ones(name):
    assert parameter_count(name) == PUBLISHED[name]


def test_padded_shortcuts_save_the_two_projections_and_their_batch_norm():
    projections = 16 * 32 + 2 * 32 + 32 * 64 + 2 * 64
    assert parameter_count("resnet20_pad") == PUBLISHED["resnet20"] - projections


def conv_bn(n_in, n_out, size):
    return n_in * n_out * size**2 + 2 * n_out


def test_parameter_counts_of_four_stages_are_those_of_the_papers_table():
    stem, widths = conv_bn(3, 64, 3), (64, 128, 256, 512)
    projections = sum(conv_bn(width // 2, width, 1) for width in widths[1:])
    for depth, n_blocks in ((18, (2, 2, 2, 2)), (34, (3, 4, 6, 3))):
        convolutions = sum(
            conv_bn(w if w == 64 else w // 2, w, 3) + (2 * n - 1) * conv_bn(w, w, 3)
            for n, w in zip(n_blocks, widths, strict=True)
        )
        plain = stem + convolutions + 512 * 10 + 10
        assert parameter_count(f"resnet{depth}_noshort") == plain
        assert parameter_count(f"resnet{depth}") == plain + projections
    bottlenecks = projections = 0
    for n, w in zip((3, 4, 6, 3), widths, strict=True):
        n_in = 64 if w == 64 else 2 * w
        bottlenecks += conv_bn(n_in, w, 1) + (n - 1) * conv_bn(4 * w, w, 1)
        bottlenecks += n * (conv_bn(w, w, 3) + conv_bn(w, 4 * w, 1))
        projections += conv_bn(n_in, 4 * w, 1)
    assert parameter_count("resnet50_noshort") == stem + bottlenecks + 2048 * 10 + 10
    assert parameter_count("resnet50") == parameter_count("resnet50_noshort") + projections


def randomized(network):
    """Give batch-norm statistics and weights that do something."""
    for name, values in network.state_dict().items():
        if values.is_floating_point():
            values.copy_(torch.rand_like(values) if "bn" in name else values * 1.3)
    return network.double().eval()


def written_out(state, prefix, x, stride, paddings):
    """Convolutions and batch-norms of a block, a rectifier between them, none behind."""
    for i, padding in enumerate(paddings, start=1):
        weight = state[f"{prefix}conv{i}.weight"]
        is_strided = weight.shape[-1] == 3 and (len(paddings) == 3 or i == 1)
        x = functional.conv2d(x, weight, stride=stride if is_strided else 1, padding=padding)
        names = ("running_mean", "running_var", "weight", "bias")
        x = functional.batch_norm(x, *(state[f"{prefix}bn{i}.{name}"] for name in names))
        x = x.clamp(min=0) if i < len(paddings) else x
    return x


@pytest.mark.parametrize(("block", "paddings"), [(BasicBlock, (1, 1)), (Bottleneck, (0, 1, 0))])
def test_blocks_end_in_a_rectifier_with_and_without_shortcut(block, paddings):
    torch.manual_seed(0)
    x = torch.randn(2, 8, 6, 6, dtype=torch.float64)
    for shortcut in ("none", "projection"):
        network = randomized(block(8, 4, 2, shortcut=shortcut))
        state = network.state_dict()
        expected = written_out(state, "", x, 2, paddings)
        if shortcut == "projection":
            expected = expected + network.shortcut(x)
        assert (expected < 0).any()
        torch.testing.assert_close(network(x), expected.clamp(min=0))


def test_network_without_shortcuts_is_the_chain_of_its_convolutions():
    torch.manual_seed(0)
    network = randomized(
        ResNet([1, 2], width=4, block=BasicBlock, shortcut="none", n_channels=3, n_classes=5)
    )
    state = network.state_dict()
    x = torch.randn(2, 3, 9, 9, dtype=torch.float64)
    expected = written_out(state, "", x, 1, [1]).clamp(min=0)
    for prefix, stride in (("layer1.0.", 1), ("layer2.0.", 2), ("layer2.1.", 1)):
        expected = written_out(state, prefix, expected, stride, (1, 1)).clamp(min=0)
    expected = expected.mean((2, 3)) @ state["linear.weight"].T + state["linear.bias"]
    torch.testing.assert_close(network(x), expected)


@pytest.mark.parametrize("size", [8, 9])
def test_pad_shortcut_is_the_one_written_out(size):
    images = np.random.default_rng(0).standard_normal((2, 16, size, size))
    expected = np.zeros((2, 32, (size + 1) // 2, (size + 1) // 2))
    for row in range(0, size, 2):
        for column in range(0, size, 2):
            expected[:, 8:24, row // 2, column // 2] = images[:, :, row, column]
    got = PadShortcut(16, 32, 2)(torch.from_numpy(images))
    np.testing.assert_array_equal(got.numpy(), expected)


@pytest.mark.parametrize("name", ["resnet8", "resnet8_pad", "resnet8_noshort", "resnet18"])
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
        small_resnet(21, n_channels=3, n_classes=10)


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
