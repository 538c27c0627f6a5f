"""Oracles: softmax regression by gradient descent, by momentum and by Adam, written out in numpy
with its closed-form gradient; the epochs that the paper names; and a run that is never disturbed.
"""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import DataSet, Split
from landscape_mpi.zoo.networks import build_network
from landscape_mpi.zoo.recipe import DROPS, CurveRecipe, Recipe, check_recipe
from landscape_mpi.zoo.sample_task import SampleTask
from landscape_mpi.zoo.samples import Samples, evaluate
from landscape_mpi.zoo.trainer import Trainer, train_network

CPU = torch.device("cpu")
RANDOM = np.random.default_rng(0)
N = 50
SPLITS = {
    name: Split(RANDOM.integers(0, 256, (N, 8, 8, 2), dtype=np.uint8), RANDOM.integers(0, 3, N))
    for name in ("train", "test")
}
DATA = DataSet("random", SPLITS, (0.5, 0.4), (0.3, 0.2), 3, "")


def recipe(**changes):
    settings = {
        "epochs": 4,
        "batch_size": N,
        "lr": 0.02,
        "weight_decay": 0.1,
        "augment": False,
        "seed": 1,
    }
    return Recipe(**settings | changes)


def features(split):
    """Standardised pixels, channels first, and a one for the bias."""
    scaled = (split.inputs / 255 - DATA.mean) / DATA.std
    return np.c_[scaled.transpose(0, 3, 1, 2).reshape(N, -1), np.ones(N)]


def loss_and_error(weight, split):
    logits = features(split) @ weight.T
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(N), split.targets]
    return losses.mean(), 100 * np.mean(logits.argmax(axis=1) != split.targets)


def gradient(weight, split):
    x = features(split)
    p = np.exp(x @ weight.T)
    p /= p.sum(axis=1, keepdims=True)
    return (p - np.eye(3)[split.targets]).T @ x / N


def trainer_of(network, settings, device="cpu", **options):
    place = torch.device(device)
    task = SampleTask(DATA, settings, device=place)
    return Trainer(network, task, settings, device=place, **options)


def linear_network():
    torch.manual_seed(3)
    return nn.Sequential(nn.Flatten(), nn.Linear(2 * 64, 3))


def weight_of(network):
    weight, bias = (tensor.detach().cpu().numpy() for tensor in network[1].parameters())
    return np.c_[weight, bias].astype(np.float64)


def test_steps_are_those_of_nesterov_written_out(device):
    network = linear_network()
    weight = weight_of(network)
    velocity = np.zeros_like(weight)
    epochs = train_network(network, DATA, recipe(), device=torch.device(device))
    for lr, epoch in zip((0.02, 0.02, 0.002, 0.0002), epochs, strict=True):
        train_loss, train_error = loss_and_error(weight, SPLITS["train"])
        step = gradient(weight, SPLITS["train"]) + 0.1 * weight
        velocity = 0.9 * velocity + step
        weight -= lr * (step + 0.9 * velocity)
        test_loss, test_error = loss_and_error(weight, SPLITS["test"])
        assert epoch.lr == pytest.approx(lr)
        assert (epoch.train_loss, epoch.test_loss) == pytest.approx((train_loss, test_loss), 1e-5)
        assert (epoch.train_error, epoch.test_error) == pytest.approx((train_error, test_error))
    np.testing.assert_allclose(weight_of(network), weight, atol=1e-5)


def adam_step(gradient, moments, step):
    """Kingma and Ba 2015, arXiv:1412.6980, algorithm 1."""
    moments[0] = 0.9 * moments[0] + 0.1 * gradient
    moments[1] = 0.999 * moments[1] + 0.001 * gradient**2
    return (moments[0] / (1 - 0.9**step)) / (np.sqrt(moments[1] / (1 - 0.999**step)) + 1e-8)


