"""Oracles: counts by hand, and the layers written out with numpy."""

import numpy as np
import pytest
import torch

from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network

ROWS = Sample("table", (24,), 2)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("feedforward16", 25 * 128 + 14 * 129 * 128 + 129 * 2),
        ("feedforward16_skip2_14", 25 * 128 + 14 * 129 * 128 + 129 * 2),
        ("feedforward1", 25 * 2),
        ("seismic1", 25 * 32 + 33 * 2),
        ("seismic3", 25 * 32 + 2 * 33 * 32 + 33 * 2),
    ],
)
def test_parameter_counts(name, expected):
    network = build_network(name, sample=ROWS)
    assert sum(p.numel() for p in network.parameters()) == expected


def written_out(network, x, skip=(0, 0)):
    arrays = [p.detach().numpy() for p in network.parameters()]
    outputs = [x]
    depth = len(arrays) // 2
    for i, (weight, bias) in enumerate(zip(arrays[::2], arrays[1::2], strict=True), start=1):
        x = outputs[-1] @ weight.T + bias
        x += outputs[skip[0]] if i == skip[1] else 0
        outputs.append(np.maximum(x, 0) if i < depth else x)
    return outputs[-1]


@pytest.mark.parametrize(
    ("name", "skip"),
    [
        ("feedforward16", (0, 0)),
        ("feedforward16_skip2_14", (2, 14)),
        ("feedforward3_skip1_2", (1, 2)),
        ("seismic3", (0, 0)),
    ],
)
def test_layers_are_those_written_out(name, skip):
    torch.manual_seed(0)
    network = build_network(name, sample=ROWS).double()
    for parameter in network.parameters():
        parameter.data += 0.01
    x = torch.randn(3, 24, dtype=torch.float64)
    expected = torch.from_numpy(written_out(network, x.numpy(), skip))
    torch.testing.assert_close(network(x), expected)
    torch.testing.assert_close(torch.fx.symbolic_trace(network)(x), expected)


def test_a_skip_changes_what_the_same_weights_compute():
    networks = []
    for name in ("feedforward16", "feedforward16_skip2_14"):
        torch.manual_seed(0)
        networks.append(build_network(name, sample=ROWS))
    x = torch.randn(3, 24)
    assert not torch.allclose(networks[0](x), networks[1](x))


def test_images_are_read_as_one_vector():
    network = build_network("feedforward2", sample=Sample("image", (3, 4, 5), 7))
    images = torch.randn(2, 3, 4, 5)
    assert torch.equal(network(images), network(images.reshape(2, 60)))
    assert network(images).shape == (2, 7)
