"""Oracles: torch's own losses, whose means are over all targets, and counts by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.compute.evaluation import Evaluator, Setting, mean_values
from landscape_mpi.compute.losses import ERRORS, Loss, bce, cross_entropy, mse
from landscape_mpi.compute.samples import ResidentSplit


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("shape", [(7,), (4, 5)])
def test_cross_entropy_of_samples_and_of_tokens(shape, generator):
    logits = torch.randn(*shape, 3, generator=generator)
    targets = torch.randint(3, shape, generator=generator)
    losses = cross_entropy(logits, targets)
    assert losses.shape == shape
    expected = nn.CrossEntropyLoss()(logits.reshape(-1, 3), targets.reshape(-1))
    torch.testing.assert_close(losses.mean(), expected)


def test_mse_of_classes_is_from_one_hot(generator):
    outputs = torch.randn(6, 4, generator=generator)
    targets = torch.tensor([0, 1, 2, 3, 0, 1])
    losses = mse(outputs, targets)
    assert losses.shape == (6,)
    expected = nn.MSELoss()(outputs, torch.eye(4)[targets])
    torch.testing.assert_close(losses.mean(), expected)


@pytest.mark.parametrize(
    ("outputs", "targets"), [((6, 1), (6,)), ((6,), (6,)), ((6, 2), (6, 2)), ((6, 1), (6, 1))]
)
def test_mse_and_bce_of_numbers(outputs, targets, generator):
    given = torch.randn(outputs, generator=generator)
    numbers = torch.rand(targets, generator=generator)
    assert mse(given, numbers).shape == bce(given, numbers).shape == targets
    flat = given.reshape(-1), numbers.reshape(-1)
    torch.testing.assert_close(mse(given, numbers).mean(), nn.MSELoss()(*flat))
    torch.testing.assert_close(bce(given, numbers).mean(), nn.BCEWithLogitsLoss()(*flat))
    labels = (numbers > 0.5).long()
    expected = nn.BCEWithLogitsLoss()(flat[0], labels.reshape(-1).float())
    torch.testing.assert_close(bce(given, labels).mean(), expected)


def test_errors():
    outputs = torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    targets = torch.tensor([1, 1, 0])
    wrong = ERRORS["largest output"](outputs, targets)
    assert wrong.tolist() == [False, True, True]
    logits = torch.tensor([[0.1], [-3.0], [0.0]])
    assert ERRORS["sign"](logits, torch.tensor([1, 1, 0])).tolist() == [False, True, False]


def evaluate(loss, targets, *, one_loss=False, weight=1.0, batch=3):
    inputs = np.arange(1, 1 + len(targets), dtype=np.float32)[:, None]
    network = nn.Linear(1, 2, bias=False)
    network.weight.data[:] = torch.tensor([[weight], [-1.0]])
    samples = ResidentSplit(inputs, targets, mean=(), std=(), device="cpu", one_loss=one_loss)
    Evaluator(network.eval(), Setting("cpu", "fp32", batch), loss=loss).compute_losses(samples)
    return samples, mean_values([(samples.losses, samples.wrong)])


def test_a_loss_a_number_is_a_mean_over_all_numbers():
    targets = np.zeros((4, 2), np.float32)
    samples, (mean, error) = evaluate(Loss(mse), targets)
    assert samples.losses.shape == (4, 2)
    assert mean == np.mean([1, 1, 4, 4, 9, 9, 16, 16])
    assert error == 0


def test_one_loss_for_all_numbers_of_a_sample():
    def summed(outputs, targets):
        return (outputs - targets).abs().sum(dim=1)

    samples, (mean, _) = evaluate(Loss(summed), np.zeros((4, 2), np.float32), one_loss=True)
    assert samples.losses.tolist() == [2, 4, 6, 8]
    assert mean == 5


def test_the_error_counts_targets_also_where_a_sample_has_one_loss():
    def summed(outputs, targets):
        return bce(outputs, targets).sum(dim=1)

    targets = np.array([[1, 1], [1, 0]])
    _, (_, error) = evaluate(Loss(summed, "sign"), targets, one_loss=True)
    assert error == 25
    _, (loss, error) = evaluate(Loss(summed, "sign"), targets, one_loss=True, weight=math.nan)
    assert math.isnan(loss)
    assert error == 100


def test_a_loss_that_is_not_a_number_is_a_miss():
    _, (loss, error) = evaluate(Loss(cross_entropy, "largest output"), np.zeros(4, np.int64))
    assert error == 0
    targets = np.zeros(4, np.int64)
    _, (loss, error) = evaluate(Loss(mse, "largest output"), targets, weight=math.inf)
    assert loss == math.inf
    assert error == 0
    _, (loss, error) = evaluate(Loss(mse, "largest output"), targets, weight=math.nan)
    assert math.isnan(loss)
    assert error == 100


def test_the_loss_of_a_network_that_is_sure_of_itself_keeps_its_digits():
    """By hand: log(1 + 9 exp(-30)), and float32 would have 0."""
    logits = torch.zeros(1, 10)
    logits[0, 3] = 30
    loss = cross_entropy(logits, torch.tensor([3]))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log1p(9 * math.exp(-30)), rel=1e-6)
