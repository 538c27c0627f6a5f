"""Runs of checkpoints as other programs leave them, and planes of networks inside other modules.

Oracles: the epochs in which the checkpoints were written; a dense principal component analysis of
the weights; a plain torch loop at points of the plane; the files of the same checkpoints written
as our own training writes them.
"""

import json
import textwrap

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from curve_runs import run as curve
from torch import nn
from training_runs import make_plane

from landscape_mpi.store.plane_path import path_of

N_EPOCHS = 7
MODULE = """
    import torch
    from torch import nn

    def network():
        return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))

    class Wrapped(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = network()

        def forward(self, inputs):
            return self.model(inputs)

    def data():
        x = torch.randn(60, 10, generator=torch.Generator().manual_seed(0))
        return {"train": (x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long())}
"""


def network():
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))


def samples():
    x = torch.randn(60, 10, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0).long()


def loss_of(state):
    made = network()
    made.load_state_dict(state)
    with torch.no_grad():
        return float(nn.functional.cross_entropy(made(samples()[0]), samples()[1]))


@pytest.fixture(scope="module")
def states():
    """The weights of a training, one epoch after the other."""
    torch.manual_seed(0)
    made = network()
    optimizer = torch.optim.SGD(made.parameters(), lr=0.5)
    found = []
    for _ in range(N_EPOCHS):
        found.append({name: tensor.clone() for name, tensor in made.state_dict().items()})
        optimizer.zero_grad()
        nn.functional.cross_entropy(made(samples()[0]), samples()[1]).backward()
        optimizer.step()
    return found


def inside(state, module="model"):
    return {f"{module}.{name}": tensor for name, tensor in state.items()}


def write_named_by_metric(folder, states):
    for epoch, state in enumerate(states):
        torch.save(
            {"state_dict": state}, folder / f"epoch={epoch:02d}-val_loss={loss_of(state):.4f}.pth"
        )


def write_best_and_last(folder, states):
    for epoch, state in enumerate(states):
        content = {"epoch": epoch, "state_dict": state}
        torch.save(content, folder / f"checkpoint_{epoch}.pth")
        torch.save(content, folder / "last.pth")
        if epoch == 3:
            torch.save(content, folder / "best.pth")


def write_lightning(folder, states):
    for epoch, state in enumerate(states):
        weights = inside(state) | {"criterion.weight": torch.ones(3)}
        content = {"epoch": epoch, "global_step": 10 * epoch + 9, "state_dict": weights}
        content |= {"optimizer_states": [], "hyper_parameters": {"lr": 0.5}}
        torch.save(content, folder / f"epoch={epoch}-step={10 * epoch + 9}.ckpt")
    torch.save(content, folder / "last.ckpt")


def write_transformers(folder, states):
    for epoch, state in enumerate(states):
        place = folder / f"checkpoint-{90 + 10 * epoch}"
        place.mkdir()
        safetensors.torch.save_file(state, place / "model.safetensors")
        torch.save({"state": {}}, place / "optimizer.pt")
        record = {"epoch": float(epoch), "global_step": 90 + 10 * epoch, "log_history": []}
        (place / "trainer_state.json").write_text(json.dumps(record))
    safetensors.torch.save_file(states[-1], folder / "model.safetensors")


def write_averages(folder, states):
    for epoch, state in enumerate(states):
        average = {name: 0.5 * tensor for name, tensor in state.items()}
        torch.save({"model": average, "ema": {"module": state}}, folder / f"ep{epoch}.pt")


