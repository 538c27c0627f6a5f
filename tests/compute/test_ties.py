"""Oracle: networks small enough to see what is tied, and what a change of one changes."""

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.compute.batch_losses import OutputLosses
from landscape_mpi.compute.directions import matched_direction
from landscape_mpi.compute.gradient import LossGradient
from landscape_mpi.compute.losses import CROSS_ENTROPY
from landscape_mpi.compute.moving_network import MovedNetwork
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.selection import moved_names
from landscape_mpi.compute.steps import ALL, PLAIN
from landscape_mpi.compute.ties import (
    converted,
    memory_of,
    refuse_overlaps,
    say_ties,
    tie_again,
    ties_of,
)
from landscape_mpi.errors import InputError


class AutoEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(12, 4, bias=False)
        self.decoder = nn.Linear(4, 12, bias=False)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return AutoEncoder()


def test_a_transposed_view_is_the_same_weight(network):
    encoder, decoder = network.encoder.weight, network.decoder.weight
    decoder.data = encoder.data.T
    assert memory_of(encoder) == memory_of(decoder)
    assert moved_names(network, ignore=()) == ["encoder.weight"]
    assert moved_names(network, ignore=(), only=("decoder.*",)) == ["encoder.weight"]
    assert list(say_ties(network)) == [
        "some parameters share their memory, so they move together: encoder.weight and "
        "decoder.weight"
    ]
    with torch.no_grad():
        encoder += 1
    assert torch.equal(decoder, encoder.T)


def test_copies_move_apart_and_it_is_said(network):
    network.decoder.weight.data = network.encoder.weight.data.T.clone()
    assert moved_names(network, ignore=()) == ["encoder.weight", "decoder.weight"]
    assert list(say_ties(network)) == [
        "some parameters have the same values but are separate, so they move independently: "
        "encoder.weight and decoder.weight. If they are tied in your network, build them as one "
        "Parameter"
    ]


def test_many_copies_are_abbreviated():
    layers = [nn.Linear(4, 4) for _ in range(6)]
    for layer in layers:
        layer.load_state_dict(layers[0].state_dict())
    (words,) = say_ties(nn.Sequential(*layers))
    first, _, named = words.partition(": ")
    assert "the same values" in first
    assert named.startswith("0.weight and 1.weight; 0.weight and 2.weight; 0.weight and 3.weight; ")
    assert "; and 2 other pairs. If" in named


def test_what_is_alike_by_chance_is_not_said(network):
    both = nn.ModuleList([network, nn.BatchNorm2d(12), nn.BatchNorm2d(12), nn.PReLU(1)])
    with torch.no_grad():
        network.decoder.weight.copy_(network.encoder.weight.T)
        network.decoder.weight[3, 2] += 1  # its first and last entry are the same still
    assert list(say_ties(both)) == []


def test_parts_of_one_memory_are_weights_of_their_own():
    flat = torch.arange(24.0)
    network = nn.ParameterList([flat[:12].view(3, 4), flat[12:].view(3, 4), flat[:12].view(6, 2)])
    assert moved_names(network, ignore=()) == ["0", "1"]
    columns = nn.ParameterList([flat.view(6, 4)[:, :2], flat.view(6, 4)[:, 2:]])
    assert moved_names(columns, ignore=()) == ["0", "1"]
    assert memory_of(nn.Parameter(torch.empty(0))) != memory_of(nn.Parameter(torch.empty(0)))


def test_parameters_that_share_a_part_of_their_memory_are_refused():
    flat = torch.arange(24.0)
    refuse_overlaps(nn.ParameterList([flat[:12].view(3, 4), flat[12:], flat[:12].view(6, 2)]))
    refuse_overlaps(nn.ParameterList([flat.view(6, 4)[:, :2], flat.view(6, 4)[:, 2:]]))
    refuse_overlaps(nn.LSTM(3, 4))
    for part in (flat[:12], flat.view(6, 4)[:, 1], flat[23:]):
        with pytest.raises(InputError, match="0 and 1 share a part of their memory but are two"):
            refuse_overlaps(nn.ParameterList([flat, part]))


def test_a_direction_of_a_file_moves_what_is_tied_once(network):
    network.decoder.weight.data = network.encoder.weight.data.T
    change = np.arange(48, dtype=np.float32).reshape(4, 12)
    both = {"encoder.weight": change, "decoder.weight": change.T}
    for stored in (both, [change, change.T], {"encoder.weight": change}):
        found = matched_direction(stored, network, where="f.h5: alpha")
        assert list(found) == ["encoder.weight"]
        assert np.array_equal(found["encoder.weight"], change)
    apart = {"encoder.weight": change, "decoder.weight": 2 * change.T}
    words = "f.h5: alpha: moves encoder.weight and decoder.weight differently, but in this"
    with pytest.raises(InputError, match=words):
        matched_direction(apart, network, where="f.h5: alpha")


