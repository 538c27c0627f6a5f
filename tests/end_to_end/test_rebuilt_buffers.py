"""A buffer that a network makes itself and keeps out of its state dict is no obstacle to a curve.

Oracle: a plain torch loop over the same samples, with the weights that the files hold.
"""

import textwrap

import h5py
import numpy as np
import pytest
import torch
from curve_runs import run as curve
from torch import nn

from landscape_mpi import ensemble
from landscape_mpi.zoo.datasets import load_dataset

MODULE = """
    import torch
    from torch import nn

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(64, 10)
            self.register_buffer("scale", torch.linspace(0.5, 1.5, 64), persistent=False)
            self.register_buffer("shift", torch.ones(64))

        def forward(self, images):
            return self.linear(self.scale * images.flatten(1) + self.shift)
"""
N = 60
MODEL = ("--model=scaled_net:Scaled", "--data=digits")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scaled")
    (folder / "scaled_net.py").write_text(textwrap.dedent(MODULE))
    for number in (1, 2):
        torch.manual_seed(number)
        weights = nn.Linear(64, 10).state_dict()
        state = {f"linear.{name}": tensor for name, tensor in weights.items()}
        torch.save(state | {"shift": torch.full((64,), 0.1)}, folder / f"{number}.pt")
    return folder


@pytest.fixture
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    return folder


def plain_loss(path):
    state = torch.load(path, weights_only=True)
    data = load_dataset("digits")
    split = data.splits["train"].first(N)
    images = torch.from_numpy(split.inputs).flatten(1).float() / 255
    images = (images - data.mean[0]) / data.std[0]
    moved = torch.linspace(0.5, 1.5, 64) * images + state["shift"]
    outputs = moved @ state["linear.weight"].T + state["linear.bias"]
    return float(nn.functional.cross_entropy(outputs, torch.from_numpy(split.targets)))


def test_a_curve_is_trained_evaluated_and_shown_in_its_plane(inside, alone):
    words = ("--start=1.pt", "--end=2.pt", "--epochs=1", "--threads=1", "--out=curve.pt")
    assert curve("train", *MODEL, *words)[0] == 0
    expected = [plain_loss(f"{number}.pt") for number in (1, 2)]
    status, _, err = curve(
        "evaluate", "curve.pt", "--points=3", f"--limit={N}", "--subset=first", "--out=curve.h5"
    )
    assert (status, err) == (0, "")
    with h5py.File("curve.h5") as file:
        np.testing.assert_allclose(file["train_loss"][[0, -1], 0], expected, rtol=1e-6)
    assert curve("plane", "curve.pt", "--out=plane.h5")[0] == 0
    words = ("--directions=plane.h5", "--checkpoint=curve.pt", "--x=0", "--out=surface.h5")
    alone(
        ["landscape_mpi.surface", *MODEL, f"--limit={N}", "--subset=first", *words],
        cwd=inside,
        check=True,
    )
    with h5py.File("surface.h5") as file:
        np.testing.assert_allclose(file["train_loss"][0, 0], expected[0], rtol=1e-6)


def test_barriers_and_ensembles(inside):
    words = (
        "1.pt",
        "2.pt",
        *MODEL,
        "--points=3",
        f"--limit={N}",
        "--subset=first",
        "--out=barriers.h5",
    )
    status, _, err = curve("barriers", *words)
    assert (status, err) == (0, "")
    with h5py.File("barriers.h5") as file:
        ends = file["train_loss"][[0, -1], 0]
    np.testing.assert_allclose(ends, [plain_loss(f"{n}.pt") for n in (1, 2)], rtol=1e-6)
    words = ("--epochs=2", "--cycle=2", "--threads=1", "--run=ensemble")
    assert ensemble.main([*MODEL, "--start=1.pt", *words]) == 0
