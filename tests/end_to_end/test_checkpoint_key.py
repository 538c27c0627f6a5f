"""Every command takes the weights that --checkpoint-key names, and says what it takes without it.

Oracle: the loss of a plain torch loop over the same samples, for each of two sets of weights in
one file; the file of the command that was given a checkpoint with only these weights.
"""

import textwrap

import h5py
import numpy as np
import pytest
import torch
from curve_runs import run as curve
from torch import nn

from landscape_mpi.zoo.datasets import load_dataset

MODULE = """
    import torch
    from torch import nn
    def network():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
"""
N = 60


def network():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    (folder / "keyed_net.py").write_text(textwrap.dedent(MODULE))
    torch.manual_seed(1)
    states = [network().state_dict() for _ in range(4)]
    raw, ema = states[:2], states[2:]
    for number in (0, 1):
        content = {"state_dict": raw[number], "state_dict_ema": ema[number], "epoch": 3}
        torch.save(content, folder / f"both{number}.pth")
        torch.save(raw[number], folder / f"raw{number}.pt")
        torch.save(ema[number], folder / f"ema{number}.pt")
    return folder


def plain_loss(path):
    made = network()
    made.load_state_dict(torch.load(path, weights_only=True))
    data = load_dataset("digits")
    split = data.splits["train"].first(N)
    images = torch.from_numpy(split.inputs).permute(0, 3, 1, 2).float() / 255
    images = (images - data.mean[0]) / data.std[0]
    with torch.no_grad():
        return float(nn.functional.cross_entropy(made(images), torch.from_numpy(split.targets)))


def command(*words, x="0:1:2"):
    model = ("--model=keyed_net:network", "--data=digits", f"--limit={N}", "--subset=first")
    return ["landscape_mpi.surface", *model, f"--x={x}", *words]


def train_loss(path):
    with h5py.File(path) as file:
        return file["train_loss"][:, 0], dict(file["provenance"].attrs)


def test_the_log_says_which_weights_are_taken(folder, alone):
    done = alone(command("--checkpoint=both0.pth", "--out=raw.h5"), cwd=folder, check=True)
    line = (
        "both0.pth: it also holds averaged weights, under state_dict_ema; the raw ones under "
        "state_dict are used. Pass --checkpoint-key state_dict_ema for the averaged ones\n"
    )
    assert done.stdout.count(line) == 1
    losses, provenance = train_loss(folder / "raw.h5")
    assert losses[0] == pytest.approx(plain_loss(folder / "raw0.pt"), rel=1e-6)
    assert provenance["checkpoint_key"] == "none"


def test_the_key_is_for_all_checkpoints_of_a_command(folder, alone, on_ranks):
    words = ("--checkpoint=both0.pth", "--to=both1.pth", "--checkpoint-key=state_dict_ema")
    done = alone(command(*words, "--out=ema.h5"), cwd=folder, check=True)
    assert "both1.pth: the weights under state_dict_ema are used" in done.stdout
    losses, provenance = train_loss(folder / "ema.h5")
    expected = [plain_loss(folder / f"ema{number}.pt") for number in (0, 1)]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)
    assert provenance["checkpoint_key"] == "state_dict_ema"


def test_the_hessian_of_a_surface_is_of_the_same_weights(folder, alone, on_ranks):
    for name, words in {
        "keyed.h5": ("--checkpoint=both0.pth", "--checkpoint-key=state_dict_ema"),
        "alone.h5": ("--checkpoint=ema0.pt",),
    }.items():
        alone(command(*words, f"--out={name}", x="-1:1:2"), cwd=folder, check=True)
        on_ranks(1, ["landscape_mpi.hessian", name], cwd=folder, check=True)
    with h5py.File(folder / "keyed.h5") as keyed, h5py.File(folder / "alone.h5") as other:
        for name in ("hessian_min", "hessian_max"):
            assert np.isfinite(keyed[name][...]).all()
            np.testing.assert_array_equal(keyed[name], other[name])


def test_a_surface_begun_with_other_weights_is_not_gone_on_with(folder, alone):
    alone(command("--checkpoint=both0.pth", "--out=begun.h5"), cwd=folder, check=True)
    again = command("--checkpoint=both0.pth", "--out=begun.h5", "--checkpoint-key=state_dict_ema")
    done = alone(again, cwd=folder)
    assert done.returncode == 2
    assert "weights of SHA-256" in done.stderr


def test_a_wrong_key_is_one_message_and_no_file(folder, alone):
    words = ("--checkpoint=both0.pth", "--checkpoint-key=state_dict_emo", "--out=none.h5")
    done = alone(command(*words), cwd=folder)
    assert done.returncode == 2
    assert done.stderr.count("error:") == 1
    assert (
        "Did you mean state_dict_ema? It holds weights under state_dict, state_dict_e"
        in done.stderr
    )
    assert not (folder / "none.h5").exists()


def test_barriers_and_curves_take_the_key_too(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    model = ("--model=keyed_net:network", "--data=digits")
    words = ("both0.pth", "both1.pth", *model, "--checkpoint-key=state_dict_ema", "--points=3")
    status, _, err = curve(
        "barriers", *words, f"--limit={N}", "--subset=first", "--out=barriers.h5"
    )
    assert (status, err) == (0, "")
    with h5py.File("barriers.h5") as file:
        ends = file["train_loss"][[0, -1], 0]
    expected = [plain_loss(folder / f"ema{number}.pt") for number in (0, 1)]
    np.testing.assert_allclose(ends, expected, rtol=1e-6)
    ends = ("--start=both0.pth", "--end=both1.pth", "--epochs=1", "--threads=1", "--out=curve.pt")
    key = "--checkpoint-key=state_dict_ema"
    assert curve("train", *model, *ends, key)[0] == 0
    state = torch.load("curve.pt", weights_only=True)["state_dict"]
    assert torch.equal(state["1.weight"], torch.load("ema0.pt", weights_only=True)["1.weight"])
    status, _, err = curve("train", *model, *ends)
    assert status == 2
    assert "was started with --checkpoint-key state_dict_ema, but this command has no" in err
