"""Oracle: the unfolded network in float64, moved tensor by tensor along the unfolded directions.

Folding and moving are done by different code on different tensors, in another precision: an
error in the folded directions cannot cancel one in the folded center.
"""

import copy

import numpy as np
import pytest
import torch
from torch import fx, nn

from landscape_mpi.compute import fusion
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.folding import fold
from landscape_mpi.compute.moving_network import MovedNetwork
from landscape_mpi.compute.preparation import prepare_network
from landscape_mpi.zoo.networks import build_network

POINTS = [(0.0, 0.0), (0.7, 0.0), (-0.3, 0.9)]


def randomized(network):
    """Give batch-norm statistics and scales that are not those of a new network."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            for tensor in (module.running_mean, module.weight, module.bias):
                if tensor is not None:
                    tensor.data.normal_(0.5, 0.3)
            if module.running_var is not None:
                module.running_var.uniform_(0.5, 2)
    return network.eval()


class Plain(nn.Module):
    """Convolutions with and without bias, linear + batch-norm, every form of ReLU and sum."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 8, 3, padding=1, bias=False, groups=2)
        self.plain_norm = nn.BatchNorm2d(8, affine=False)
        self.third = nn.Conv2d(8, 8, 1)
        self.relu = nn.ReLU()
        self.linear = nn.Linear(8, 6)
        self.flat_norm = nn.BatchNorm1d(6)

    def forward(self, images):
        x = self.relu(self.norm(self.first(images)))
        y = torch.add(x, self.plain_norm(self.second(x))).relu()
        z = torch.relu(self.third(y) + 1.0)
        return self.flat_norm(self.linear(z.mean((2, 3))))


class Shared(nn.Module):
    """A convolution that is used twice, and one whose output is used before batch-norm too."""

    def __init__(self):
        super().__init__()
        self.twice = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.fork = nn.Conv2d(3, 3, 1)
        self.fork_norm = nn.BatchNorm2d(3)

    def forward(self, images):
        x = self.norm(self.twice(images)) + self.twice(images)
        y = self.fork(x)
        return (self.fork_norm(y) * y).mean((2, 3))