def test_adam_and_the_penalties_written_out(device):
    """Penalties are on weights; weight decay is on the bias, the last column, as well."""
    network = linear_network()
    weight = weight_of(network)
    moments = [np.zeros_like(weight), np.zeros_like(weight)]
    settings = recipe(optimizer="adam", l1=0.02, l2=0.03, lr_drops=())
    for step, epoch in enumerate(
        train_network(network, DATA, settings, device=torch.device(device)), 1
    ):
        assert epoch.train_loss == pytest.approx(loss_and_error(weight, SPLITS["train"])[0], 1e-4)
        penalty = 0.02 * np.sign(weight) + 2 * 0.03 * weight
        penalty[:, -1] = 0
        total = gradient(weight, SPLITS["train"]) + penalty + 0.1 * weight
        weight = weight - 0.02 * adam_step(total, moments, step)
    np.testing.assert_allclose(weight_of(network), weight, atol=2e-4)


@pytest.mark.parametrize(("momentum", "nesterov"), [(0.5, True), (0.5, False), (0.0, False)])
def test_momentum_written_out(momentum, nesterov, device):
    network = linear_network()
    weight = weight_of(network)
    velocity = np.zeros_like(weight)
    settings = recipe(momentum=momentum, nesterov=nesterov, lr_drops=(), weight_decay=0)
    for _ in train_network(network, DATA, settings, device=torch.device(device)):
        step = gradient(weight, SPLITS["train"])
        velocity = momentum * velocity + step
        weight = weight - 0.02 * (step + momentum * velocity if nesterov else velocity)
    np.testing.assert_allclose(weight_of(network), weight, atol=1e-5)


def test_learning_rate_drops_at_the_epochs_of_the_paper():
    paper = recipe(epochs=300, lr=0.1)
    drops = [e for e in range(1, 300) if paper.learning_rate(e) != paper.learning_rate(e - 1)]
    assert drops == [150, 225, 275]
    assert [paper.learning_rate(e) for e in (0, 150, 225, 275)] == [0.1, 0.01, 0.001, 0.0001]
    assert recipe(epochs=1, lr=0.1).learning_rate(0) == 0.1


def test_drops_are_epochs_or_shares_of_all():
    drops = (Fraction(3), Fraction(1, 2), Fraction("0.9"))
    settings = recipe(epochs=10, lr=1.0, lr_drops=drops)
    assert settings.drop_epochs == (3, 5, 9)
    assert [settings.learning_rate(e) for e in range(10)] == [1] * 3 + [0.1] * 2 + [0.01] * 4 + [
        0.001
    ]
    assert recipe(lr_drops=()).drop_epochs == ()
    assert recipe(epochs=300, lr_drops=DROPS).drop_epochs == (150, 225, 275)


def test_parts_that_do_not_go_together():
    check_recipe(recipe(epochs=1))
    with pytest.raises(InputError) as late:
        check_recipe(recipe(epochs=100, lr_drops=(Fraction(50), Fraction(150))))
    assert str(late.value) == (
        "--lr-drops 150: --epochs is 100, so this drop would never come. Leave it out, or pass "
        "fractions of the epochs, e.g. 0.5,0.75."
    )
    with pytest.raises(InputError, match=r"--momentum 0: Nesterov's step needs momentum. Pass "):
        check_recipe(recipe(momentum=0.0))
    check_recipe(recipe(momentum=0.0, nesterov=False))
    check_recipe(recipe(momentum=0.0, optimizer="adam"))


def test_evaluation_does_not_depend_on_its_batches(device):
    splits = {
        "train": Split(
            np.tile(SPLITS["train"].inputs, (41, 1, 1, 1)), np.tile(SPLITS["train"].targets, 41)
        )
    }
    network = linear_network().to(device)
    loss, error = evaluate(network, Samples(splits["train"], DATA, torch.device(device)))
    assert (loss, error) == pytest.approx(loss_and_error(weight_of(network), SPLITS["train"]))


