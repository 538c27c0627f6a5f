"""Oracles: permutations that are known, since the test made them; all permutations of a small
layer, tried one by one; and the outputs of the network before and after.
"""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.compute.tensors import fill_network, tensors_of
from landscape_mpi.compute.units import find_units
from landscape_mpi.compute.weight_matching import align, deviation, likeness, permuted
from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network

DIGITS, CIFAR = Sample("image", (1, 8, 8), 10), Sample("image", (3, 32, 32), 10)
# With the sizes of the layers that are free, those with one order once.
NETWORKS = {
    "feedforward4": (DIGITS, [128] * 3),
    "feedforward6_skip2_4": (DIGITS, [128] * 4),  # layers 2 and 4 have one order
    "cnn1": (DIGITS, [16]),
    "cnn3": (DIGITS, [16, 32, 64]),
    "vgg9": (CIFAR, [64, 64, 128, 128, 256, 256, 256, 256]),
}


def network_of(model, seed=0):
    """A network whose biases and statistics are no zeros and ones."""
    torch.manual_seed(seed)
    network = build_network(model, sample=NETWORKS[model][0]).eval()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.ndim == 1:
                tensor.copy_(torch.rand_like(tensor) + 0.5 * name.endswith("var"))
    return network


def state_of(network):
    return {name: values.copy() for name, values in tensors_of(network).items()}


def shuffled(state, units, seed):
    random, state = np.random.default_rng(seed), dict(state)
    for one in units:
        order = random.permutation(one.n)
        for place in one.places:
            state[place.name] = permuted(state[place.name], place.axis, order)
    return state


def outputs_of(network, state, sample):
    fill_network(network, state)
    network.eval()
    inputs = torch.randn(4, *sample.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return network(inputs)


@pytest.mark.parametrize("model", NETWORKS)
def test_a_network_is_found_again_in_another_order(model):
    network = network_of(model)
    sample, sizes = NETWORKS[model]
    units = find_units(network, model=model)
    assert [one.n for one in units] == sizes
    state = state_of(network)
    other = shuffled(state, units, seed=1)
    assert any(not np.array_equal(values, other[name]) for name, values in state.items())
    expected = outputs_of(network, state, sample)
    scale = float(expected.abs().max())
    torch.testing.assert_close(
        outputs_of(network, other, sample), expected, rtol=0, atol=1e-5 * scale
    )
    found = align(state, other, units, seed=0)
    for name, values in state.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("model", ["cnn3", "feedforward4"])
def test_another_solution_stays_the_same_function_and_comes_nearer(model):
    one, other = network_of(model, seed=1), network_of(model, seed=2)
    units = find_units(one, model=model)
    a, b = state_of(one), state_of(other)
    found = align(a, b, units, seed=0)
    assert likeness(a, found) > likeness(a, b)
    sample = NETWORKS[model][0]
    expected = outputs_of(other, b, sample)
    scale = float(expected.abs().max())
    torch.testing.assert_close(
        outputs_of(other, found, sample), expected, rtol=0, atol=1e-5 * scale
    )


def test_the_deviation_is_of_the_largest_output():
    network = nn.Linear(2, 3, bias=False)
    first = {"weight": np.array([[1, 0], [0, 2], [0, -4]], dtype=np.float32)}
    other = {"weight": np.array([[1, 0], [0, 2], [0.5, -4]], dtype=np.float32)}
    assert deviation(network, first, other, torch.eye(2)) == 0.5 / 4
    none = {"weight": np.zeros((3, 2), dtype=np.float32)}
    assert deviation(network, none, none, torch.eye(2)) == 0
    other["weight"][0, 0] = np.inf
    assert deviation(network, first, other, torch.ones(1, 2)) == np.inf
    assert deviation(network, other, other, torch.ones(1, 2)) == 0


def test_of_all_orders_of_a_small_layer_the_best_is_found():
    torch.manual_seed(0)
    networks = [nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2)) for _ in range(2)]
    units = find_units(networks[0], model="small")
    a, b = map(state_of, networks)
    best = max(
        float((a["0.weight"] * b["0.weight"][list(order)]).sum(dtype=np.float64))
        + float((a["0.bias"] * b["0.bias"][list(order)]).sum(dtype=np.float64))
        + float((a["2.weight"] * b["2.weight"][:, list(order)]).sum(dtype=np.float64))
        + float((a["2.bias"] * b["2.bias"]).sum(dtype=np.float64))
        for order in itertools.permutations(range(5))
    )
    assert likeness(a, align(a, b, units, seed=0)) == pytest.approx(best, rel=1e-6)


def test_blocks_move_as_one():
    values = np.arange(12).reshape(2, 6)
    moved = permuted(values, 1, np.array([2, 0, 1]))  # three units of two entries
    assert moved.tolist() == [[4, 5, 0, 1, 2, 3], [10, 11, 6, 7, 8, 9]]


def test_units_that_are_added_to_what_is_fixed_stay():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

        def forward(self, x):
            return self.last(self.first(x) + x)

    assert find_units(Sum(), model="sum") == []


@pytest.mark.parametrize(
    ("model", "sample", "why"),
    [
        ("rnn120", Sample("text", (30,), 65), "is not known here"),
        ("densenet121", CIFAR, "is not known here"),
    ],
)
def test_a_network_that_is_not_plain_is_refused(model, sample, why):
    network = build_network(model, sample=sample)
    with pytest.raises(InputError) as caught:
        find_units(network, model=model)
    told = str(caught.value)
    assert told.startswith(f"--match weights: the units of --model {model} cannot be permuted")
    assert why in told
    assert told.endswith(
        "The option works only for plain networks: feed-forward, convolutional, VGG. Leave out "
        "--match."
    )


def test_units_that_a_layer_cannot_take_in_blocks_are_refused():
    network = nn.Sequential(nn.Conv1d(1, 3, 1), nn.Linear(64, 4), nn.Flatten())
    with pytest.raises(InputError, match=r"1\.weight takes 64 numbers from 3 of them"):
        find_units(network, model="hook:rows")


def test_what_cannot_be_traced_or_is_used_twice_is_refused():
    class Branching(nn.Linear):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else x

    with pytest.raises(InputError, match="it cannot be traced"):
        find_units(Branching(2, 2), model="hook:branching")
    layer = nn.Linear(4, 4)
    with pytest.raises(InputError, match="0 is used twice"):
        find_units(nn.Sequential(layer, nn.ReLU(), layer), model="hook:twice")


def test_synchronised_batch_norm_is_permuted_with_its_layer():
    layers = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    )
    plain, synced = (
        find_units(network, model="own:network")
        for network in (layers, nn.SyncBatchNorm.convert_sync_batchnorm(layers))
    )
    assert plain == synced
    assert len(plain[0].places) == 7  # weight, bias, four of the batch-norm, and columns behind