class Branching(nn.Module):
    """Cannot be traced: the path depends on the values."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, images):
        x = self.norm(self.conv(images))
        return (x if x.sum() > 0 else -x).mean((2, 3))


NETWORKS = {
    "resnet8": lambda: build_network("resnet8", n_channels=3, n_classes=10),
    "resnet14_pad": lambda: build_network("resnet14_pad", n_channels=3, n_classes=10),
    "plain": Plain,
    "shared": Shared,
    "branching": Branching,
}


def make_directions(network, which):
    generator = np.random.default_rng(0)
    names = [name for name, p in network.named_parameters() if which == "all" or p.ndim > 1]
    if which == "statistics":
        names += [name for name in network.state_dict() if name.endswith("running_mean")]
    state = network.state_dict()
    return {
        axis: {
            name: generator.normal(0, 0.1, state[name].shape).astype(np.float32) for name in names
        }
        for axis in ("alpha", "beta")
    }


def exact_outputs(network, directions, a, b, images):
    moved = copy.deepcopy(network).double()
    with torch.no_grad():
        state = moved.state_dict()
        for axis, step in (("alpha", a), ("beta", b)):
            for name, values in directions[axis].items():
                state[name] += step * torch.from_numpy(values).double()
        return moved(images.double())


def check_everywhere(network, directions, folded, images):
    plane = MovedNetwork(folded.network, **folded.directions)
    for a, b in POINTS:
        plane.move_to(a, b)
        with torch.inference_mode():
            outputs = folded.network(images)
        expected = exact_outputs(network, directions, a, b, images)
        scale = expected.abs().max()
        torch.testing.assert_close(outputs.double() / scale, expected / scale, rtol=0, atol=2e-6)


@pytest.fixture
def images():
    torch.manual_seed(2)
    return torch.randn(6, 3, 9, 9)


@pytest.mark.parametrize("which", ["weights", "all", "statistics"])
@pytest.mark.parametrize("name", NETWORKS)
def test_the_folded_network_moves_as_the_unfolded_one(name, which, images):
    network = randomized(NETWORKS[name]())
    directions = make_directions(network, which)
    folded = fold(copy.deepcopy(network), directions)
    check_everywhere(network, directions, folded, images)


@pytest.mark.parametrize("which", ["weights", "all"])
@pytest.mark.parametrize("name", ["resnet8", "resnet14_pad", "plain", "shared"])
def test_the_fused_network_moves_as_the_unfused_one(name, which, images):
    if not fusion.is_available():
        pytest.skip("this torch has no oneDNN")
    network = randomized(NETWORKS[name]())
    directions = make_directions(network, which)
    folded = fold(copy.deepcopy(network), directions)
    n_fused = fusion.fuse(folded.network, images)
    assert n_fused == {
        ("resnet8", "weights"): 7,
        ("resnet14_pad", "weights"): 13,
        ("plain", "weights"): 2,  # the sum with a number is left alone
        ("plain", "all"): 1,
    }.get((name, which), 0)
    check_everywhere(network, directions, folded, images)


def test_every_batch_norm_of_the_papers_networks_is_folded():
    for name, n_norms in (("resnet20", 21), ("resnet20_pad", 19), ("resnet56", 57)):
        network = randomized(build_network(name, n_channels=3, n_classes=10))
        folded = fold(network, make_directions(network, "weights"))
        assert (folded.n_folded, folded.n_left) == (n_norms, 0)
        assert isinstance(folded.network, fx.GraphModule)
        assert not any(isinstance(m, nn.BatchNorm2d) for m in folded.network.modules())


@pytest.mark.parametrize(
    ("name", "which", "n_folded"),
    [
        ("plain", "weights", 3),
        ("plain", "all", 1),  # only the one without scale and shift stays where it is
        ("plain", "statistics", 0),
        ("shared", "weights", 0),
        ("branching", "weights", 0),
    ],
)
def test_what_cannot_be_folded_stays(name, which, n_folded):
    network = randomized(NETWORKS[name]())
    n_norms = sum("running_var" in key for key in network.state_dict())
    folded = fold(network, make_directions(network, which))
    assert (folded.n_folded, folded.n_left) == (n_folded, n_norms - n_folded)


def test_a_network_that_cannot_be_traced_comes_back_with_the_reason():
    network = randomized(Branching())
    folded = fold(network, make_directions(network, "weights"))
    assert folded.network is network
    assert folded.problem is not None
    assert "TraceError" in folded.problem


@pytest.mark.parametrize("name", ["resnet8", "plain"])
def test_fusing_hides_no_overflow(name, images):
    """Weights so large that infinities meet: what is not a number stays that."""
    network = randomized(NETWORKS[name]())
    directions = make_directions(network, "weights")
    folded = fold(copy.deepcopy(network), directions)
    fusion.fuse(folded.network, images)
    plane = MovedNetwork(folded.network, **folded.directions)
    plane.move_to(1e30, -1e30)
    with torch.inference_mode():
        assert folded.network(images).isnan().all()


class PerBatch(nn.Linear):
    """Does something else while it is traced."""

    def forward(self, images):
        factor = 1 if torch.fx._symbolic_trace.is_fx_tracing() else 3
        return factor * super().forward(images.flatten(1))


def test_a_network_that_tracing_changes_is_left_unfolded(images):
    network = PerBatch(243, 4).eval()
    setting = Setting(CPU, "fp32", 64)
    prepared = prepare_network(network, {"alpha": {}, "beta": {}}, images, setting)
    assert prepared.networks == [network]
    assert "the traced network gives other outputs, by up to" in prepared.description


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e30])
def test_a_network_whose_outputs_are_no_numbers_is_folded_too(value, images):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()).eval()
    with torch.no_grad():
        network[0].weight.fill_(value)
    setting = Setting(CPU, "fp32", 4)
    prepared = prepare_network(network, {"alpha": {}, "beta": {}}, images, setting)
    assert prepared.description.startswith("1 batch-norm folded")


class WithMask(nn.Module):
    """Takes another way where it is given a mask, and has arguments by keyword only."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images, mask=None, *, scale=2.0):
        outputs = self.norm(self.conv(images)) * scale
        return outputs.mean((2, 3)) if mask is None else outputs * mask


def test_arguments_that_are_not_given_have_their_defaults(images):
    network = randomized(WithMask())
    folded = fold(copy.deepcopy(network), {"alpha": {}, "beta": {}})
    assert (folded.n_folded, folded.problem) == (1, None)
    torch.testing.assert_close(folded.network(images), network(images))


def test_tied_weights_are_not_folded():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 1))
    network[2].weight = network[0].weight
    folded = fold(randomized(network), {"alpha": {}, "beta": {}})
    assert folded.n_folded == 0
