"""Oracle: numpy's own norms and histogram of the weights, put into one array."""

import numpy as np
import torch
from torch import nn

from landscape_mpi.zoo.networks import build_network
from landscape_mpi.zoo.weights import N_BINS, measure_weights


def test_norms_and_histogram_are_those_of_numpy():
    torch.manual_seed(0)
    network = build_network("resnet8", n_channels=3, n_classes=10)
    arrays = [p.detach().numpy().astype(np.float64) for p in network.parameters()]
    weights = np.concatenate([a.ravel() for a in arrays if a.ndim > 1])
    told = measure_weights(network)
    np.testing.assert_allclose(told.parameter_norms, [np.linalg.norm(a) for a in arrays])
    np.testing.assert_allclose(told.weight_norm, np.linalg.norm(weights))
    np.testing.assert_allclose(told.total_norm, np.sqrt(sum((a**2).sum() for a in arrays)))
    rms = np.sqrt(np.mean(weights**2))
    np.testing.assert_allclose(told.edges[[0, -1]], [-6 * rms, 6 * rms])
    expected, _ = np.histogram(weights, told.edges)
    # A weight on an edge, but for rounding, may fall to either side of it.
    assert np.abs(told.counts - expected).sum() <= 4
    outside = [np.sum(weights < told.edges[0]), np.sum(weights > told.edges[-1])]
    np.testing.assert_array_equal(told.n_outside, outside)
    assert outside[0] > 0
    assert outside[1] > 0
    assert told.counts.sum() + told.n_outside.sum() == weights.size


def test_weights_that_are_all_zero_or_that_are_not_there():
    zeros = nn.Linear(3, 2)
    nn.init.zeros_(zeros.weight)
    told = measure_weights(zeros)
    assert (told.weight_norm, told.counts[N_BINS // 2], told.counts.sum()) == (0, 6, 6)
    assert told.total_norm > 0
    assert measure_weights(nn.BatchNorm1d(4)).counts.sum() == 0
