"""Oracles: counts by hand, and the layers written out with torch's functions."""

import pytest
import torch
from torch.nn import functional

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network

DIGITS = Sample("image", (1, 28, 28), 10)


def test_parameter_counts():
    first, second, third = 9 * 16 + 16, 9 * 16 * 32 + 32, 9 * 32 * 64 + 64
    for name, expected in (
        ("cnn1", first + 16 * 14 * 14 * 10 + 10),
        ("cnn3", first + second + third + 64 * 3 * 3 * 10 + 10),
    ):
        network = build_network(name, sample=DIGITS)
        assert sum(p.numel() for p in network.parameters()) == expected


@pytest.mark.parametrize(("name", "n"), [("cnn1", 1), ("cnn3", 3)])
def test_layers_are_those_written_out(name, n):
    torch.manual_seed(0)
    network = build_network(name, sample=DIGITS)
    state = list(network.state_dict().values())
    images = x = torch.randn(2, 1, 28, 28)
    for i in range(n):
        x = functional.conv2d(x, state[2 * i], state[2 * i + 1], padding=1)
        x = functional.max_pool2d(x.clamp(min=0), 2)
    expected = x.flatten(1) @ state[-2].T + state[-1]
    torch.testing.assert_close(network(images), expected)
    torch.testing.assert_close(torch.fx.symbolic_trace(network)(images), expected)


def test_images_that_are_too_small_are_refused():
    with pytest.raises(InputError) as caught:
        build_network("cnn3", sample=Sample("image", (1, 7, 9), 10))
    assert str(caught.value) == (
        "--model cnn3: halves images 3 times, and nothing would be left of these images of 7 x 9 "
        "pixels. Enlarge them."
    )