@pytest.mark.parametrize("augment", [True, False])
def test_seed_decides_all_of_it(augment, device):
    def final(seed):
        torch.manual_seed(0)
        network = build_network("resnet8", n_channels=2, n_classes=3)
        settings = recipe(epochs=2, batch_size=16, seed=seed, augment=augment)
        epochs = list(train_network(network, DATA, settings, device=torch.device(device)))
        assert not network.training
        return [e.train_loss for e in epochs], network.state_dict()["linear.weight"]

    (losses, weight), (losses_again, weight_again), (_, other) = final(1), final(1), final(2)
    assert losses == losses_again
    assert torch.equal(weight, weight_again)
    assert not torch.equal(weight, other)


def test_without_a_test_split_nothing_is_tested():
    data = DataSet("random", {"train": SPLITS["train"]}, (0.5, 0.4), (0.3, 0.2), 3, "")
    (epoch,) = train_network(linear_network(), data, recipe(epochs=1), device=CPU)
    assert epoch.test_loss is None
    assert epoch.test_error is None


def test_divergence_stops_with_the_way_out():
    with pytest.raises(
        InputError,
        match=r"--lr 1e\+30: the training diverged: its loss is (nan|inf)"
        r" in epoch \d. Try --lr 1e\+29\.$",
    ):
        list(train_network(linear_network(), DATA, recipe(lr=1e30), device=CPU))


