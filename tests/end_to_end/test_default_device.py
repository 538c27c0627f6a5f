"""A default device that the user chose, in a notebook or in a module that a command imports.

Oracle: the same computation without it. On the CPU the default device is ``meta``, whose tensors
have no values: any tensor made there by mistake ends the call.
"""

import contextlib
import sys
import textwrap

import h5py
import numpy as np
import pytest
import torch
from one_process import run_alone
from torch import nn

import landscape_mpi as lm
from landscape_mpi import default_device

PLANE = {"x": (-1, 1, 3), "y": (-0.5, 0.5, 2), "progress": False}
MODULE = """
    import torch
    from torch import nn
    from landscape_mpi import Problem

    torch.set_default_device({default!r})

    def network():
        torch.manual_seed(0)
        with torch.device("cpu"):
            return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))

    def rows():
        draws = torch.Generator().manual_seed(1)
        inputs = torch.randn(20, 6, generator=draws, device="cpu")
        return {{"train": (inputs, torch.arange(20, device="cpu") % 3)}}

    def losses(outputs, targets):
        weights = torch.ones(3)  # on the default device
        return nn.functional.cross_entropy(outputs, targets, weight=weights, reduction="none")

    def of_batch(network, batch):
        inside = torch.linspace(0, 1, 4)[:, None] * torch.ones(4, 6)  # on the default device
        assert inside.device == batch[0].device, inside.device
        return network(inside).square().sum(1)

    def problem():
        return Problem(network(), [rows()["train"]], of_batch)
"""


def a_network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))


def some_batches():
    draws = torch.Generator().manual_seed(1)
    return [torch.randn(5, 6, generator=draws) for _ in range(3)]


def at_points(network, batch):
    """Return losses at points of its own, which a physics-informed network has, and of a batch."""
    inside = torch.linspace(0, 1, 5)[:, None] * torch.ones(5, 6)
    return network(inside).square().mean() + network(batch).square().sum(1)


class Drawn(torch.utils.data.Dataset):
    """Samples that are made on the default device when they are read."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.arange(6.0) / (1 + index)


@contextlib.contextmanager
def set_for_all(place):
    torch.set_default_device(place)
    yield
    assert torch.get_default_device() == torch.device(place)
    torch.set_default_device(None)


@pytest.fixture(params=[set_for_all, torch.device], ids=["set_default_device", "with"])
def chosen(request):
    """Return a function that chooses a default device for a block."""
    yield request.param
    torch.set_default_device(None)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    """A command ends with its process; here the next one must not find its choice."""
    monkeypatch.setattr(default_device, "_chosen", None)


def surface_of(network, data, **options):
    options = {"device": "cpu", **PLANE, **options}
    found = lm.compute_surface(network, data, loss=at_points, **options)
    return found.values["train_loss"]


def test_a_surface_is_computed_on_the_cpu(chosen):
    expected = surface_of(a_network(), some_batches())
    network, batches = a_network(), some_batches()
    with chosen("meta"):
        assert (surface_of(network, batches) == expected).all()
        assert torch.empty(0).device.type == "meta"
    assert torch.empty(0).device.type == "cpu"


def test_an_eigenvalue_and_a_curve_are_computed_on_the_cpu(chosen):
    def eigenvalue():
        point = lm.compute_surface(network, batches, loss=at_points, x=0.0, progress=False)
        return lm.compute_hessian(point, device="cpu", progress=False).values["hessian_max"]

    def curve():
        options = {"loss": at_points, "epochs": 2, "seed": 0, "device": "cpu", "progress": False}
        found = lm.train_curve(network, batches, start=start, end=end, **options)
        return found.evaluate(5, progress=False).values["train_loss"]

    network, batches = a_network().eval(), some_batches()
    start, end = a_network().state_dict(), {k: v + 0.1 for k, v in a_network().state_dict().items()}
    expected = eigenvalue(), curve()
    with chosen("meta"):
        found = eigenvalue(), curve()
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


def test_samples_are_read_on_the_device_of_the_user(gpu, chosen):
    """The Dataset sees the default device of the notebook, as it does in a training."""
    torch.cuda.set_device(gpu)
    network = a_network()
    expected = surface_of(network, Drawn())
    with chosen(gpu):
        found = surface_of(network, Drawn(), device="cuda")
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_notebook_on_a_gpu(gpu, chosen):
    torch.cuda.set_device(gpu)
    network, batches = a_network(), some_batches()
    expected = surface_of(network, batches)
    network = network.to(gpu)
    batches = [batch.to(gpu) for batch in batches]
    with chosen(gpu):
        for device in ("cuda", "cpu"):
            found = surface_of(network, batches, device=device)
            assert found == pytest.approx(expected, rel=1e-5)
        assert torch.empty(0).device == torch.device(gpu)


@pytest.fixture
def own_module(tmp_path, monkeypatch):
    """Return a function that writes a module with a default device."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)

    def write(name, default):
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(MODULE.format(default=default)))
        names.append(name)

    names = []
    yield write
    torch.set_default_device(None)
    for name in names:
        sys.modules.pop(name, None)


def stored_by(*options):
    ended = run_alone(["landscape_mpi.surface", "--x=-1:1:3", "--y=0", *options, "--out=own.h5"])
    assert ended.status == 0, ended.words
    with h5py.File("own.h5") as file:
        return file["train_loss"][:]


def options_of(name, kind):
    if kind == "problem":
        return [f"--problem={name}:problem"]
    return [f"--model={name}:network", f"--data={name}:rows", f"--loss={name}:losses"]


@pytest.mark.parametrize("kind", ["problem", "network"])
def test_a_module_that_chooses_a_device(own_module, kind):
    own_module("of_cpu", "cpu")
    own_module("of_meta", "meta")
    expected = stored_by(*options_of("of_cpu", kind), "--device=cpu")
    found = stored_by(*options_of("of_meta", kind), "--device=cpu", "--fresh")
    assert (found == expected).all()


@pytest.mark.parametrize("kind", ["problem", "network"])
def test_a_module_that_chooses_a_gpu(own_module, kind, gpu):
    torch.cuda.set_device(gpu)
    own_module("of_cpu", "cpu")
    own_module("of_gpu", gpu)
    expected = stored_by(*options_of("of_cpu", kind), "--device=cpu")
    found = stored_by(*options_of("of_gpu", kind), "--device=cuda", "--fresh")
    assert found == pytest.approx(expected, rel=1e-5)
