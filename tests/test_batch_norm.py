"""Oracle: torch.optim.swa_utils.update_bn, which runs the network in training mode."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from landscape_mpi.compute.batch_norm import BatchNormStatistics
from landscape_mpi.zoo.networks import build_network

N, BATCH = 48, 16


def buffers(network):
    return {
        name: values
        for name, values in network.named_buffers()
        if name.endswith(("running_mean", "running_var"))
    }


@pytest.fixture
def images():
    return torch.randn(N, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 3 + 1


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network("resnet8", n_channels=1, n_classes=10).eval()


def measure(network, images, threads, *, batch=BATCH):
    network = copy.deepcopy(network)
    statistics = BatchNormStatistics(network, batch=batch, threads=threads)
    with torch.inference_mode():
        statistics.update(len(images), lambda rows: network(images[rows]))
    return network, statistics


def test_the_statistics_are_those_of_torch(network, images):
    found, statistics = measure(network, images, threads=2)
    expected = copy.deepcopy(network)
    update_bn(images.split(BATCH), expected)
    assert statistics.n_layers == 9
    assert len(buffers(expected)) == 18
    for name, values in buffers(expected).items():
        torch.testing.assert_close(buffers(found)[name], values, rtol=1e-5, atol=1e-6)
    assert not found.training
    with torch.inference_mode():
        torch.testing.assert_close(found(images), expected.eval()(images), rtol=1e-4, atol=1e-4)


def test_any_number_of_threads_gives_the_same_bits(network, images):
    one, _ = measure(network, images, threads=1)
    three, _ = measure(network, images, threads=3)
    for name, values in buffers(one).items():
        assert torch.equal(values, buffers(three)[name])


def test_measured_twice_they_are_the_same(network, images):
    network, statistics = measure(network, images, threads=2)
    before = {name: values.clone() for name, values in buffers(network).items()}
    with torch.inference_mode():
        statistics.update(N, lambda rows: network(images[rows]))
    for name, values in buffers(network).items():
        assert torch.equal(values, before[name])


def test_batches_count_by_their_samples(images):
    """A layer on the data themselves: the mean over batches of 20, 20 and 8 is that of all."""
    found, _ = measure(nn.Sequential(nn.BatchNorm2d(1)).eval(), images, threads=1, batch=20)
    assert float(found[0].running_mean) == pytest.approx(float(images.mean()), rel=1e-5)


def test_a_last_batch_of_one_sample_is_left_out():
    vectors = torch.arange(7.0)[:, None]
    found, _ = measure(nn.Sequential(nn.BatchNorm1d(1)).eval(), vectors, threads=1, batch=3)
    assert float(found[0].running_mean) == pytest.approx(2.5)  # of 0 to 5
    assert float(found[0].running_var) == pytest.approx(1.0)


def test_a_layer_without_statistics_is_left_alone(images):
    network = nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False)).eval()
    found, statistics = measure(network, images, threads=1)
    assert statistics.n_layers == 0
    assert found[0].running_mean is None


def test_an_error_leaves_the_network_in_evaluation_mode(network, images):
    statistics = BatchNormStatistics(network, batch=BATCH, threads=1)
    with pytest.raises(RuntimeError, match="Expected"):
        statistics.update(N, lambda rows: network(images[rows].reshape(-1)))
    assert not any(module.training for module in network.modules())
    assert all(m.track_running_stats for m in network.modules() if isinstance(m, nn.BatchNorm2d))
