"""The loss of guessing: files that know their classes, and files that do not.

Oracle: the logarithm of the number of classes of real files.
"""

import math
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.guessing import guessing_loss
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network


@pytest.fixture
def digits(tmp_path, alone):
    network = build_network("feedforward8", sample=Sample("image", (1, 8, 8), 10))
    torch.save(network.state_dict(), tmp_path / "a.pt")
    files = [f"--checkpoint={tmp_path}/a.pt", f"--out={tmp_path}/a.h5"]
    words = ["--model=feedforward8", "--data=digits", "--limit=20", "--x=-1:1:2", *files]
    alone(["landscape_mpi.surface", *words], check=True)
    return read_surface(tmp_path / "a.h5")


def test_a_cross_entropy_knows_what_guessing_has(digits):
    assert guessing_loss(digits, "train_loss") == pytest.approx(math.log(10))
    assert guessing_loss(digits, "train_error") is None
    unknown = {name: v for name, v in digits.attributes.items() if name != "n_classes"}
    assert guessing_loss(replace(digits, attributes=unknown), "train_loss") is None
    in_bits = replace(digits, units=digits.units | {"train_loss": "bit"})
    assert guessing_loss(in_bits, "train_loss") is None


def test_files_of_the_reference_program_are_of_ten_classes(tmp_path):
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        file["xcoordinates"], file["ycoordinates"] = np.linspace(-1, 1, 3), np.linspace(-1, 1, 2)
        file["train_loss"] = np.ones((3, 2))
    assert guessing_loss(read_surface(tmp_path / "theirs.h5"), "train_loss") == math.log(10)


def test_a_loss_with_negative_values_is_no_cross_entropy(tmp_path):
    with h5py.File(tmp_path / "theirs.h5", "w") as file:
        file["xcoordinates"], file["ycoordinates"] = np.linspace(-1, 1, 3), np.linspace(-1, 1, 2)
        file["train_loss"] = np.array([[3.0, -0.5], [1.0, 2.0], [-1.0, 1.0]])  # -1: not computed
    surface = read_surface(tmp_path / "theirs.h5")
    assert guessing_loss(surface, "train_loss") is None
    computed = {name: done & (surface.values[name] > 0) for name, done in surface.done_of.items()}
    assert guessing_loss(replace(surface, done_of=computed), "train_loss") == math.log(10)
