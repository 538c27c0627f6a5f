"""A default floating-point type that the user chose, in a notebook or in an imported module.

Oracle: the same computation without it, bit for bit, where every tensor of the user has a type.
"""

import sys
import textwrap

import h5py
import pytest
import torch
from one_process import run_alone
from torch import nn

import landscape_mpi as lm
from landscape_mpi import train
from landscape_mpi.compute import losses as losses_of_outputs

TYPES = [torch.bfloat16, torch.float64]
MODULE = """
    import torch
    from torch import nn

    {choice}

    def network():
        torch.manual_seed(0)
        sizes = {{"dtype": torch.float32}}
        layers = [nn.Flatten(), nn.Linear(64, 8, **sizes), nn.Tanh(), nn.Linear(8, 10, **sizes)]
        return nn.Sequential(*layers)
"""


@pytest.fixture(params=TYPES, ids=str)
def default(request):
    """Return a default type, and restore torch's."""
    yield request.param
    torch.set_default_dtype(torch.float32)


def losses(network, batch):
    return network(batch).square().sum(1) + 0.1 * torch.sin(network(batch)).sum(1)


def test_a_surface_and_its_eigenvalues(default):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 20), nn.Tanh(), nn.Linear(20, 3)).double()
    batches = [torch.randn(5, 6, dtype=torch.float64) for _ in range(3)]

    def values():
        plane = {"x": (-1, 1, 2), "y": 0.0, "progress": False, "device": "cpu"}
        surface = lm.compute_surface(network, batches, loss=losses, **plane)
        return lm.compute_hessian(surface, device="cpu", progress=False).values

    expected = values()
    torch.set_default_dtype(default)
    found = values()
    for name in ("train_loss", "hessian_min", "hessian_max"):
        assert (found[name] == expected[name]).all(), name


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in ("chosen", "usual"):
        sys.modules.pop(name, None)


def test_images_and_weights_of_classes_in_commands(default, folder):
    """Pixels are standardised, and classes weighted, as without the choice."""
    choice = f"torch.set_default_dtype({default})"
    for name, line in (("usual", ""), ("chosen", choice)):
        (folder / f"{name}.py").write_text(textwrap.dedent(MODULE.format(choice=line)))
        given = [f"--model={name}:network", "--data=digits", "--device=cpu"]
        assert train.main([*given, "--epochs=1", "--seed=1", f"--out={name}.pt"]) == 0
        losses_of_outputs._on_device.cache_clear()  # a command has a process of its own
        weights = "--class-weights=" + ",".join(str(0.1 * (k + 1)) for k in range(10))
        plane = ["--x=-1:1:3", "--y=0", weights, f"--checkpoint={name}.pt", f"--out={name}.h5"]
        ended = run_alone(["landscape_mpi.surface", *given, *plane])
        assert ended.status == 0, ended.words
    states = [torch.load(f"{name}.pt")["state_dict"] for name in ("usual", "chosen")]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    with h5py.File("usual.h5") as usual, h5py.File("chosen.h5") as chosen:
        assert (usual["train_loss"][:] == chosen["train_loss"][:]).all()