def test_a_square_weight_tied_to_its_transpose():
    network = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    network[1].weight.data = network[0].weight.data.T
    change = np.arange(9, dtype=np.float32).reshape(3, 3)
    found = matched_direction([change, change.T], network, where="f.h5")
    assert np.array_equal(found["0.weight"], change)
    assert moved_names(network, ignore=()) == ["0.weight"]


def test_a_shared_parameter_moves_once(network):
    other = nn.ModuleList([network, nn.Linear(12, 4, bias=False)])
    other[1].weight = network.encoder.weight
    change = np.ones((4, 12), np.float32)
    stored = {"0.encoder.weight": change, "1.weight": change}
    assert list(matched_direction(stored, other, where="f.h5")) == ["0.encoder.weight"]


def test_one_parameter_under_two_names_needs_no_word(network):
    other = nn.ModuleList([network, nn.Linear(12, 4, bias=False)])
    other[1].weight = network.encoder.weight
    assert list(say_ties(other)) == []


class TiedLater(AutoEncoder):
    """Tied by .data, and the same network with one Parameter."""

    def __init__(self, *, one):
        super().__init__()
        self.one = one
        self.decoder.weight.data = self.encoder.weight.data.T

    def forward(self, x):
        hidden = self.encoder(x).tanh()
        return hidden @ self.encoder.weight if self.one else self.decoder(hidden)


@pytest.mark.parametrize("to", [torch.float64, torch.float32, torch.bfloat16, "cpu"])
def test_a_conversion_keeps_what_is_tied(to, network):
    network.decoder.weight.data = network.encoder.weight.data.T
    converted(network, to)
    with torch.no_grad():
        network.encoder.weight += 1
    assert torch.equal(network.decoder.weight, network.encoder.weight.T)


def test_other_views_are_tied_again():
    first = torch.arange(24.0).reshape(2, 3, 4, 1)
    views = [first.permute(2, 0, 1, 3), first.reshape(6, 4), first[None]]
    network = nn.ParameterList([first, *views]).double()
    assert len(ties_of(network)) == 0  # cut off
    tied = nn.ParameterList([first, *views])
    tie_again(network, ties_of(tied))
    with torch.no_grad():
        network[0][1, 2, 3, 0] = -1
    assert [float(values.detach().min()) for values in network] == [-1] * 4


@pytest.mark.parametrize("steps", [ALL, PLAIN])
def test_what_is_tied_moves_along(steps):
    """Oracle: the network whose forward uses the one Parameter."""
    inputs = torch.randn(5, 12)
    change = {"encoder.weight": np.random.default_rng(0).normal(size=(4, 12)).astype(np.float32)}
    outputs = []
    for one in (False, True):
        torch.manual_seed(0)
        moved = MovedNetwork(TiedLater(one=one), change, {}, steps=steps)
        moved.move_to(0.7, 0.0)
        with torch.no_grad():
            outputs.append(moved.network(inputs))
    torch.testing.assert_close(*outputs)


def test_derivatives_of_what_is_tied_by_memory_are_refused():
    split = ResidentSplit(
        np.zeros((2, 12), np.float32), np.zeros(2, np.int64), mean=(), std=(), device="cpu"
    )
    words = (
        "--model: encoder.weight and decoder.weight share their memory but are two parameters, so "
        "the gradient would miss one of the two places"
    )
    with pytest.raises(InputError, match=words):
        LossGradient(
            TiedLater(one=False), OutputLosses(split, CROSS_ENTROPY, batch=9), ["encoder.weight"]
        )


NETWORKS = """
import torch
from torch import nn

class AutoEncoder(nn.Module):
    def __init__(self, one):
        super().__init__()
        self.encoder = nn.Linear(6, 4, bias=False)
        self.last = nn.Linear(6, 6)
        if not one:
            self.decoder = nn.Linear(4, 6, bias=False)
            self.decoder.weight.data = self.encoder.weight.data.T

    def forward(self, x):
        hidden = self.encoder(x).tanh()
        tied = hasattr(self, "decoder")
        return self.last(self.decoder(hidden) if tied else hidden @ self.encoder.weight)

def tied():
    torch.manual_seed(0)
    return AutoEncoder(False)

def one():
    torch.manual_seed(0)
    return AutoEncoder(True)

def data():
    rows = torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
    return {"train": (rows, rows)}
"""


def test_a_surface_of_tied_weights_is_that_of_one_parameter(tmp_path, on_ranks):
    (tmp_path / "tied_net.py").write_text(NETWORKS)
    found = []
    for name in ("tied", "one"):
        argv = [
            *("landscape_mpi.surface", f"--model=tied_net:{name}", "--data=tied_net:data"),
            *("--loss=mse", "--x=-1:1:3", f"--out={name}.h5", "--weight-decay=0.5"),
        ]
        done = on_ranks(1, argv, cwd=tmp_path, check=True)
        assert ("share their memory" in done.stdout) == (name == "tied")
        with h5py.File(tmp_path / f"{name}.h5") as file:
            found.append([file[key][...] for key in ("train_loss", "weight_decay_term")])
    np.testing.assert_allclose(*found, rtol=1e-6)
    assert np.ptp(found[0][0]) > 0.01
