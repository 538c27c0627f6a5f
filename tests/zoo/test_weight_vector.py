"""Oracles: torch's own state dicts, flattened and cut by numpy; for what --ignore leaves out by
name, the modules of real networks; for what is read of a file, the kernel's count of its pages.
"""

import math

import numpy as np
import pytest
import safetensors.torch
import torch

from landscape_mpi.compute.selection import moved_names
from landscape_mpi.errors import InputError
from landscape_mpi.zoo.checkpoint import map_checkpoint, write_checkpoint
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network
from landscape_mpi.zoo.weight_vector import (
    Layout,
    check_layout,
    choose_layout,
    read_header,
    read_stretch,
)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return build_network("resnet8", n_channels=1, n_classes=10)


def save(kind, network, folder):
    path = folder / {"safetensors": "w_7.safetensors"}.get(kind, "w_7.pt")
    if kind == "safetensors":
        safetensors.torch.save_file(network.state_dict(), path)
    elif kind == "record":
        write_checkpoint(path, network, {"epoch": 12, "lr": 0.1})
    else:
        state = {f"module.{name}": t for name, t in network.state_dict().items()}
        torch.save(state, path, _use_new_zipfile_serialization=kind != "old")
    return path


@pytest.mark.parametrize("kind", ["record", "bare", "old", "safetensors"])
def test_any_stretch_of_any_format_is_that_of_the_state_dict(kind, network, tmp_path):
    path = save(kind, network, tmp_path)
    layout = choose_layout(read_header(path), ignore=(), states=True)
    state = network.state_dict()
    whole = np.concatenate([state[name].numpy().ravel() for name in layout.shapes])
    assert layout.n_weights == len(whole)
    for start, stop in [(0, len(whole)), (0, 1), (143, 5000), (len(whole) - 3, len(whole))]:
        out = np.empty(stop - start, np.float32)
        read_stretch(path, layout, start, out, trust=False)
        np.testing.assert_array_equal(out, whole[start:stop])


@pytest.mark.parametrize(("kind", "epoch", "lr"), [("record", 12, 0.1), ("bare", 7, math.nan)])
def test_the_header_has_the_record_or_the_number_of_the_name(kind, epoch, lr, network, tmp_path):
    header = read_header(save(kind, network, tmp_path))
    assert header.epoch == epoch
    assert header.lr == pytest.approx(lr, nan_ok=True)


def test_a_shared_tensor_counts_once(tmp_path):
    weight = torch.ones(3, 2)
    torch.save({"first.weight": weight, "second.weight": weight}, tmp_path / "tied.pt")
    assert list(read_header(tmp_path / "tied.pt").shapes) == ["first.weight"]


@pytest.mark.parametrize("ignore", [(), ("bias",), ("bn",), ("bias", "bn")])
@pytest.mark.parametrize("name", ["resnet8", "vgg9", "densenet121", "lstm120", "transformer"])
def test_names_and_shapes_tell_what_the_network_would(name, ignore, tmp_path):
    text = name in {"lstm120", "transformer"}
    sample = Sample("text", (30,), 65) if text else Sample("image", (3, 32, 32), 10)
    network = build_network(name, sample=sample)
    torch.save(network.state_dict(), tmp_path / "it.pt")
    layout = choose_layout(read_header(tmp_path / "it.pt"), ignore=ignore, states=False)
    assert set(layout.shapes) == set(moved_names(network, ignore=ignore))


def test_states_add_the_running_statistics_and_no_counter(network, tmp_path):
    torch.save(network.state_dict(), tmp_path / "it.pt")
    header = read_header(tmp_path / "it.pt")
    without = choose_layout(header, ignore=(), states=False).shapes
    added = choose_layout(header, ignore=(), states=True).shapes.keys() - without.keys()
    assert added == {n for n in network.state_dict() if "running_" in n}


def test_nothing_left_to_move_is_refused(tmp_path):
    torch.save({"bias": torch.ones(2)}, tmp_path / "it.pt")
    with pytest.raises(InputError, match="--ignore bias leaves none of the 1 tensors of"):
        choose_layout(read_header(tmp_path / "it.pt"), ignore=("bias",), states=False)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"a": torch.ones(2)}, "has with shape [2] a, which has shape [3]"),
        ({"b": torch.ones(3)}, "does not have a, which has shape [3]"),
    ],
)
def test_another_network_is_refused(other, words, tmp_path):
    torch.save(other, tmp_path / "other.pt")
    with pytest.raises(InputError) as caught:
        check_layout(read_header(tmp_path / "other.pt"), Layout({"a": (3,)}), like="first.pt")
    assert words in str(caught.value)
    assert "Leave this one out" in str(caught.value)


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    torch.save({"a": torch.tensor([1.0, math.nan])}, tmp_path / "nan.pt")
    with pytest.raises(InputError, match="a holds NaN or infinite weights: the training diverged"):
        read_stretch(tmp_path / "nan.pt", Layout({"a": (2,)}), 0, np.empty(2, "f4"), trust=False)


def test_a_file_that_changed_is_refused(tmp_path):
    torch.save({"a": torch.ones(2)}, tmp_path / "it.pt")
    with pytest.raises(InputError, match="was replaced while it was read"):
        read_stretch(tmp_path / "it.pt", Layout({"b": (2,)}), 0, np.empty(2, "f4"), trust=False)


def test_a_layout_takes_a_vector_apart_and_puts_it_together():
    layout = Layout({"a": (2, 3), "b": (), "c": (4,)})
    vector = np.arange(11, dtype=np.float32)
    parts = layout.unflatten(vector)
    assert [part.shape for part in parts.values()] == [(2, 3), (), (4,)]
    np.testing.assert_array_equal(layout.flatten(parts), vector)
    np.testing.assert_array_equal(layout.flatten({"b": np.float32(5)})[[5, 6, 7]], [0, 5, 0])


def resident_bytes():
    with open("/proc/self/smaps_rollup") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("Rss"))


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_what_is_not_used_is_not_read(suffix, tmp_path):
    size = 64 * 2**20
    path = tmp_path / f"large.{suffix}"
    state = {"a": torch.ones(size // 4)}
    torch.save(state, path) if suffix == "pt" else safetensors.torch.save_file(state, path)
    del state
    before = resident_bytes()
    mapped, _, _ = map_checkpoint(path)
    assert mapped["a"][1000] == 1
    assert resident_bytes() - before < size / 4
