"""Eigenvalues of surfaces of every loss, by the command.

Oracle: numpy's dense eigenvalues of second derivatives that torch takes of the mean over all
samples, written with torch's own losses.
"""

import importlib
import sys

import h5py
import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.nn import functional

from landscape_mpi.store.spectrum import read_spectrum

MODULE = """
import torch
from torch import nn
from torch.nn import functional

WEIGHT = torch.tensor([1.0, 20.0, 0.5])

def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 3))

def one_output():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 1))

def numbers():
    return {"train": (drawn(25, 4), drawn(25, 3) + 1)}

def classes():
    return {"train": (drawn(25, 4), torch.arange(25) % 3)}

def padded():
    return {"train": (drawn(25, 4), torch.arange(25) % 4 - 1)}

def halves():
    return {"train": (drawn(25, 4), torch.arange(25) % 2)}

def weighted(outputs, targets):
    weights = WEIGHT.to(outputs)[targets]
    return functional.cross_entropy(outputs, targets, reduction="none") * weights, weights

def smooth(outputs, targets):
    return functional.cross_entropy(outputs, targets, reduction="none", label_smoothing=0.1)

def length(outputs, targets):
    return ((outputs - targets).square().sum(1) + 1).sqrt()

def detached(outputs, targets):
    return length(outputs, targets) * outputs.detach().square().sum(1)
"""
CASES = {
    "mse": ("network", "numbers", functional.mse_loss),
    "bce": (
        "one_output",
        "halves",
        lambda o, t: functional.binary_cross_entropy_with_logits(o[:, 0], t.to(o)),
    ),
    "mse, one-hot": (
        "network",
        "classes",
        lambda o, t: functional.mse_loss(o, functional.one_hot(t, 3).to(o)),
    ),
    "mse, one-hot, some left out": (
        "network",
        "padded",
        lambda o, t: functional.mse_loss(o[t >= 0], functional.one_hot(t[t >= 0], 3).to(o)),
    ),
    "every_loss:weighted": (
        "network",
        "classes",
        lambda o, t: functional.cross_entropy(o, t, weight=torch.tensor([1.0, 20.0, 0.5]).to(o)),
    ),
    "every_loss:smooth": (
        "network",
        "classes",
        lambda o, t: functional.cross_entropy(o, t, label_smoothing=0.1),
    ),
    "every_loss:length": (
        "network",
        "numbers",
        lambda o, t: ((o - t).square().sum(1) + 1).sqrt().mean(),
    ),
}


@pytest.fixture
def module(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "every_loss.py").write_text(MODULE)
    yield importlib.import_module("every_loss")
    sys.modules.pop("every_loss", None)


def surface(name, out, *, network="network", data="numbers"):
    words = ["landscape_mpi.surface", f"--model=every_loss:{network}", f"--data=every_loss:{data}"]
    words += [f"--loss={name}", "--x=0:0.5:2", "--y=0:0.5:2", "--ignore=none", "--batch=4"]
    return [*words, f"--out={out}", "--save-directions"]


def dense_eigenvalues(network, inputs, targets, mean, file, point):
    state = {name: p.detach().double() for name, p in network.named_parameters()}
    for axis, step in zip(("alpha", "beta"), point, strict=True):
        for name, values in read_vectors(file, axis).items():
            state[name] = state[name] + step * values
    sizes = [tensor.numel() for tensor in state.values()]
    doubled = network.double()

    def loss(vector):
        parts = zip(state.items(), vector.split(sizes), strict=True)
        own = {name: part.view(like.shape) for (name, like), part in parts}
        wanted = targets.double() if targets.is_floating_point() else targets
        return mean(functional_call(doubled, own, (inputs.double(),)), wanted)

    vector = torch.cat([tensor.flatten() for tensor in state.values()])
    return np.linalg.eigvalsh(torch.autograd.functional.hessian(loss, vector).numpy())


def read_vectors(file, axis):
    found = {}
    file[f"directions/{axis}"].visititems(
        lambda name, item: (
            found.update({name.replace("/", "."): torch.tensor(item[()]).double()})
            if isinstance(item, h5py.Dataset)
            else None
        )
    )
    return found


@pytest.mark.parametrize("case", list(CASES))
def test_both_ends_at_every_point(case, module, tmp_path, on_ranks):
    network, data, mean = CASES[case]
    name, out = case.split(",")[0], tmp_path / "x.h5"
    words = surface(name, out, network=network, data=data)
    words += ["--ignore-index=-1"] if "left out" in case else []
    on_ranks(1, words, cwd=tmp_path, check=True)
    words = ["landscape_mpi.hessian", out, "--tolerance=1e-5", "--batch=4", "--ranks-per-point=2"]
    on_ranks(2, words, cwd=tmp_path, check=True)
    inputs, targets = getattr(module, data)()["train"]
    with h5py.File(out) as file:
        for i, alpha in enumerate(file["alpha"]):
            for j, beta in enumerate(file["beta"]):
                build = getattr(module, network)
                exact = dense_eigenvalues(build(), inputs, targets, mean, file, (alpha, beta))
                found = [file[f"hessian_{end}"][i, j] for end in ("min", "max")]
                expected = pytest.approx(exact[[0, -1]], rel=1e-4, abs=1e-6 * exact[-1])
                assert found == expected
        units = "nat" if name == "bce" else "1"
        assert {file[f"hessian_{end}"].attrs["units"] for end in ("min", "max")} == {units}
        assert file["hessian_products"].attrs["units"] == "1"


def test_the_spectrum_of_another_loss(module, tmp_path, on_ranks):
    out = tmp_path / "x.h5"
    on_ranks(1, surface("mse", out), cwd=tmp_path, check=True)
    words = ["landscape_mpi.hessian", out, "--spectrum=0,0", "--top=2", f"--out={tmp_path}/s.h5"]
    on_ranks(2, [*words, "--tolerance=1e-5"], cwd=tmp_path, check=True)
    inputs, targets = module.numbers()["train"]
    with h5py.File(out) as file:
        exact = dense_eigenvalues(
            module.network(), inputs, targets, functional.mse_loss, file, (0, 0)
        )
    spectrum = read_spectrum(tmp_path / "s.h5")
    np.testing.assert_allclose(spectrum.eigenvalue, exact[[-1, -2]], rtol=1e-4)
    assert spectrum.loss_units == "1"
    with h5py.File(tmp_path / "s.h5") as file:
        assert [file[name].attrs["units"] for name in ("eigenvalue", "density")] == ["1", "1"]


def test_a_loss_that_hides_something_from_derivatives_is_refused(module, tmp_path, on_ranks):
    out = tmp_path / "x.h5"
    on_ranks(1, surface("every_loss:detached", out), cwd=tmp_path, check=True)
    before = out.read_bytes()
    done = on_ranks(2, ["landscape_mpi.hessian", out], cwd=tmp_path)
    assert done.returncode == 2
    assert "--loss: the loss changes by " in done.stderr
    assert "so the Hessian would be wrong" in done.stderr
    assert out.read_bytes() == before
