"""Oracles: torch's own losses, whose means are over all targets, and counts by hand."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape_mpi.compute.devices.choice import device_named
from landscape_mpi.compute.evaluation import Evaluator, Setting, mean_values, prepare_device
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


def evaluate(loss, targets, device, *, one_loss=False, weight=1.0, batch=3, weighs=False):
    inputs = np.arange(1, 1 + len(targets), dtype=np.float32)[:, None]
    network = nn.Linear(1, 2, bias=False)
    network.weight.data[:] = torch.tensor([[weight], [-1.0]])
    samples = ResidentSplit(
        inputs,
        targets,
        mean=(),
        std=(),
        device=device,
        one_loss=one_loss,
        weighs=weighs,
        ignored=loss.ignored,
    )
    setting = Setting(device_named(device), "fp32", batch)
    prepare_device(setting, network)
    Evaluator(network.eval().to(device), setting, loss=loss).compute_losses(samples)
    return samples, mean_values([samples.kept])


def test_a_loss_a_number_is_a_mean_over_all_numbers(device):
    targets = np.zeros((4, 2), np.float32)
    samples, (mean, error) = evaluate(Loss(mse), targets, device)
    assert samples.losses.shape == (4, 2)
    assert mean == np.mean([1, 1, 4, 4, 9, 9, 16, 16])
    assert error == 0


def test_one_loss_for_all_numbers_of_a_sample(device):
    def summed(outputs, targets):
        return (outputs - targets).abs().sum(dim=1)

    samples, (mean, _) = evaluate(Loss(summed), np.zeros((4, 2), np.float32), device, one_loss=True)
    assert samples.losses.tolist() == [2, 4, 6, 8]
    assert mean == 5


def test_the_error_counts_targets_also_where_a_sample_has_one_loss(device):
    def summed(outputs, targets):
        return bce(outputs, targets).sum(dim=1)

    targets = np.array([[1, 1], [1, 0]])
    _, (_, error) = evaluate(Loss(summed, "sign"), targets, device, one_loss=True)
    assert error == 25
    _, (loss, error) = evaluate(
        Loss(summed, "sign"), targets, device, one_loss=True, weight=math.nan
    )
    assert math.isnan(loss)
    assert error == 100


def test_a_loss_that_is_not_a_number_is_a_miss(device):
    _, (loss, error) = evaluate(
        Loss(cross_entropy, "largest output"), np.zeros(4, np.int64), device
    )
    assert error == 0
    targets = np.zeros(4, np.int64)
    _, (loss, error) = evaluate(Loss(mse, "largest output"), targets, device, weight=math.inf)
    assert loss == math.inf
    assert error == 0
    _, (loss, error) = evaluate(Loss(mse, "largest output"), targets, device, weight=math.nan)
    assert math.isnan(loss)
    assert error == 100


def test_the_loss_of_a_network_that_is_sure_of_itself_keeps_its_digits():
    """By hand: log(1 + 9 exp(-30)), and float32 would have 0."""
    logits = torch.zeros(1, 10)
    logits[0, 3] = 30
    loss = cross_entropy(logits, torch.tensor([3]))
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(math.log1p(9 * math.exp(-30)), rel=1e-6)


IGNORED = 255
WEIGHTS = (1.0, 20.0, 0.0, 0.5)


@pytest.fixture
def segmented(generator):
    """Logits with a class at each place, in torch's layout, and targets of which some are void."""
    logits = torch.randn(5, 4, 3, 6, generator=generator)
    targets = torch.randint(4, (5, 3, 6), generator=generator)
    targets[torch.rand(targets.shape, generator=generator) < 0.4] = IGNORED
    targets[3] = IGNORED  # a sample without any that counts
    return logits, targets


def mean_of(loss, outputs, targets):
    losses, weights = loss.weighted(outputs, targets)
    return losses.sum() / (losses.numel() if weights is None else weights.sum())


@pytest.mark.parametrize("class_axis", [1, -1])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_classes_second_or_last_and_targets_that_do_not_count(segmented, class_axis, weights):
    logits, targets = segmented
    given = logits if class_axis == 1 else logits.movedim(1, -1)
    loss = Loss(cross_entropy, "largest output", class_axis, IGNORED, weights)
    of_torch = nn.CrossEntropyLoss(
        weight=None if weights is None else torch.tensor(weights), ignore_index=IGNORED
    )
    torch.testing.assert_close(mean_of(loss, given, targets), of_torch(logits, targets))
    wrong = loss.measure(given, targets)[1]
    expected = (logits.argmax(1) != targets) & (targets != IGNORED)
    assert torch.equal(wrong, expected)


def test_weights_of_an_evaluation_serve_a_derivative_after_it(generator):
    weights = (3.0, 1.0, 2.5)  # no other test uses them
    loss = Loss(cross_entropy, class_weights=weights)
    logits, targets = torch.randn(5, 3, generator=generator), torch.arange(5) % 3
    with torch.inference_mode():
        loss.weighted(logits, targets)
    logits.requires_grad_(True)
    (slope,) = torch.autograd.grad(loss.summed_quickly(logits, targets)[0], logits)
    expected = nn.CrossEntropyLoss(torch.tensor(weights), reduction="sum")(logits, targets)
    torch.testing.assert_close(slope, torch.autograd.grad(expected, logits)[0])


