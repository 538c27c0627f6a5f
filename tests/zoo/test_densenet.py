"""Oracles: the published parameter count; a small network written out with torch's functions."""

import torch
from torch.nn import functional

from landscape_mpi.zoo.densenet import DenseNet
from landscape_mpi.zoo.networks import build_network


def test_parameter_count_is_the_published_one():
    with torch.device("meta"):
        network = build_network("densenet121", n_channels=3, n_classes=10)
    assert sum(p.numel() for p in network.parameters()) == 6_956_298


def test_a_small_network_is_the_one_written_out():
    torch.manual_seed(0)
    network = DenseNet([2, 1], growth=4, n_channels=3, n_classes=5).double().eval()
    state = network.state_dict()
    for name, values in state.items():
        if "bn" in name and values.is_floating_point():
            values.copy_(torch.rand_like(values) + 0.1)

    def activated(x, bn):
        keys = ("running_mean", "running_var", "weight", "bias")
        return functional.batch_norm(x, *(state[f"{bn}.{key}"] for key in keys)).clamp(min=0)

    def grown(x, layer):
        y = functional.conv2d(activated(x, f"{layer}.bn1"), state[f"{layer}.conv1.weight"])
        y = activated(y, f"{layer}.bn2")
        return torch.cat([x, functional.conv2d(y, state[f"{layer}.conv2.weight"], padding=1)], 1)

    images = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    x = functional.conv2d(images, state["conv.weight"], padding=1)
    x = grown(grown(x, "blocks.0"), "blocks.1")
    assert x.shape[1] == 8 + 2 * 4
    x = functional.conv2d(activated(x, "blocks.2.bn"), state["blocks.2.conv.weight"])
    x = (x[:, :, :8:2] + x[:, :, 1:8:2]) / 2  # the ninth row is left over
    x = (x[..., ::2] + x[..., 1::2]) / 2
    x = activated(grown(x, "blocks.3"), "bn").mean((2, 3))
    expected = x @ state["linear.weight"].T + state["linear.bias"]
    torch.testing.assert_close(network(images), expected)
    torch.testing.assert_close(torch.fx.symbolic_trace(network)(images), expected)
