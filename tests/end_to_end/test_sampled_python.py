"""compute_surface with a standard error allowed, in this process: batches are taken, not samples.

Oracle: the exact surface of the same call, and a plain loop over the batches that the order names.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import landscape_mpi as lm
from landscape_mpi.engine.sampling.order import portions
from landscape_mpi.errors import InputError

N, BATCH = 1200, 2  # 600 batches: 256, 512, all
GRID = {"x": (-1, 1, 3), "progress": False, "batch_size": BATCH}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))


def data():
    torch.manual_seed(1)
    return torch.randn(N, 5), torch.arange(N) % 3


def accuracy(network, batch):
    return (network(batch[0]).argmax(1) == batch[1]).float()


def coupled(network, batch):
    """A contrastive loss: each sample's depends on all others of its batch."""
    outputs = functional.normalize(network(batch[0]), dim=1)
    return torch.logsumexp(outputs @ outputs.T, dim=1).sum(), torch.tensor(float(len(batch[0])))


@pytest.mark.parametrize("loss", ["cross_entropy", coupled])
def test_batches_are_taken_until_the_error_is_allowed(loss):
    more = {"loss": loss, "metrics": {"accuracy": accuracy}}
    exact = lm.compute_surface(network(), data(), **GRID, **more)
    found = lm.compute_surface(network(), data(), **GRID, **more, rtol=0.02)
    n, errors = found.n_samples["train"], found.standard_errors["train_loss"]
    assert set(np.unique(n)) <= {256, 512, 600}
    assert n.min() < 600
    assert (errors <= 0.02 * np.abs(found.values["train_loss"])).all()
    for name in ("train_loss", "train_accuracy"):
        apart = np.abs(found.values[name] - exact.values[name])
        assert (apart <= 3 * found.standard_errors[name] + 1e-12).all()
        assert apart.max() > 0
    assert not exact.n_samples
    assert not exact.standard_errors