def test_rows_of_a_table_are_used_as_they_are(device):
    rows = Split(features(SPLITS["train"])[:, :-1].astype(np.float32), SPLITS["train"].targets)
    data = DataSet("rows", {"train": rows}, (), (), 3, "")
    networks = linear_network(), linear_network()
    images = DataSet("random", {"train": SPLITS["train"]}, DATA.mean, DATA.std, 3, "")
    losses = [
        [
            epoch.train_loss
            for epoch in train_network(network, each, recipe(), device=torch.device(device))
        ]
        for network, each in zip(networks, (images, data), strict=True)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_each_place_of_a_sequence_counts(device):
    symbols = RANDOM.integers(0, 3, (N, 7))
    split = Split(symbols[:, :-1], symbols[:, 1:])
    data = DataSet("text", {"train": split, "test": split}, (), (), 3, "")
    torch.manual_seed(0)
    network = nn.Embedding(3, 3).to(device)
    logits = network.weight.detach().cpu().numpy().astype(np.float64)[split.inputs]
    losses = np.log(np.exp(logits).sum(-1))
    losses -= np.take_along_axis(logits, split.targets[..., None], axis=2)[..., 0]
    loss, error = evaluate(network, Samples(split, data, torch.device(device)))
    assert loss == pytest.approx(losses.mean(), rel=1e-6)
    assert error == pytest.approx(100 * np.mean(logits.argmax(-1) != split.targets))
    epochs = list(
        train_network(network, data, recipe(lr=1.0, weight_decay=0), device=torch.device(device))
    )
    assert epochs[0].train_loss == pytest.approx(loss)
    assert epochs[-1].test_loss < loss


def small_network():
    torch.manual_seed(0)
    return nn.Sequential(
        build_network("resnet8", n_channels=2, n_classes=3), nn.Dropout(0.2), nn.Linear(3, 3)
    )


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_run_goes_on_from_its_state_bit_for_bit(optimizer, tmp_path, device):
    """With all that is random: order, crops, flips and dropout."""
    settings = recipe(epochs=3, batch_size=16, augment=True, optimizer=optimizer)
    straight = trainer_of(small_network(), settings, device)
    losses = [straight.run_epoch().train_loss for _ in range(3)]
    first = trainer_of(small_network(), settings, device)
    first.run_epoch()
    torch.save(first.state(), tmp_path / "state.pt")
    torch.manual_seed(99)
    second = trainer_of(linear_and_other_weights(), settings, device)
    second.load_state(torch.load(tmp_path / "state.pt", weights_only=True))
    assert [second.run_epoch().train_loss for _ in range(2)] == losses[1:]
    weights, others = straight.network.state_dict(), second.network.state_dict()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.fake_gpus
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_fake_gpu_has_the_bits_of_the_cpu(optimizer, gpu):
    torch.set_num_threads(1)  # sums that are shared out have other bits
    settings = recipe(epochs=2, batch_size=16, augment=True, optimizer=optimizer)
    trainers = [trainer_of(small_network(), settings, place) for place in ("cpu", gpu)]
    for _ in range(2):
        here, there = (trainer.run_epoch() for trainer in trainers)
        assert replace(here, seconds=0) == replace(there, seconds=0)
    here, there = (trainer.network.state_dict() for trainer in trainers)
    assert all(torch.equal(here[name], there[name].cpu()) for name in here)


def linear_and_other_weights():
    network = small_network()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(1.0)
    return network


@pytest.mark.parametrize("model", ["cnn1", "resnet8"])
def test_mixed_precision_keeps_float32_weights_and_comes_close(model, device):
    losses = {}
    for precision in ("fp32", "bf16"):
        torch.manual_seed(0)
        network = build_network(model, sample=DATA.sample)
        settings = recipe(batch_size=16, precision=precision)
        losses[precision] = [
            e.train_loss
            for e in train_network(network, DATA, settings, device=torch.device(device))
        ]
        assert all(p.dtype == torch.float32 for p in network.parameters())
    assert losses["bf16"] != losses["fp32"]
    np.testing.assert_allclose(losses["bf16"], losses["fp32"], rtol=0.1)


def test_frozen_parameters_stay_and_one_must_not_be(device):
    network = linear_network().to(device)
    network[1].bias.requires_grad = False
    before = network[1].bias.clone(), network[1].weight.detach().clone()
    list(train_network(network, DATA, recipe(), device=torch.device(device)))
    assert torch.equal(network[1].bias, before[0])
    assert not torch.equal(network[1].weight, before[1])
    network[1].weight.requires_grad = False
    with pytest.raises(InputError, match="--model: the network has no trainable parameter"):
        trainer_of(network, recipe())


def test_batches_are_counted_and_called_for():
    trainer = trainer_of(linear_network(), recipe(batch_size=16))
    calls = []
    trainer.run_epoch(lambda: calls.append(1))
    assert trainer.n_batches == len(calls) == 4


def test_the_learning_rate_of_a_curve_stays_falls_in_a_line_and_stays():
    """The values that the schedule of Garipov et al. has after so many of 100 epochs."""
    curve = CurveRecipe(epochs=100, batch_size=1, lr=0.5, weight_decay=0.0, augment=False, seed=0)
    known = {0: 0.5, 50: 0.5, 70: 0.5 * 0.505, 90: 0.005, 99: 0.005}
    for epoch, lr in known.items():
        assert curve.learning_rate(epoch) == pytest.approx(lr, rel=1e-12)


def test_a_learning_rate_of_its_own_for_each_step():
    """Full batches, plain gradient descent: the weights after steps of these rates."""
    rates = {1: 0.02, 2: 0.0, 3: 0.05, 4: 0.01}
    network = linear_network()
    weight = weight_of(network)
    for rate in rates.values():
        weight -= rate * (gradient(weight, SPLITS["train"]) + 0.1 * weight)
    plain = recipe(momentum=0.0, nesterov=False)
    trainer = trainer_of(network, plain, rate_of=rates.__getitem__)
    told = [trainer.run_epoch().lr for _ in range(4)]
    np.testing.assert_allclose(weight_of(network), weight, rtol=1e-4, atol=1e-6)
    assert told == list(rates.values())


def test_a_test_between_batches_changes_nothing(device):
    settings = recipe(epochs=1, batch_size=16)  # a network with batch-norm and dropout
    undisturbed = trainer_of(small_network(), settings, device)
    tested = trainer_of(small_network(), settings, device)
    errors = []
    first = undisturbed.run_epoch()
    second = tested.run_epoch(lambda: errors.append(tested.test()))
    assert (first.train_loss, first.test_loss) == (second.train_loss, second.test_loss)
    assert errors[-1] == (second.test_loss, second.test_error)
    assert len(set(errors)) == 4
    pairs = zip(undisturbed.network.parameters(), tested.network.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
