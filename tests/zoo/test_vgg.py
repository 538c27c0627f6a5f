"""Oracles: the published count of the nine layers, counts by hand for the sixteen, and the layers
written out with torch's functions.
"""

import pytest
import torch
from torch.nn import functional

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network


def count(name, size=(32, 32)):
    with torch.device("meta"):
        network = build_network(name, sample=Sample("image", (3, *size), 10))
    return sum(p.numel() for p in network.parameters())


def test_parameter_counts():
    assert count("vgg9") == 2_789_706
    widths = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
    convolutions = sum(
        (9 * n_in + 1) * n_out for n_in, n_out in zip([3, *widths], widths, strict=False)
    )
    assert count("vgg16") == convolutions + 2 * 513 * 512 + 513 * 10
    assert count("vgg16_bn") == count("vgg16") + 2 * sum(widths)


def test_size_of_the_images_decides_the_first_linear_layer():
    assert count("vgg9", (28, 37)) == 2_789_706 - 256 * 256 * (16 - 12)


def written_out(network, x, pools):
    """The layers one by one: a tensor's shape tells what it is for."""
    state = network.state_dict()
    n = 0  # convolutions and linear layers so far
    for name in [key.removesuffix(".weight") for key in state if key.endswith(".weight")]:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        if weight.ndim == 1:
            moments = state[f"{name}.running_mean"], state[f"{name}.running_var"]
            x = functional.batch_norm(x, *moments, weight, bias)
            continue
        x = x.clamp(min=0) if n > 0 else x
        x = functional.max_pool2d(x, 2) if n in pools else x
        if weight.ndim == 4:
            x = functional.conv2d(x, weight, bias, padding=1)
        else:
            x = x.flatten(1) @ weight.T + bias
        n += 1
    return x


@pytest.mark.parametrize(
    ("name", "pools"),
    [("vgg9", (2, 4, 7)), ("vgg16", (2, 4, 7, 10, 13)), ("vgg16_bn", (2, 4, 7, 10, 13))],
)
def test_layers_are_those_written_out(name, pools):
    torch.manual_seed(0)
    network = build_network(name, sample=Sample("image", (1, 32, 40), 3)).eval()
    for key, values in network.state_dict().items():
        if "running" in key:
            values += 0.2 * torch.rand_like(values)
    images = torch.randn(2, 1, 32, 40)
    logits = network(images)
    torch.testing.assert_close(logits, written_out(network, images, pools), rtol=1e-4, atol=1e-4)
    assert logits.std() > 0
    assert torch.equal(torch.fx.symbolic_trace(network)(images), logits)


def test_images_that_are_too_small_are_refused():
    with pytest.raises(InputError) as caught:
        build_network("vgg16", sample=Sample("image", (1, 28, 40), 10))
    assert str(caught.value) == (
        "--model vgg16: halves images 5 times, so they must be at least 32 x 32 pixels; these are "
        "28 x 40. Take a network for smaller images, or enlarge them."
    )
