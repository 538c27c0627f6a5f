"""Numbers drawn at random beside a checkpoint: two runs of a command, and one that resumes.

Oracle: the file of the first run, bit for bit; a refusal where nothing can make them alike.
"""

from __future__ import annotations

import random
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from cases.network_files import NUMBERS, network_file
from one_process import run_alone

TWICE = [
    *(
        network_file(f"drawn:{name}", NUMBERS, "mse")
        for name in ("by_numpy", "by_python", "by_torch")
    ),
    network_file("drawn:fixed", "drawn:data_by_numpy", "mse"),
]


@pytest.mark.parametrize("case", TWICE, ids=str)
def test_what_is_drawn_is_drawn_alike(case, tmp_path):
    losses = []
    for name in ("one.h5", "two.h5"):
        case.surface(tmp_path / name)
        with h5py.File(tmp_path / name) as file:
            losses.append(file["train_loss"][()])
        np.random.seed(len(losses))  # another state of the generators than a new process has
        random.seed(len(losses))
        torch.manual_seed(len(losses))
    np.testing.assert_array_equal(*losses)


def forget(out: Path, n: int) -> None:
    """Make the last n points of a file ones that are still to be computed."""
    with h5py.File(out, "r+") as file:
        file["done"][-n:] = 0


@pytest.mark.parametrize("case", TWICE, ids=str)
def test_a_run_that_was_stopped_goes_on_with_the_same_network(case, tmp_path):
    out = tmp_path / "surface.h5"
    case.surface(out)
    with h5py.File(out) as file:
        before = file["train_loss"][()]
    forget(out, 2)
    np.random.seed(1)
    case.surface(out)
    with h5py.File(out) as file:
        assert file["done"][()].all()
        np.testing.assert_array_equal(file["train_loss"], before)


def test_another_network_does_not_go_on_with_a_file(tmp_path, monkeypatch):
    out = tmp_path / "surface.h5"
    words = network_file("drawn:Scaled", NUMBERS, "mse").words(out)
    monkeypatch.setenv("SCALE_OF_OUTPUTS", "1.0")
    assert run_alone(words).status == 0
    forget(out, 2)
    before = out.read_bytes()
    monkeypatch.setenv("SCALE_OF_OUTPUTS", "1.1")
    ended = run_alone(words)
    assert ended.status == 2, ended.words
    assert "--fresh" in ended.words
    assert out.read_bytes() == before


@pytest.mark.parametrize("data", ["data_by_nobody", "data_augmented"])
def test_other_data_are_no_resumption(data, tmp_path):
    out = tmp_path / "surface.h5"
    words = network_file("drawn:fixed", f"drawn:{data}", "mse").words(out)
    assert run_alone(words).status == 0
    before = out.read_bytes()
    ended = run_alone(words)
    assert ended.status == 2, ended.words
    assert "random" in ended.words
    assert out.read_bytes() == before
