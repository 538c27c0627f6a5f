"""Oracles: the published count of the wide network, counts by hand for the deep ones, and small
networks written out with torch's functions.
"""

import torch
from parameter_count import parameter_count
from torch.nn import functional

from landscape_mpi.zoo.preresnet import deep_preresnet, wide_preresnet


def test_parameter_counts():
    assert parameter_count("wrn28_10") == 36_479_194
    for name, n in (("preresnet110", 12), ("preresnet164", 18)):
        total = 27 * 16 + 2 * 256 + 257 * 10
        for n_in, w in ((16, 16), (64, 32), (128, 64)):
            inside = 9 * w * w + w * 4 * w + 2 * 2 * w
            total += 2 * n_in + n_in * w + inside + n_in * 4 * w
            total += (n - 1) * (2 * 4 * w + 4 * w * w + inside)
        assert parameter_count(name) == total


def written_out(network, images):
    """Stem, blocks of as many convolutions as they have, head."""
    state = network.state_dict()

    def activated(x, bn):
        keys = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(state[f"{bn}.{key}"] for key in keys)).clamp(min=0)

    x = functional.conv2d(images, state["conv.weight"], padding=1)
    for i, block in enumerate(network.blocks):
        n = 3 if hasattr(block, "conv3") else 2
        stride = 2 if i in {len(network.blocks) // 3, 2 * len(network.blocks) // 3} else 1
        y = x
        projected = activated(x, f"blocks.{i}.bn1") if n == 2 else x
        for j in range(1, n + 1):
            y = activated(y, f"blocks.{i}.bn{j}")
            weight = state[f"blocks.{i}.conv{j}.weight"]
            steps = stride if j == n - 1 else 1
            y = functional.conv2d(y, weight, stride=steps, padding=weight.shape[-1] // 2)
        projection = state.get(f"blocks.{i}.shortcut.weight")
        if projection is not None:
            x = functional.conv2d(projected[:, :, ::stride, ::stride], projection)
        x = x + y
    x = activated(x, "bn").mean((2, 3))
    return x @ state["linear.weight"].T + state["linear.bias"]


def assert_as_written_out(network):
    network = network.double().eval()
    for name, values in network.state_dict().items():
        if "bn" in name and values.is_floating_point():
            values.copy_(torch.rand_like(values) + 0.1)
    images = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    expected = written_out(network, images)
    torch.testing.assert_close(network(images), expected)
    torch.testing.assert_close(torch.fx.symbolic_trace(network)(images), expected)


def test_small_networks_are_those_written_out():
    torch.manual_seed(0)
    assert_as_written_out(deep_preresnet(20, n_channels=3, n_classes=5))
    assert_as_written_out(wide_preresnet(16, widening=2, n_channels=3, n_classes=5))
