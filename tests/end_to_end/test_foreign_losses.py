"""Losses and targets with conventions of their own: which of them count, and what is said.

Oracle: torch's own losses with their means, in a plain loop.
"""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
from cases.network_files import CASES, network_file
from cases.networks import targets
from plain_loop import plain_losses
from torch import nn

CLOSE = 1e-5  # relative


def test_weights_of_classes(tmp_path):
    case, out = network_file("targets:linear", loss="targets:weighted"), tmp_path / "x.h5"
    assert "each counts once" in case.surface(out).words
    case.check(out)


def test_targets_that_do_not_count(tmp_path):
    case = network_file("targets:linear", "targets:rows_in_part", "targets:ignoring")
    check(case, tmp_path / "x.h5", nn.functional.cross_entropy)


def test_pixels_that_do_not_count(tmp_path):
    options = ("--ignore-index=255",)
    case = network_file("shapes:segmenter", "shapes:segmented_in_part", options=options)
    check(case, tmp_path / "x.h5", nn.CrossEntropyLoss(ignore_index=255))


def check(case, out, loss):
    """Compare a surface with the plain loop over a loss of torch's own."""
    case.surface(out)
    expected = plain_losses(out, case.build, case.samples(), loss)
    with h5py.File(out) as file:
        np.testing.assert_allclose(file["train_loss"], expected, rtol=CLOSE)


def test_a_loss_that_changes_outputs_and_targets_in_place(tmp_path):
    case = network_file("targets:linear", loss="targets:in_place")
    inputs, classes = case.samples()

    def loss(outputs, classes):
        return nn.functional.cross_entropy(-outputs, 2 - classes)

    check(case, tmp_path / "x.h5", loss)
    with h5py.File(tmp_path / "x.h5") as file:
        wrong = (targets.linear()(inputs).argmax(1) != classes).double().mean().item()
        assert file["train_error"][1, 1] == pytest.approx(100 * wrong)  # at the center


def test_a_loss_below_zero(tmp_path, on_ranks):
    case = CASES["targets:density-trained"]
    case.surface(tmp_path / "x.h5", plane=("--x=-1:1:11", "--y=-1:1:11"))
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["train_loss"][5, 5] < 0
    told = on_ranks(1, ["landscape_mpi.surface", f"--summary={tmp_path / 'x.h5'}"], check=True)
    assert not re.search(r"(width|rises?)\D{0,40}-\d", told.stdout)
    assert " nat" not in told.stdout


def test_the_first_of_sorted_samples_are_said_to_be(tmp_path):
    case = network_file("targets:linear_of_four", "samples:sorted_rows")
    words = case.surface(tmp_path / "x.h5", "--limit=2500").words
    assert "random" in words or "classes" in words


@pytest.mark.parametrize(("name", "axis"), [("classes_second", 1), ("classes_last", 2)])
@pytest.mark.parametrize("loss", ["cross_entropy", "targets:language_of_any"])
def test_the_error_beside_is_counted_along_the_classes(name, axis, loss, tmp_path):
    case = network_file(f"shapes:{name}", "shapes:tagged", loss)
    case.surface(tmp_path / "x.h5")
    inputs, targets = case.samples()
    network = case.build().eval()
    expected = 100 * (network(inputs).argmax(axis) != targets).double().mean().item()
    with h5py.File(tmp_path / "x.h5") as file:
        if "train_error" in file:
            assert file["train_error"][1, 1] == pytest.approx(expected, rel=1e-9)
        else:
            assert loss != "cross_entropy"
