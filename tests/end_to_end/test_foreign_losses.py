"""Losses and targets with conventions of their own: which of them count, and what is said.

Oracle: torch's own losses with their means, in a plain loop.
"""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
from foreign_networks import targets
from foreign_networks.cases import (
    CLOSE,
    NUMBERS,
    PLANE,
    Case,
    check_losses,
    command,
    found,
)
from one_process import run_alone
from plain_loop import plain_losses
from torch import nn


def test_weights_of_classes(tmp_path):
    case = Case("targets:linear", loss="targets:weighted")
    words, _ = command(case, tmp_path, tmp_path / "x.h5")
    ended = run_alone(words)
    check_losses(case, tmp_path / "x.h5", None)
    assert "each counts once" in ended.words


def test_targets_that_do_not_count(tmp_path):
    case = Case("targets:linear", "targets:rows_in_part", "targets:ignoring")
    words, _ = command(case, tmp_path, tmp_path / "x.h5")
    ended = run_alone(words)
    assert ended.status == 0, ended.words
    expected = plain_losses(tmp_path / "x.h5", targets.linear, targets.rows_in_part()["train"])
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_allclose(file["train_loss"], expected, rtol=CLOSE)


def test_pixels_that_do_not_count(tmp_path):
    case = Case("shapes:segmenter", "shapes:segmented_in_part", options=("--ignore-index=255",))
    words, _ = command(case, tmp_path, tmp_path / "x.h5")
    ended = run_alone(words)
    assert ended.status == 0, ended.words
    samples = found(case.data)()["train"]
    loss = nn.CrossEntropyLoss(ignore_index=255)
    expected = plain_losses(tmp_path / "x.h5", found(case.network), samples, loss)
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_allclose(file["train_loss"], expected, rtol=CLOSE)


@pytest.mark.parametrize(("name", "axis"), [("as_many_second", "1"), ("as_many_last", "-1")])
def test_the_axis_of_the_classes(name, axis, tmp_path):
    options = (f"--class-axis={axis}",)
    last = axis == "-1"
    case = Case(f"shapes:{name}", "shapes:tagged_as_many", options=options, classes_last=last)
    words, _ = command(case, tmp_path, tmp_path / "x.h5")
    ended = run_alone(words)
    assert ended.status == 0, ended.words
    check_losses(case, tmp_path / "x.h5", None)


def test_a_loss_that_changes_outputs_and_targets_in_place(tmp_path):
    case = Case("targets:linear", loss="targets:in_place")
    words, _ = command(case, tmp_path, tmp_path / "x.h5")
    ended = run_alone(words)
    assert ended.status == 0, ended.words
    inputs, classes = found(case.data)()["train"]

    def loss(outputs, classes):
        return nn.functional.cross_entropy(-outputs, 2 - classes)

    expected = plain_losses(tmp_path / "x.h5", targets.linear, (inputs, classes), loss)
    with h5py.File(tmp_path / "x.h5") as file:
        np.testing.assert_allclose(file["train_loss"], expected, rtol=CLOSE)
        wrong = (targets.linear()(inputs).argmax(1) != classes).double().mean().item()
        assert file["train_error"][1, 0] == pytest.approx(100 * wrong)  # at the center


def test_a_loss_below_zero(tmp_path, on_ranks):
    case = Case("targets:density", NUMBERS, "targets:likelihood", trained=True)
    words, _ = command(case, tmp_path, tmp_path / "x.h5")
    words = [word for word in words if word not in PLANE[:2]]
    assert run_alone([*words, "--x=-1:1:11", "--y=-1:1:11"]).status == 0
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["train_loss"][5, 5] < 0
    told = on_ranks(1, ["landscape_mpi.surface", f"--summary={tmp_path / 'x.h5'}"], check=True)
    assert not re.search(r"(width|rises?)\D{0,40}-\d", told.stdout)
    assert " nat" not in told.stdout


def test_the_first_of_sorted_samples_are_said_to_be(tmp_path):
    case = Case("targets:linear_of_four", "samples:sorted_rows", options=("--limit=2500",))
    words, _ = command(case, tmp_path, tmp_path / "x.h5")
    ended = run_alone(words)
    assert ended.status == 0, ended.words
    assert "random" in ended.words or "classes" in ended.words


@pytest.mark.parametrize(("name", "axis"), [("classes_second", 1), ("classes_last", 2)])
@pytest.mark.parametrize("loss", ["cross_entropy", "targets:language_of_any"])
def test_the_error_beside_is_counted_along_the_classes(name, axis, loss, tmp_path):
    case = Case(f"shapes:{name}", "shapes:tagged", loss)
    words, _ = command(case, tmp_path, tmp_path / "x.h5")
    ended = run_alone(words)
    assert ended.status == 0, ended.words
    inputs, targets = found(case.data)()["train"]
    network = found(case.network)().eval()
    expected = 100 * (network(inputs).argmax(axis) != targets).double().mean().item()
    with h5py.File(tmp_path / "x.h5") as file:
        if "train_error" in file:
            assert file["train_error"][1, 0] == pytest.approx(expected, rel=1e-9)
        else:
            assert loss != "cross_entropy"