def test_the_loss_is_that_of_the_batches_of_the_order():
    found = lm.compute_surface(network(), data(), **GRID, rtol=0.02)
    n = int(found.n_samples["train"][found.center])
    inputs, targets = data()
    rows = np.concatenate(portions(N // BATCH, 1))[:n]
    losses = functional.cross_entropy(network()(inputs), targets, reduction="none").double()
    expected = losses.reshape(-1, BATCH)[rows].mean().item()
    assert found.values["train_loss"][found.center] == pytest.approx(expected, rel=1e-6)


def test_a_file_goes_on_to_all_batches(tmp_path):
    exact = lm.compute_surface(network(), data(), **GRID).values["train_loss"]
    more = {"out": tmp_path / "a.h5"}
    lm.compute_surface(network(), data(), **GRID, **more, atol=0.05)
    found = lm.compute_surface(network(), data(), **GRID, **more, rtol=0, atol=0)
    assert (found.n_samples["train"] == 600).all()
    assert not found.standard_errors["train_loss"].any()
    assert found.values["train_loss"] == pytest.approx(exact, rel=1e-13)


def test_a_few_batches_are_all_taken_with_the_bits_of_the_exact_run():
    few = tuple(part[:300] for part in data())
    exact = lm.compute_surface(network(), few, **GRID).values["train_loss"]
    found = lm.compute_surface(network(), few, **GRID, rtol=0.5)
    assert (found.n_samples["train"] == 150).all()
    assert found.values["train_loss"].tobytes() == exact.tobytes()


def test_a_batch_without_a_number_makes_the_point_nan_once_it_is_taken():
    """Batch 0 is in the second portion of this order: the point is not NaN before it is taken."""
    first = set(portions(600, 1)[0].tolist())
    bad = next(k for k in range(600) if k not in first)
    inputs, targets = data()
    inputs[bad * BATCH] = torch.nan
    loose = lm.compute_surface(network(), (inputs, targets), **GRID, rtol=0.2)
    assert (loose.n_samples["train"] == 256).all()
    assert np.isfinite(loose.values["train_loss"]).all()
    every = lm.compute_surface(network(), (inputs, targets), **GRID, rtol=0, atol=0)
    assert np.isnan(every.values["train_loss"]).all()
    assert np.isnan(every.standard_errors["train_loss"]).all()


def test_a_point_that_is_nan_takes_no_more():
    inputs, targets = data()
    inputs[int(portions(600, 1)[0][5]) * BATCH] = torch.nan
    found = lm.compute_surface(network(), (inputs, targets), **GRID, rtol=1e-6)
    assert (found.n_samples["train"] == 256).all()
    assert np.isnan(found.values["train_loss"]).all()


def trained():
    """A network that is sure of each class, and wrong in some batches of the second portion."""
    net = nn.Linear(3, 3, bias=False)
    net.weight.data = 12 * torch.eye(3)
    targets = torch.arange(N) % 3
    inputs = functional.one_hot(targets, 3).float()
    later = portions(N // BATCH, 1)[1][::80]
    targets[later * BATCH] = (targets[later * BATCH] + 1) % 3
    return net, (inputs, targets)


@pytest.mark.parametrize("loss", ["cross_entropy", "own"])
def test_samples_that_are_all_right_do_not_tell_that_others_are(loss):
    """The first 256 batches have no misclassified sample. A guess is known for either loss."""

    def own(net, batch):
        return functional.cross_entropy(net(batch[0]), batch[1], reduction="none")

    how = {"loss": own if loss == "own" else loss, "x": (0, 0.1, 2), "progress": False}
    exact = lm.compute_surface(*trained(), **how, batch_size=BATCH)
    found = lm.compute_surface(*trained(), **how, batch_size=BATCH, rtol=0.02, atol=0.001)
    apart = np.abs(found.values["train_loss"] - exact.values["train_loss"])
    assert (apart <= 1.96 * found.standard_errors["train_loss"] + 1e-9).all()
    assert (found.n_samples["train"] > 256).all()
    assert (exact.values["train_loss"] > 0.03).all()


def test_an_error_of_no_percent_is_not_certain():
    """By the rule of three, after 512 correct samples up to 0.6 % of the others may be wrong."""
    found = lm.compute_surface(
        *trained(), x=0.0, progress=False, batch_size=BATCH, rtol=0.02, atol=0.02
    )
    assert (found.n_samples["train"] == 256).all()
    assert (found.values["train_error"] == 0).all()
    half = 1.96 * found.standard_errors["train_error"]
    assert ((half > 0.4) & (half < 0.8)).all()


def test_a_loss_of_zeros_takes_samples_until_one_is_not_zero():
    def hinge(net, batch):
        outputs = net(batch[0])
        return (1 + outputs - outputs.gather(1, batch[1][:, None])).clamp(min=0).sum(1) - 1

    how = {"loss": hinge, "x": 0.0, "progress": False, "batch_size": BATCH}
    exact = lm.compute_surface(*trained(), **how).values["train_loss"]
    found = lm.compute_surface(*trained(), **how, rtol=0.1)
    assert found.values["train_loss"] == pytest.approx(exact)
    assert exact > 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rtol": -0.1}, "rtol is -0.1, but must be a finite number of at least 0"),
        ({"atol": math.nan}, "atol is nan, but must be a finite number of at least 0"),
        ({"rtol": math.inf}, "rtol is inf, but must be a finite number of at least 0"),
        ({"rtol": "little"}, "rtol is 'little', but must be a finite number of at least 0"),
        ({"rtol": 10**400}, "rtol is 1000.*, but must be a finite number of at least 0"),
        ({"limit": 10**400}, r"limit is 1000.*, but must be a whole number from 1 to 10\*\*9"),
        ({"x": 10**400}, "compute_surface: 1000.* is not an axis"),
        ({"x": (0, 10**400, 3)}, "compute_surface: .* is not an axis"),
        ({"rtol": True}, "rtol is True, but must be a finite number of at least 0"),
        (
            {"rtol": 0.1, "metrics": {"perplexity": (accuracy, math.exp)}},
            r"the standard error of metrics\['perplexity'\] is not known",
        ),
        ({"rtol": 0.1, "also": "gradient_norm"}, "also gradient_norm, which needs all samples"),
    ],
)
def test_what_cannot_be_is_refused(arguments, words):
    with pytest.raises(InputError, match=words):
        lm.compute_surface(network(), data(), **(GRID | arguments))
