"""Checkpoints and trainings as other libraries leave them: what is loaded, and in which order.

Oracle: the files are written here by torch and safetensors alone, and the numbers come from a plain
loop (plain_loop.py) over the tensors that they were written with.
"""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from cases.networks import samples, wrapped
from one_process import run_alone
from plain_loop import plain_losses
from torch import nn
from torch.distributed import checkpoint as distributed
from torch.nn import functional

MODEL = ("--model=cases.networks.wrapped:bare", "--data=cases.networks.samples:rows")
LINE = ("--x=-1:1:3", "--save-directions")
N_CHECKPOINTS = 10


def state_after(steps: int, *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Return the weights of a short training."""
    return list(training(steps, seed=seed))[-1][0]


def training(steps, *, seed=0):
    """Yield the weights before each step, and the loss there, then the last ones."""
    network, (inputs, targets) = wrapped.bare(), samples.rows()["train"]
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(seed * torch.ones_like(parameter) / 7)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.3)
    for step in range(steps + 1):
        loss = functional.cross_entropy(network(inputs), targets)
        yield {name: tensor.clone() for name, tensor in network.state_dict().items()}, loss.item()
        if step < steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


def surface(out: Path, checkpoint: Path, *options: str, model=MODEL):
    words = ["landscape_mpi.surface", *model, f"--checkpoint={checkpoint}", *LINE, f"--out={out}"]
    return run_alone([*words, *options])


def check_weights(out: Path, state: dict[str, torch.Tensor]) -> None:
    """Check that the surface lies around these weights."""
    expected = plain_losses(out, wrapped.bare, samples.rows()["train"], state=state)
    with h5py.File(out) as file:
        np.testing.assert_allclose(file["train_loss"], expected, rtol=1e-5)


@pytest.fixture
def state():
    return state_after(8)


# One file of weights.


def prefixed(state, prefix):
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def halved(state):
    return {k: v / 2 if v.is_floating_point() else v for k, v in state.items()}


COUNT = torch.tensor(5)
CRITERION = {"criterion.weight": torch.ones(3), "metrics.total": torch.zeros(())}
FILES = {
    "model_ in front": lambda s: {"state_dict": prefixed(s, "model.")},
    "beside a loss": lambda s: {"state_dict": prefixed(s, "model.") | CRITERION},
    "compiled": lambda s: prefixed(s, "_orig_mod."),
    "compiled in parallel": lambda s: prefixed(s, "module._orig_mod."),
    "in parallel, compiled": lambda s: prefixed(s, "_orig_mod.module."),
    "a part compiled": lambda s: {
        name.replace("0.", "0._orig_mod.") if name.startswith("0.") else name: tensor
        for name, tensor in s.items()
    },
    "averaged": lambda s: prefixed(s, "module.") | {"n_averaged": COUNT},
    "weights alone": lambda s: {"weights": s, "epoch": 3},
    "model_state_dict": lambda s: {"model_state_dict": s, "optimizer_state_dict": {"state": {}}},
    "only averages": lambda s: {"state_dict_ema": s, "epoch": 3},
    "raw beside averages": lambda s: {"state_dict": s, "state_dict_ema": halved(s)},
    "raw beside ema": lambda s: {"model": s, "ema": halved(s), "optimizer": {"state": {}}},
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_of_weights(kind, state, tmp_path):
    torch.save(FILES[kind](state), tmp_path / "weights.pt")
    ended = surface(tmp_path / "x.h5", tmp_path / "weights.pt")
    assert ended.status == 0, ended.words
    check_weights(tmp_path / "x.h5", state)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("averaged", "average"),
        ("only averages", "state_dict_ema"),
        ("raw beside averages", "state_dict_ema"),
        ("raw beside ema", "--checkpoint-key"),
    ],
)
def test_averages_are_named(kind, said, state, tmp_path):
    torch.save(FILES[kind](state), tmp_path / "weights.pt")
    assert said in surface(tmp_path / "x.h5", tmp_path / "weights.pt").words


@pytest.mark.parametrize(
    ("kind", "key"), [("raw beside averages", "state_dict_ema"), ("raw beside ema", "ema")]
)
def test_averages_are_taken_where_they_are_asked_for(kind, key, state, tmp_path):
    torch.save(FILES[kind](state), tmp_path / "weights.pt")
    ended = surface(tmp_path / "x.h5", tmp_path / "weights.pt", f"--checkpoint-key={key}")
    assert ended.status == 0, ended.words
    check_weights(tmp_path / "x.h5", halved(state))


def test_two_networks_in_a_file_are_a_choice(state, tmp_path):
    torch.save({"generator": state, "discriminator": halved(state)}, tmp_path / "both.pt")
    ended = surface(tmp_path / "x.h5", tmp_path / "both.pt")
    assert ended.status == 2, ended.words
    assert all(w in ended.words for w in ("generator", "discriminator", "--checkpoint-key"))
    assert not (tmp_path / "x.h5").exists()
    options = "--checkpoint-key=discriminator"
    assert surface(tmp_path / "x.h5", tmp_path / "both.pt", options).status == 0
    check_weights(tmp_path / "x.h5", halved(state))


# Folders of weights.


def write_shards(folder: Path, state, *, name: str, suffix: str, save) -> None:
    """Write weights as save_pretrained writes large ones: shards, and an index of them."""
    folder.mkdir()
    places = {}
    for number, keys in enumerate((list(state)[:3], list(state)[3:]), 1):
        shard = f"{name}-{number:05d}-of-00002.{suffix}"
        save({key: state[key].contiguous() for key in keys}, folder / shard)
        places |= dict.fromkeys(keys, shard)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / f"{name}.{suffix}.index.json").write_text(json.dumps(index))


SHARDS = {
    "safetensors": {
        "name": "model",
        "suffix": "safetensors",
        "save": safetensors.torch.save_file,
    },
    "bin": {"name": "pytorch_model", "suffix": "bin", "save": torch.save},
}


@pytest.mark.parametrize("kind", SHARDS)
@pytest.mark.parametrize("named", ["folder", "index"])
def test_shards(kind, named, state, tmp_path):
    write_shards(tmp_path / "saved", state, **SHARDS[kind])
    (index,) = (tmp_path / "saved").glob("*.index.json")
    ended = surface(tmp_path / "x.h5", index if named == "index" else index.parent)
    assert ended.status == 0, ended.words
    check_weights(tmp_path / "x.h5", state)


def test_a_shard_that_is_missing(state, tmp_path):
    write_shards(tmp_path / "saved", state, **SHARDS["safetensors"])
    (tmp_path / "saved" / "model-00002-of-00002.safetensors").unlink()
    ended = surface(tmp_path / "x.h5", tmp_path / "saved")
    assert ended.status == 2, ended.words
    assert "model-00002-of-00002.safetensors" in ended.words
    assert not (tmp_path / "x.h5").exists()


def test_a_distributed_checkpoint(state, tmp_path):
    distributed.save(state, checkpoint_id=tmp_path / "saved", no_dist=True)
    ended = surface(tmp_path / "x.h5", tmp_path / "saved")
    if ended.status == 0:
        check_weights(tmp_path / "x.h5", state)
    else:
        assert ended.status == 2, ended.words
        assert "dcp_to_torch" in ended.words


def test_an_adapter(tmp_path):
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2}))
    names = [f"base_model.model.0.lora_{letter}.weight" for letter in "AB"]
    tensors = {names[0]: torch.zeros(2, 10), names[1]: torch.zeros(16, 2)}
    safetensors.torch.save_file(tensors, folder / "adapter_model.safetensors")
    for given in (folder, folder / "adapter_model.safetensors"):
        ended = surface(tmp_path / "x.h5", given)
        assert ended.status == 2, ended.words
        assert "PEFT" in ended.words
        assert not (tmp_path / "x.h5").exists()


# Trainings: which checkpoints there are, and in which order.


def write_metrics(folder: Path) -> None:
    """Write files named with their metric, as Lightning's patterns do; nothing is recorded."""
    for epoch, (state, loss) in enumerate(training(N_CHECKPOINTS - 1)):
        torch.save({"state_dict": state}, folder / f"epoch={epoch:02d}-val_loss={loss:.4f}.pth")


def write_best(folder: Path) -> None:
    """Write numbered files beside the best and the last one; all record their epoch."""
    for epoch, (state, _) in enumerate(training(N_CHECKPOINTS - 1)):
        content = {"epoch": epoch, "state_dict": state}
        torch.save(content, folder / f"checkpoint_{epoch}.pth")
        torch.save(content, folder / "last.pth")
        if epoch == 4:
            torch.save(content, folder / "best.pth")


def write_lightning(folder: Path) -> None:
    for epoch, (state, _) in enumerate(training(N_CHECKPOINTS - 1)):
        content = {"epoch": epoch, "global_step": 20 * epoch, "hyper_parameters": {"lr": 0.3}}
        content["state_dict"] = prefixed(state, "model.")
        torch.save(content, folder / f"epoch={epoch}-step={20 * epoch}.ckpt")
    torch.save(content, folder / "last.ckpt")


def write_trainer(folder: Path) -> None:
    """Write the folders of a Hugging Face Trainer, whose numbers are of unequal length."""
    for epoch, (state, _) in enumerate(training(N_CHECKPOINTS - 1)):
        inner = folder / f"checkpoint-{5 * epoch}"
        inner.mkdir()
        safetensors.torch.save_file(state, inner / "model.safetensors")
        record = {"epoch": float(epoch), "global_step": 5 * epoch}
        (inner / "trainer_state.json").write_text(json.dumps(record))


WRITERS = [write_metrics, write_best, write_lightning, write_trainer]


@pytest.mark.parametrize("write", WRITERS)
def test_the_order_of_a_training(write, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    write(folder)
    ended = run_alone(["landscape_mpi.trajectory", str(folder), f"--out={tmp_path / 'plane.h5'}"])
    assert ended.status == 0, ended.words
    alpha, beta, epochs = places(tmp_path / "plane.h5")
    expected = projections(tmp_path / "plane.h5")
    np.testing.assert_allclose([alpha, beta], expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(epochs, np.arange(N_CHECKPOINTS))


def places(plane: Path):
    """Return where the checkpoints of the only training lie, and their epochs."""
    with h5py.File(plane) as file:
        (run,) = [group for group in file["trajectory"].values() if isinstance(group, h5py.Group)]
        return run["alpha"][()], run["beta"][()], run["epoch"][()]


def projections(plane: Path):
    """Return where they lie in the plane's own directions, in the order of training."""
    states = [state for state, _ in training(N_CHECKPOINTS - 1)]
    with h5py.File(plane) as file:
        directions = {
            axis: {bare(name): file[f"directions/{axis}/{name}"][()] for name in group}
            for axis, group in file["directions"].items()
            if axis in ("alpha", "beta")
        }
    names = list(directions["alpha"])
    matrix = np.stack([np.concatenate([d[n].ravel() for n in names]) for d in directions.values()])
    offsets = [
        np.concatenate([(s[n] - states[-1][n]).numpy().ravel() for n in names]) for s in states
    ]
    return np.linalg.lstsq(matrix.T.astype(float), np.stack(offsets).T.astype(float))[0]


def bare(name: str) -> str:
    return name.removeprefix("model.")


@pytest.mark.parametrize(
    ("network", "write"), [("bare", write_lightning), ("as_model", write_best)]
)
def test_the_plane_of_a_wrapped_network_fits_the_bare_one(network, write, tmp_path):
    """And the other way round."""
    folder = tmp_path / "run"
    folder.mkdir()
    write(folder)
    plane, out = tmp_path / "plane.h5", tmp_path / "x.h5"
    assert run_alone(["landscape_mpi.trajectory", str(folder), f"--out={plane}"]).status == 0
    words = ["landscape_mpi.surface", f"--model=cases.networks.wrapped:{network}", MODEL[1]]
    words += [f"--checkpoint={sorted(folder.glob('*last*'))[0]}", f"--directions={plane}"]
    ended = run_alone(
        [*words, "--x=-0.5:0.5:2", "--y=0:0.3:2", "--save-directions", f"--out={out}"]
    )
    assert ended.status == 0, ended.words
    state = state_after(N_CHECKPOINTS - 1)
    state = state if network == "bare" else prefixed(state, "model.")
    build = getattr(wrapped, network)
    expected = plain_losses(out, build, samples.rows()["train"], state=state)
    with h5py.File(out) as file:
        np.testing.assert_allclose(file["train_loss"], expected, rtol=1e-5)


# Curves between networks with a buffer that no checkpoint holds.


def test_a_curve_of_a_network_with_a_buffer_of_its_own(tmp_path):
    hooks = ["--model=cases.networks.drawn:Centred", "--data=cases.networks.samples:rows"]
    for seed in (1, 2):
        network = drawn_network(seed)
        torch.save(network.state_dict(), tmp_path / f"{seed}.pt")
    ends = [f"--start={tmp_path / '1.pt'}", f"--end={tmp_path / '2.pt'}", "--epochs=1"]
    curve, out = tmp_path / "curve.pt", tmp_path / "curve.h5"
    ended = run_alone(["landscape_mpi.curve", "train", *hooks, *ends, f"--out={curve}"])
    assert ended.status == 0, ended.words
    words = ["landscape_mpi.curve", "evaluate", str(curve), "--points=3", f"--out={out}"]
    ended = run_alone([*words, "--splits=train"])
    assert ended.status == 0, ended.words
    inputs, targets = samples.rows()["train"]
    with h5py.File(out) as file, torch.no_grad():
        for place, seed in ((0, 1), (-1, 2)):
            expected = functional.cross_entropy(drawn_network(seed).eval()(inputs), targets)
            assert file["train_loss"][place, 0] == pytest.approx(expected.item(), rel=1e-5)


def drawn_network(seed: int) -> nn.Module:
    from cases.networks.drawn import Centred

    network = Centred()
    with torch.no_grad():
        network.out.weight.add_(seed * 0.2)
    return network
