"""Oracle: the same sum written tensor by tensor in numpy, on the network's state dict."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.compute.moving_network import MovedNetwork
from landscape_mpi.compute.steps import PLAIN


def make_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(12, 4))


def make_direction(network, names, seed):
    generator = np.random.default_rng(seed)
    state = network.state_dict()
    return {name: generator.standard_normal(state[name].shape).astype(np.float32) for name in names}


def state_of(network):
    return {name: tensor.numpy().copy() for name, tensor in network.state_dict().items()}


def test_a_point_is_center_plus_alpha_and_beta_times_the_directions():
    network = make_network()
    alpha = make_direction(network, ["0.weight", "3.weight", "3.bias"], 1)
    beta = make_direction(network, ["0.weight", "1.running_mean"], 2)
    center = state_of(network)
    plane = MovedNetwork(network, alpha, beta)
    plane.move_to(0.3, -0.7)
    for name, tensor in state_of(network).items():
        expected = center[name] + 0.3 * alpha.get(name, 0) - 0.7 * beta.get(name, 0)
        np.testing.assert_allclose(tensor, expected, rtol=1e-6, atol=1e-6)


def test_the_center_comes_back_exactly_from_anywhere():
    network = make_network()
    center = state_of(network)
    plane = MovedNetwork(network, make_direction(network, ["0.weight"], 1), {})
    plane.move_to(1e6, 3.0)
    plane.move_to(0.0, 0.0)
    for name, tensor in state_of(network).items():
        np.testing.assert_array_equal(tensor, center[name])


def test_a_shared_weight_moves_in_both_places():
    network = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    network[1].weight = network[0].weight
    plane = MovedNetwork(network, {"0.weight": np.eye(3, dtype=np.float32)}, {})
    plane.move_to(2.0, 0.0)
    assert network[1].weight is network[0].weight
    inputs = torch.ones(1, 3)
    expected = inputs @ network[0].weight.T @ network[0].weight.T
    torch.testing.assert_close(network(inputs), expected)


def test_the_forward_pass_uses_the_moved_weights():
    network = make_network()
    images = torch.randn(5, 2, 4, 4)
    direction = make_direction(network, ["0.weight", "3.weight"], 1)
    plane = MovedNetwork(network, direction, {})
    plane.move_to(0.5, 0.0)
    other = make_network()
    with torch.no_grad():
        for name in direction:
            other.get_parameter(name).add_(torch.from_numpy(direction[name]), alpha=0.5)
        torch.testing.assert_close(network(images), other.eval()(images))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(nn.Conv1d, (2, 2, 9)), (nn.Conv2d, (2, 2, 9, 9)), (nn.Conv3d, (2, 2, 5, 5, 5))],
)
def test_convolutions_of_any_dimension(layer, shape):
    torch.manual_seed(0)
    network = layer(2, 3, 3)
    direction = make_direction(network, ["weight"], 1)
    expected = network.weight.detach().clone() + 0.5 * torch.from_numpy(direction["weight"])
    plane = MovedNetwork(network, direction, {})
    plane.move_to(0.5, 0.0)
    torch.testing.assert_close(network.weight.detach(), expected)
    assert network(torch.zeros(shape)).shape[1] == 3


def test_a_point_is_rounded_only_in_the_end():
    """A step below the spacing of bfloat16 at the center must not be lost before the sum."""
    network = nn.Linear(4, 4)
    step = np.full((4, 4), 1e-4, np.float32)
    with torch.no_grad():
        network.weight.fill_(1.0)
    plane = MovedNetwork(network, {"weight": step}, {}, dtype=torch.bfloat16)
    plane.move_to(100.0, 0.0)
    assert network.weight.dtype == torch.bfloat16
    torch.testing.assert_close(network.weight.float(), torch.full((4, 4), 1.01), rtol=4e-3, atol=0)
    plane.move_to(0.0, 0.0)
    assert (network.weight == 1).all()


def test_nothing_moves_without_directions():
    network = make_network()
    center = state_of(network)
    MovedNetwork(network, {}, {}).move_to(1.0, 1.0)
    for name, tensor in state_of(network).items():
        np.testing.assert_array_equal(tensor, center[name])


@pytest.mark.parametrize("views", [True, False])
def test_a_network_of_half_length_keeps_its_type_and_is_rounded_in_the_end(views):
    """As above, but the network itself is in bfloat16, and another tensor is not."""
    network = nn.Linear(4, 4, dtype=torch.bfloat16)
    network.register_buffer("scale", torch.full((4,), 1 + 2**-20))
    with torch.no_grad():
        network.weight.fill_(1.0)
    step = np.full((4, 4), 1e-4, np.float32)
    steps = replace(PLAIN, views=views)
    plane = MovedNetwork(network, {"weight": step}, {"weight": step}, steps=steps)
    plane.move_to(60.0, 40.0)
    expected = torch.full((4, 4), 1 + 100 * 1e-4).bfloat16()
    assert network.weight.dtype == torch.bfloat16
    assert torch.equal(network.weight, expected)
    assert (network.scale == 1 + 2**-20).all()


def test_two_planes_take_turns_with_one_network():
    network = make_network()
    own = {name: tensor.data for name, tensor in network.named_parameters()}
    center = state_of(network)
    steps = replace(PLAIN, views=True)
    directions = [make_direction(network, ["0.weight", "3.bias"], seed) for seed in (1, 2)]
    planes = []
    for direction in directions:
        put_back(network, own, center)
        planes.append(MovedNetwork(network, direction, {}, steps=steps))
    for i in (0, 1, 0):
        put_back(network, own, center)
        planes[i].take_back()
        planes[i].move_to(0.5, 0.0)
        for name, values in directions[i].items():
            expected = center[name] + 0.5 * values
            np.testing.assert_allclose(state_of(network)[name], expected, rtol=1e-6)


def put_back(network, own, center):
    for name, parameter in network.named_parameters():
        parameter.data = own[name]
    network.load_state_dict({name: torch.from_numpy(values) for name, values in center.items()})
    network.train()
