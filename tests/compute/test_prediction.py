"""Oracles: a loop over samples and networks in Python's float64, by math.exp and math.log; the
network in double precision, batch after batch in training mode, for batch-norm's statistics.
"""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.prediction import growing_averages, probabilities, score
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.weight_averaging import average_states, measure_statistics
from landscape_mpi.zoo.networks import build_network

N, N_CLASSES, BATCH = 50, 10, 16
RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (N, 8, 8, 1), np.uint8)
TARGETS = RANDOM.integers(0, N_CLASSES, N)
SPLIT = {"mean": (0.4,), "std": (0.3,), "device": "cpu"}


def setting(threads=1):
    return Setting(device=CPU, precision="fp32", batch=BATCH, threads=threads)


def samples():
    return ResidentSplit(IMAGES, TARGETS, **SPLIT)


def network(seed, model="resnet8"):
    torch.manual_seed(seed)
    return build_network(model, n_channels=1, n_classes=N_CLASSES).eval()


def softmax_by_hand(outputs):
    rows = []
    for row in outputs.tolist():
        exponentials = [math.exp(value - max(row)) for value in row]
        rows.append([value / math.fsum(exponentials) for value in exponentials])
    return rows


def test_averages_and_scores_are_those_of_a_plain_loop():
    networks = [network(seed) for seed in range(3)]
    inputs = samples().batch(slice(0, N))
    with torch.no_grad():
        by_hand = [softmax_by_hand(net(inputs).double()) for net in networks]
    found = list(growing_averages(probabilities(net, samples(), setting()) for net in networks))
    assert len(found) == 3
    for k, average in enumerate(found, start=1):
        expected = [
            [math.fsum(one[i][c] for one in by_hand[:k]) / k for c in range(N_CLASSES)]
            for i in range(N)
        ]
        np.testing.assert_allclose(average, expected, rtol=1e-4, atol=1e-7)
        assert average.dtype == np.float64
        losses = [-math.log(p[target]) for p, target in zip(expected, TARGETS, strict=True)]
        wrong = [p.index(max(p)) != target for p, target in zip(expected, TARGETS, strict=True)]
        told = score(np.array(expected), TARGETS)
        assert told.loss == pytest.approx(math.fsum(losses) / N, rel=1e-12)
        assert told.error == pytest.approx(100 * sum(wrong) / N)


def test_threads_do_not_show():
    one, three = (probabilities(network(0), samples(), setting(threads)) for threads in (1, 3))
    assert one.tobytes() == three.tobytes()


def test_a_target_at_every_place_of_a_sequence():
    prediction = RANDOM.dirichlet(np.ones(4), (5, 7))
    targets = RANDOM.integers(0, 4, (5, 7))
    flat = score(prediction.reshape(35, 4), targets.ravel())
    assert score(prediction, targets) == flat


def test_a_class_that_is_ruled_out_costs_infinitely_much():
    told = score(np.array([[0.0, 1.0], [0.5, 0.5]]), np.array([0, 0]))
    assert told.loss == math.inf
    assert told.error == 50


def test_the_average_of_weights_is_that_of_a_plain_loop():
    states = [network(seed).state_dict() for seed in range(3)]
    states[2]["bn1.num_batches_tracked"] = torch.tensor(7)
    found = average_states(states)
    assert list(found) == list(states[0])
    assert int(found["bn1.num_batches_tracked"]) == 7
    place = ("layer2.0.conv1.weight", (3, 1, 2, 0))
    expected = math.fsum(float(state[place[0]][place[1]]) for state in states) / 3
    assert float(found[place[0]][place[1]]) == np.float32(expected)
    alone = average_states(states[:1])
    assert all(torch.equal(alone[name], states[0][name]) for name in alone)


def test_statistics_of_the_average_are_those_of_one_pass_in_float64():
    """torch itself, in double precision and training mode, with the mean over all batches."""
    average = network(5)
    reference = copy.deepcopy(average).double()
    norms = [module for module in reference.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain mean of what the batches give
        norm.reset_running_stats()
    reference.train()
    with torch.no_grad():
        for rows in (slice(0, 16), slice(16, 32), slice(32, 48)):
            reference(samples().batch(rows).double())
    training = ResidentSplit(IMAGES[:48], TARGETS[:48], **SPLIT)
    assert measure_statistics(average, training, setting()) == len(norms) == 9
    expected = dict(reference.named_buffers())
    for name, values in average.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            torch.testing.assert_close(values.double(), expected[name], rtol=2e-5, atol=1e-6)
    assert not average.training


def test_a_network_without_batch_norm_has_nothing_to_measure():
    plain = nn.Sequential(nn.Flatten(), nn.Linear(64, N_CLASSES)).eval()
    before = plain[1].weight.clone()
    assert measure_statistics(plain, samples(), setting()) == 0
    assert torch.equal(plain[1].weight, before)
