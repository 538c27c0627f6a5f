"""Running statistics of batch-norm, measured on the training batches of a problem.

Oracles: torch.optim.swa_utils.update_bn over the same batches, with the same random numbers; the
network as it was before.
"""

import copy

import pytest
import torch
from cases.problem_loops import seeded
from torch import nn
from torch.optim.swa_utils import update_bn

from landscape_mpi.compute.batch_source import source_of
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.problem_split import ProblemSplit
from landscape_mpi.compute.problem_statistics import ProblemStatistics
from landscape_mpi.errors import InputError
from landscape_mpi.problem import Problem

SEED = 3
SIZES = (5, 2, 7, 4)


class Network(nn.Module):
    """Batch-norm before and after dropout, a layer that is called twice, and a counter."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 6), nn.Linear(6, 1)
        self.early, self.twice = nn.BatchNorm1d(6), nn.BatchNorm1d(6)
        self.dropout = nn.Dropout(0.4)
        self.register_buffer("calls", torch.tensor(0.0))

    def forward(self, x):
        self.calls += 1
        x = self.dropout(self.early(self.first(x)).tanh())
        return self.last(self.twice(self.twice(x) + 1))


def network_of(kind=Network):
    torch.manual_seed(0)
    return kind()


def batches(sizes=SIZES):
    draw = torch.Generator().manual_seed(1)
    return [{"x": 3 + torch.randn(n, 3, generator=draw)} for n in sizes]


def loss(network, batch):
    batch["x"] += 1  # in place: each call has a batch of its own
    return network(batch["x"]).square().sum(), len(batch["x"])


def measuring(network, data=None, function=loss):
    problem = Problem(network, {"train": data or batches()}, function, seed=SEED)
    split = ProblemSplit(source_of(problem, "train"), slice(None), n_functions=1, device="cpu")
    functions = problem.functions
    return ProblemStatistics(network, functions[0], split, seed=SEED, device=CPU, option="here")


def statistics_of(network):
    return {name: b for name, b in network.named_buffers() if "running" in name}


def by_update_bn(network, data):
    """Update_bn of torch, its random numbers those of each batch."""
    network = copy.deepcopy(network)

    def loader():
        for k, batch in enumerate(data):
            seeded(k, SEED)
            yield batch["x"] + 1

    update_bn(loader(), network)
    return statistics_of(network)


@pytest.mark.parametrize("training", [True, False])
def test_they_are_those_of_update_bn(training):
    network = network_of().train(training)
    expected = by_update_bn(network, batches())
    before = copy.deepcopy(network.state_dict())
    torch.manual_seed(5)
    drawn = torch.rand(3)
    torch.manual_seed(5)
    measuring(network).measure()
    assert torch.equal(torch.rand(3), drawn)
    found = statistics_of(network)
    assert len(found) == 4
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name], rtol=1e-5, atol=1e-6)
        assert not torch.allclose(values, before[name], rtol=0.1)
    for name, values in network.state_dict().items():  # counters, too
        assert name in found or torch.equal(values, before[name])
    assert {module.training for module in network.modules()} == {training}
    assert "forward" not in vars(network.early)


def test_measured_twice_they_have_the_same_bits():
    network = network_of()
    measuring(network).measure()
    first = copy.deepcopy(statistics_of(network))
    measuring(network).measure()
    for name, values in statistics_of(network).items():
        assert torch.equal(values, first[name])


def test_a_trial_changes_nothing():
    network = network_of()
    before = copy.deepcopy(network.state_dict())
    measuring(network).try_layers()
    for name, values in network.state_dict().items():
        assert torch.equal(values, before[name])
    assert all(module.training for module in network.modules())


def test_a_network_without_statistics_is_not_called():
    def fails(network, batch):
        raise AssertionError

    statistics = measuring(nn.Linear(3, 1), function=fails)
    statistics.try_layers()
    statistics.measure()


def test_a_batch_of_one_sample_is_refused():
    network = network_of()
    before = copy.deepcopy(network.state_dict())
    words = (
        r"^here: a batch gives early only one value per channel, which has no variance, so running "
        r"statistics cannot be measured. Use larger batches, drop a smaller last batch "
        r"\(drop_last=True\), or: normalise without running statistics \(nn.GroupNorm, nn."
    )
    with pytest.raises(InputError, match=words):
        measuring(network, batches((4, 1))).measure()
    for name, values in network.state_dict().items():
        assert torch.equal(values, before[name])
    assert "forward" not in vars(network.early)


@pytest.mark.filterwarnings("ignore:.*jit.script. is deprecated:DeprecationWarning")
def test_layers_that_are_not_called_are_refused():
    network = nn.Sequential(nn.Linear(3, 2), torch.jit.script(nn.BatchNorm1d(2)))
    before = copy.deepcopy(network.state_dict())
    words = (
        r"^here: the running statistics of 1 \(BatchNorm1d\) change the outputs, but the network "
        r"does not call 1 as a layer .* cannot be measured. Normalise without running statistics "
        r"\(nn.GroupNorm, nn.LayerNorm\), or call the layer in forward.$"
    )
    with pytest.raises(InputError, match=words):
        measuring(network).try_layers()
    for name, values in network.state_dict().items():
        assert torch.equal(values, before[name])