@pytest.mark.parametrize("class_axis", [1, -1])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
@pytest.mark.parametrize("smoothing", [0.1, 1.0])
def test_label_smoothing_is_that_of_torch(segmented, class_axis, weights, smoothing):
    logits, targets = segmented
    given = logits if class_axis == 1 else logits.movedim(1, -1)
    how = {"label_smoothing": smoothing}
    loss = Loss(cross_entropy, "largest output", class_axis, IGNORED, weights, **how)
    weight = None if weights is None else torch.tensor(weights)
    expected = nn.CrossEntropyLoss(weight, ignore_index=IGNORED, **how)(logits, targets)
    torch.testing.assert_close(mean_of(loss, given, targets), expected)
    counted = targets[targets != IGNORED]
    total = counted.numel() if weight is None else weight[counted].sum()
    torch.testing.assert_close(loss.summed_quickly(given, targets)[0] / total, expected)
    plain = Loss(cross_entropy, "largest output", class_axis, IGNORED, weights)
    assert torch.equal(loss.measure(given, targets)[1], plain.measure(given, targets)[1])


def test_label_smoothing_by_hand_and_none_changes_no_bit(generator):
    """Two classes with logits 0 and log 3 have the probabilities 1/4 and 3/4."""
    logits = torch.tensor([[0.0, math.log(3)]])
    loss = Loss(cross_entropy, label_smoothing=0.2).weighted(logits, torch.tensor([1]))[0]
    assert loss.item() == pytest.approx(0.9 * math.log(4 / 3) + 0.1 * math.log(4), rel=1e-6)
    logits, targets = torch.randn(50, 7, generator=generator), torch.arange(50) % 7
    none = Loss(cross_entropy, label_smoothing=0.0).weighted(logits, targets)[0]
    assert torch.equal(none, Loss(cross_entropy).weighted(logits, targets)[0])


def test_mse_and_bce_leave_out_what_does_not_count(segmented, generator):
    logits, targets = segmented
    counted = targets != IGNORED
    one_hot = torch.eye(4)[targets[counted]]
    expected = nn.MSELoss()(logits.movedim(1, -1)[counted], one_hot)
    torch.testing.assert_close(mean_of(Loss(mse, None, 1, IGNORED), logits, targets), expected)
    labels = torch.tensor([[1.0, -1.0], [0.0, 1.0], [-1.0, -1.0]])
    given = torch.randn(3, 2, generator=generator)
    expected = nn.BCEWithLogitsLoss()(given[labels >= 0], labels[labels >= 0])
    torch.testing.assert_close(mean_of(Loss(bce, "sign", ignored=-1), given, labels), expected)


def test_ones_own_loss_may_bring_its_weights(generator):
    outputs, targets = torch.randn(9, 4, generator=generator), torch.arange(9) % 4
    weight = torch.tensor(WEIGHTS)

    def own(outputs, targets):
        losses = functional.cross_entropy(outputs, targets, weight=weight, reduction="none")
        return losses, weight[targets]

    expected = nn.CrossEntropyLoss(weight=weight)(outputs, targets)
    torch.testing.assert_close(mean_of(Loss(own, own=True), outputs, targets), expected)


def test_nan_and_infinity_where_nothing_counts_stay_out(segmented):
    logits, targets = segmented
    logits.movedim(1, -1)[targets == IGNORED] = math.nan
    loss = Loss(cross_entropy, "largest output", 1, IGNORED)
    losses, wrong, weights = loss.measure(logits, targets)
    assert losses.isfinite().all()
    assert not wrong[targets == IGNORED].any()
    assert weights.sum() == (targets != IGNORED).sum()


@pytest.mark.parametrize("batch", [1, 3, 100])
def test_means_over_what_counts_do_not_depend_on_the_batch(batch, device):
    """By hand: outputs are (x, -x) for x = 1, 2, 3, 4, and the second and the third count."""
    targets = np.array([-100, 1, 0, -100])
    loss = Loss(cross_entropy, "largest output", ignored=-100)
    samples, (mean, error) = evaluate(loss, targets, device, batch=batch)
    expected = (math.log1p(math.exp(4)) + math.log1p(math.exp(-6))) / 2
    assert mean == pytest.approx(expected, rel=1e-6)
    assert error == 50
    assert len(samples.kept) == 4


def test_the_weights_of_a_loss_divide_and_the_error_counts_each_target_once(device):
    def own(outputs, targets):
        losses = functional.cross_entropy(outputs, targets, reduction="none")
        return losses * (1 + targets), 1 + targets

    targets = np.array([0, 1, 0, 0])
    _, (mean, error) = evaluate(Loss(own, "largest output", own=True), targets, device, weighs=True)
    losses = [math.log1p(math.exp(2 * x * s)) for x, s in ((1, -1), (2, 1), (3, -1), (4, -1))]
    assert mean == pytest.approx((sum(losses) + losses[1]) / 5, rel=1e-6)
    assert error == 25


def test_weights_that_are_all_zero_give_no_number(device):
    def own(outputs, targets):
        return outputs[:, 0] * 0, outputs[:, 0] * 0

    _, (mean, _) = evaluate(Loss(own, own=True), np.zeros(4, np.int64), device, weighs=True)
    assert math.isnan(mean)