WRITERS = {
    "metric": (write_named_by_metric, "the epochs in their names"),
    "best": (write_best_and_last, "the epochs recorded in them"),
    "lightning": (write_lightning, "the epochs recorded in them"),
    "transformers": (write_transformers, "the epochs recorded in them"),
    "averages": (write_averages, "the epochs in their names"),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_the_path_is_that_of_the_epochs(kind, states, tmp_path, capfd):
    write, words = WRITERS[kind]
    folder = tmp_path / "run"
    folder.mkdir()
    write(folder, states)
    key = ("--checkpoint-key=ema.module",) if kind == "averages" else ()
    assert make_plane(folder, "--out", tmp_path / "plane.h5", *key) == 0
    out = capfd.readouterr().out
    assert f"run: {N_EPOCHS} checkpoints in the order of {words}, " in out
    (path,) = path_of(tmp_path / "plane.h5").runs
    np.testing.assert_array_equal(path["epoch"], np.arange(N_EPOCHS))
    vectors = torch.stack([torch.cat([t.ravel() for t in s.values()]) for s in states]).double()
    matrix = (vectors - vectors[-1]).numpy()
    left, singular, _ = np.linalg.svd(matrix, full_matrices=False)
    for axis, number in (("alpha", 0), ("beta", 1)):
        expected = left[:, number] * singular[number]
        found = path[axis] * np.sign(path[axis] @ expected)
        np.testing.assert_allclose(found, expected, atol=1e-5)
    said = {"best": "best.pth is left out: it holds the weights of checkpoint_3.pth"}
    said |= {
        "lightning": "these tensors do not belong to the network and are left out: criterion.weight"
    }
    said |= {
        "transformers": "model.safetensors is left out: it holds the weights of checkpoint-150"
    }
    said |= {
        "averages": f"--checkpoint {folder}/ep{N_EPOCHS - 1}.pt --checkpoint-key ema.module ..."
    }
    assert said.get(kind, "") in out


@pytest.fixture(scope="module")
def planes(states, tmp_path_factory):
    """Planes of the bare network and of the one inside another module."""
    folder = tmp_path_factory.mktemp("planes")
    (folder / "inside_net.py").write_text(textwrap.dedent(MODULE))
    for kind in ("bare", "wrapped"):
        (folder / kind).mkdir()
        for epoch, state in enumerate(states):
            weights = inside(state) if kind == "wrapped" else state
            torch.save({"epoch": epoch, "state_dict": weights}, folder / kind / f"{epoch}.ckpt")
        assert make_plane(folder / kind, "--out", folder / f"{kind}.h5") == 0
    return folder


@pytest.mark.parametrize("model", ["network", "Wrapped"])
@pytest.mark.parametrize("plane", ["bare", "wrapped"])
def test_a_plane_fits_the_network_inside_another_and_the_other_way_round(
    model, plane, planes, states, alone, on_ranks
):
    out = f"{model}_{plane}.h5"
    words = (f"--model=inside_net:{model}", "--data=inside_net:data", f"--out={out}")
    words += (f"--checkpoint={plane}/{N_EPOCHS - 1}.ckpt", f"--directions={plane}.h5")
    alone(["landscape_mpi.surface", *words, "--x=fit:3", "--y=-1:1:3"], cwd=planes, check=True)
    with h5py.File(planes / out) as file, h5py.File(planes / f"{plane}.h5") as known:
        assert "trajectory" in file  # the path of the plane lies on this surface
        alpha, beta = file["alpha"][0], file["beta"][2]
        steps = [
            {
                name.removeprefix("model."): torch.from_numpy(values[()])
                for name, values in known[f"directions/{axis}"].items()
            }
            for axis in ("alpha", "beta")
        ]
        moved = {
            name: tensor + alpha * steps[0][name] + beta * steps[1][name]
            for name, tensor in states[-1].items()
        }
        assert file["train_loss"][0, 2] == pytest.approx(loss_of(moved), rel=1e-5)
    on_ranks(1, ["landscape_mpi.hessian", out], cwd=planes, check=True)


@pytest.mark.parametrize("plane", ["bare", "wrapped"])
def test_checkpoints_lie_where_they_do_in_the_plane_of_the_other(plane, planes):
    other = {"bare": "wrapped", "wrapped": "bare"}[plane]
    out = planes / f"{plane}_in_{other}.h5"
    assert make_plane(planes / plane, "--out", out, f"--directions={planes / other}.h5") == 0
    (here,), (there,) = path_of(out).runs, path_of(planes / f"{other}.h5").runs
    np.testing.assert_allclose(here["alpha"], there["alpha"], atol=1e-6)


def test_random_directions_of_both_are_the_same(planes, alone):
    for model in ("network", "Wrapped"):
        words = (f"--model=inside_net:{model}", "--data=inside_net:data", "--x=-1:1:3")
        words += (f"--checkpoint=bare/{N_EPOCHS - 1}.ckpt", "--y=-1:1:2", f"--out={model}.h5")
        alone(["landscape_mpi.surface", *words], cwd=planes, check=True)
    with h5py.File(planes / "network.h5") as bare, h5py.File(planes / "Wrapped.h5") as wrapped:
        np.testing.assert_array_equal(bare["train_loss"], wrapped["train_loss"])


def test_the_plane_of_a_curve_fits_the_network_inside_another(planes, monkeypatch, alone):
    monkeypatch.chdir(planes)
    monkeypatch.syspath_prepend(planes)
    ends = ("--start=wrapped/0.ckpt", f"--end=bare/{N_EPOCHS - 1}.ckpt", "--epochs=1")
    model = ("--model=inside_net:Wrapped", "--data=inside_net:data", "--threads=1")
    assert curve("train", *model, *ends, "--out=curve.pt")[0] == 0
    assert curve("plane", "curve.pt", "--out=curve_plane.h5")[0] == 0
    words = ("--model=inside_net:network", "--data=inside_net:data", "--checkpoint=curve.pt")
    words += ("--directions=curve_plane.h5", "--x=fit:3", "--y=0", "--out=curve_surface.h5")
    alone(["landscape_mpi.surface", *words], cwd=planes, check=True)
    with h5py.File("curve_surface.h5") as file:
        assert "curve" in file


def test_an_order_that_is_not_known_is_one_message_on_all_ranks(states, tmp_path, on_ranks):
    folder = tmp_path / "run"
    folder.mkdir()
    for name, state in zip(("first.pt", "second.pt"), states, strict=False):
        torch.save(state, folder / name)
    done = on_ranks(2, ["landscape_mpi.trajectory", folder, "--out", tmp_path / "plane.h5"])
    assert done.returncode == 2
    assert done.stderr.count("checkpoints were written is not known") == 1
    assert not (tmp_path / "plane.h5").exists()
