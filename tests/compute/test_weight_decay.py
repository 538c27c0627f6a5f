"""Oracle: the squared norm of the network's own parameters at each point, summed by torch in
float64 over weights that were moved tensor by tensor; and h5py and numpy for what is drawn.
"""

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi import plot, vtp
from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.weight_decay import weight_decay_term
from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import read_surface
from landscape_mpi.store.sums import with_sum

NETWORK = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))
"""


def brute_force(network, steps, alpha, beta, decay):
    center = {name: p.detach().double() for name, p in network.named_parameters()}
    term = np.empty((len(alpha), len(beta)))
    for i, a in enumerate(alpha):
        for j, b in enumerate(beta):
            total = 0.0
            for name, weights in center.items():
                moved = weights
                if name in steps[0]:
                    moved = weights + a * torch.from_numpy(steps[0][name]).double()
                if name in steps[1]:
                    moved = moved + b * torch.from_numpy(steps[1][name]).double()
                total += float((moved**2).sum())
            term[i, j] = decay / 2 * total
    return term


def test_closed_form_is_brute_force():
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Linear(4, 4))
    state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    d = {"0.weight": np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)}
    e = {
        "0.weight": np.random.default_rng(1).normal(size=(4, 5)).astype(np.float32),
        "1.bias": np.ones(4, np.float32),
        "1.running_mean": np.ones(4, np.float32),  # a buffer: nothing decays it
    }
    alpha, beta = np.linspace(-1, 2, 4), np.linspace(-0.5, 0.5, 3)
    names = [name for name, _ in network.named_parameters()]
    found = weight_decay_term(0.03, state, {"alpha": d, "beta": e}, names, alpha=alpha, beta=beta)
    np.testing.assert_allclose(found, brute_force(network, (d, e), alpha, beta, 0.03), rtol=1e-12)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "decayed.py").write_text(NETWORK)
    return tmp_path


def command(out, *options):
    return [
        *("landscape_mpi.surface", "--model", "decayed:build", "--data", "digits"),
        *("--limit", "100", "--x=-1:1:3", "--y=0:1:2", "--out", str(out), *options),
    ]


def test_the_term_stands_beside_the_loss_and_leaves_it_alone(folder, on_ranks, capsys):
    plain, decayed = folder / "plain.h5", folder / "decayed.h5"
    on_ranks(1, command(plain), cwd=folder, check=True)
    on_ranks(2, command(decayed, "--weight-decay", "0.01"), cwd=folder, check=True)
    without, surface = read_surface(plain), read_surface(decayed)
    assert "weight_decay_term" not in without.values
    np.testing.assert_array_equal(surface.values["train_loss"], without.values["train_loss"])
    namespace = {}
    exec(NETWORK, namespace)
    network = namespace["build"]()
    moved = {"1.weight": network[1].weight.detach().numpy()}
    steps = [
        random_direction(moved, seed=1, axis=axis, normalize="filter") for axis in ("alpha", "beta")
    ]
    expected = brute_force(network, steps, surface.alpha, surface.beta, 0.01)
    np.testing.assert_allclose(surface.values["weight_decay_term"], expected, rtol=1e-12)
    with h5py.File(decayed) as file:
        assert file["weight_decay_term"].attrs["units"] == "nat"
        assert file["weight_decay_term"].attrs["long_name"].startswith("weight decay")
        assert file.attrs["weight_decay"] == 0.01

    done = on_ranks(1, command(decayed), cwd=folder)
    assert done.returncode == 2
    words = "was computed with weight decay 0.01, but this run requests weight decay none."
    assert words in done.stderr

    name = "train_loss+weight_decay_term"
    plot.main([str(decayed), f"--quantity={name},train_loss", "--kind=heatmap", "--dpi=30"])
    assert (folder / f"decayed_{name}_heatmap.png").exists()
    total = surface.values["train_loss"] + surface.values["weight_decay_term"]
    assert f"{name}: 6 of 6 points; min {total.min():.4g} at" in capsys.readouterr().out
    assert vtp.main([str(decayed), f"--quantity={name}"]) == 0
    summed = with_sum(surface, name)
    assert summed.long_names[name] == (
        "mean loss over the training set + weight decay term, to be added to the loss"
    )
    with pytest.raises(InputError, match="--quantity train_loss.decay: 'decay' is not known"):
        with_sum(surface, "train_loss+decay")
    with pytest.raises(InputError, match="the terms have the units nat and percent, but only"):
        with_sum(surface, "train_loss+train_error")


def test_no_decay_is_no_option(folder, on_ranks):
    done = on_ranks(1, command(folder / "x.h5", "--weight-decay=0"), cwd=folder)
    assert done.returncode == 2
    assert "argument --weight-decay: '0' is not above 0." in done.stderr


def test_the_term_has_the_unit_of_the_loss_and_can_be_added_to_it(folder, on_ranks):
    out = folder / "mse.h5"
    (folder / "mine.py").write_text(
        "def loss(outputs, targets):\n    return outputs[:, 0] ** 2 + targets\n"
    )
    on_ranks(1, command(out, "--loss=mine:loss", "--weight-decay", "0.01"), cwd=folder, check=True)
    name = "train_loss+weight_decay_term"
    total = with_sum(read_surface(out), name)
    assert total.units[name] == total.units["train_loss"] == "1"
