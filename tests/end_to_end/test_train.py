"""Oracles: the file that a run leaves, read by torch and evaluated again from the images; two
runs of one seed against each other; and the sentences.
"""

import os
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from refusals import refused
from torch.nn import functional

from landscape_mpi.command import EXIT_BAD_INPUT
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.training.inputs import augments
from landscape_mpi.jobs.training.training_messages import progress_line
from landscape_mpi.train import main
from landscape_mpi.zoo.checkpoint import load_state, read_checkpoint
from landscape_mpi.zoo.dataset import DataSet, Split
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.networks import build_network
from landscape_mpi.zoo.recipe import Epoch

RUN = ["--model=resnet8", "--data=digits", "--seed=1", "--device=cpu", "--threads=1"]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "landscape_mpi.train", *arguments], capture_output=True, text=True
    )


def refusal(*arguments):
    return refused(main, arguments)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of 15 epochs, as a user starts it, and its checkpoint."""
    out = tmp_path_factory.mktemp("trained") / "resnet8.pt"
    done = run(*RUN, "--epochs=15", f"--out={out}")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines(), out


def test_digits_are_learned(trained):
    _, out = trained
    assert os.listdir(out.parent) == ["resnet8.pt"]
    last = torch.load(out, weights_only=True)["history"][-1]
    assert last["train_error"] < 0.2
    assert last["test_error"] < 4


def test_losses_told_are_those_of_the_weights_written(trained):
    _, out = trained
    split = load_dataset("digits").splits["test"]
    train = load_dataset("digits").splits["train"].inputs / 255
    inputs = torch.from_numpy((split.inputs / 255 - train.mean()) / train.std())
    network = build_network("resnet8", n_channels=1, n_classes=10).eval()
    load_state(network, read_checkpoint(out))
    with torch.no_grad():
        logits = network(inputs.permute(0, 3, 1, 2).float())
    last = torch.load(out, weights_only=True)["history"][-1]
    loss = functional.cross_entropy(logits, torch.from_numpy(split.targets)).item()
    assert last["test_loss"] == pytest.approx(loss, rel=1e-4)
    wrong = np.mean(logits.argmax(1).numpy() != split.targets)
    assert last["test_error"] == pytest.approx(100 * wrong)


def test_one_line_for_each_epoch(trained):
    lines, out = trained
    assert lines[0] == (
        "resnet8: 77,754 parameters; digits: 1,438 train and 359 test images; CPU, threads: 1"
    )
    assert lines[-1] == f"wrote {out}"
    number = r"\d+\.\d+"
    pattern = (
        rf"epoch ( \d|\d\d)/15  lr 0\.\d+  train loss {number} error {number} %  "
        rf"test loss {number} error {number} %  {number} s"
    )
    assert re.fullmatch(
        rf"always answering the commonest .*: train {number} %, test {number} %", lines[1]
    )
    assert len(lines) == 18
    assert all(re.fullmatch(pattern, line) for line in lines[2:-1])


def test_checkpoint_says_how_it_was_made(trained):
    _, out = trained
    content = torch.load(out, weights_only=True)
    data = load_dataset("digits")
    assert [content[key] for key in ("model", "data", "epoch", "seed")] == [
        "resnet8",
        "digits",
        15,
        1,
    ]
    assert content["data_sha256"] == data.sha256
    options = content["options"]
    assert (options["lr"], options["weight_decay"], options["batch_size"]) == (0.1, 5e-4, 128)
    assert (options["mean"], options["std"]) == (list(data.mean), list(data.std))
    assert (options["augment"], options["device"]) == ("none", "cpu")
    assert [epoch["epoch"] for epoch in content["history"]] == list(range(1, 16))


@pytest.mark.parametrize("augment", ["none", "crop-flip"])
def test_same_seed_same_weights(tmp_path, augment, capsys):
    states = []
    for seed, name in ((1, "a.pt"), (1, "b.pt"), (2, "c.pt")):
        settings = [f"--seed={seed}", "--epochs=1", f"--augment={augment}"]
        assert main([*RUN, *settings, f"--out={tmp_path / name}"]) == 0
        states.append(read_checkpoint(tmp_path / name).state)
    first, again, other = states
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


def test_ones_own_network_and_images_without_a_test_split(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 3), dtype=np.uint8)
    np.savez("mine.npz", images=images, labels=np.arange(20) % 4)
    (tmp_path / "hook_own.py").write_text(
        "from torch import nn\ndef build():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(192, 4))\n"
    )
    arguments = ["--model=hook_own:build", "--data=npz:mine.npz", "--epochs=1", "--out=own.pt"]
    assert main([*arguments, "--device=cpu", "--mean=0.5", "--std=0.2,0.3,0.4"]) == 0
    assert "test loss" not in capsys.readouterr().out
    content = torch.load("own.pt", weights_only=True)
    assert content["options"]["std"] == [0.2, 0.3, 0.4]
    assert content["history"][0]["test_error"] is None


def data_named(name, inputs):
    return DataSet(name, {"train": Split(inputs, np.zeros(2, np.int64))}, (), (), 2, "")


def test_auto_crops_and_flips_photographs_only():
    images = np.zeros((2, 8, 8, 1), np.uint8)
    names = ("cifar10", "cifar100", "digits", "mnist", "npz:a")
    chosen = [augments("auto", data_named(name, images)) for name in names]
    assert chosen == [True, True, False, False, False]
    assert augments("crop-flip", data_named("digits", images))
    assert not augments("none", data_named("cifar10", images))


def test_tables_cannot_be_cropped():
    rows = data_named("seismic", np.zeros((2, 24), np.float32))
    assert not augments("auto", rows)
    with pytest.raises(InputError) as caught:
        augments("crop-flip", rows)
    assert str(caught.value) == (
        "--augment crop-flip applies to images, but --data seismic gives rows of 24 numbers. Leave "
        "it out."
    )


def learned(tmp_path, *arguments):
    """Train on the CPU; return the last test error, in percent."""
    out = tmp_path / "a.pt"
    assert main([*arguments, f"--out={out}", "--device=cpu", "--threads=1"]) == 0
    return torch.load(out, weights_only=True)["history"][-1]["test_error"]


@pytest.mark.parametrize("model", ["cnn1", "cnn3", "feedforward4", "feedforward6_skip2_4"])
def test_small_networks_learn_the_digits(tmp_path, model):
    assert learned(tmp_path, f"--model={model}", "--data=digits", "--epochs=8", "--lr=0.02") < 8


def test_a_table_is_learned(tmp_path, capsys):
    """Rows of 24 numbers whose class is decided by a few of them."""
    random = np.random.default_rng(0)
    energy, pulses = random.integers(0, 1000, (2, 800))
    categories = [",".join(row) for row in random.choice(["a", "b"], (800, 3))]
    rows = [
        f"{c},{e},{p},0,0,a,{'0,' * 8}0,0,{int(e + p > 1000)}"
        for c, e, p in zip(categories, energy, pulses, strict=True)
    ]
    (tmp_path / "seismic-bumps.csv").write_text("\n".join(rows))
    data = ["--data=seismic:1", f"--data-dir={tmp_path}"]
    assert learned(tmp_path, "--model=seismic1", *data, "--epochs=30") < 8
    assert "seismic:1: 600 train and 200 test rows; " in capsys.readouterr().out


@pytest.mark.parametrize("model", ["rnn20", "lstm20", "gru20", "transformer"])
def test_a_text_is_learned(tmp_path, capsys, model):
    """The two characters before decide the next one here; one character does not."""
    (tmp_path / "input.txt").write_text("abacbc" * 1000)
    data = ["--data=shakespeare:11", f"--data-dir={tmp_path}"]
    error = learned(tmp_path, f"--model={model}", *data, "--epochs=20", "--batch-size=16")
    assert error < 10
    assert "shakespeare:11: 490 train and 54 test sequences; " in capsys.readouterr().out


def test_help_says_when_the_rate_drops():
    assert "(default: 1/2,3/4,11/12)" in run("--help").stdout


def test_out_is_checked_before_anything_else(tmp_path):
    absent = ["--model=none", "--data=none"]
    assert refusal(*absent, f"--out={tmp_path}").startswith(f"--out: {tmp_path} is a directory.")


def test_bad_input_is_one_line_and_status_2(tmp_path):
    done = run("--model=resnet9", "--data=digits", f"--out={tmp_path}/a.pt")
    assert done.returncode == EXIT_BAD_INPUT
    assert done.stdout == ""
    assert done.stderr.startswith("error: --model: 'resnet9' is not known. Did you mean resnet")
    assert done.stderr.count("\n") == 1
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device, so it is no error")
def test_cuda_that_is_not_there(tmp_path):
    text = refusal("--model=resnet8", "--data=digits", "--device=cuda", f"--out={tmp_path}/a.pt")
    assert text.startswith("--device cuda: torch sees no such GPU here. Ask the queue for GPUs")
    assert text.endswith("or pass --device cpu.")


@pytest.mark.parametrize(
    ("option", "complaint"),
    [
        ("--epochs=0", "--epochs: '0' is not a whole number from 1 to 100,000."),
        ("--epochs=1000000000", "'1000000000' is not a whole number from 1 to 100,000."),
        ("--batch-size=0", "--batch-size: '0' is not a whole number from 1 to 10**9."),
        ("--threads=-1", "--threads: '-1' is not a whole number from 1 to 1,024."),
        ("--threads=1000000000", "'1000000000' is not a whole number from 1 to 1,024."),
        ("--seed=-1", "--seed: '-1' is not a whole number from 0"),
        ("--lr=0", "--lr: '0' is not above 0."),
        ("--weight-decay=-1", "--weight-decay: '-1' is not a finite number of at least 0."),
        ("--mean=0.1;0.2", "--mean: '0.1;0.2' is not a number"),
        ("--device=gpu", "--device: gpu could mean several kinds of GPU. Pass auto"),
    ],
)
def test_values_are_checked(tmp_path, option, complaint):
    assert complaint in refusal(*RUN, f"--out={tmp_path}/a.pt", option)


def test_a_loss_without_an_error_is_told_alone():
    epoch = Epoch(2, 0.1, 1.5, None, 2.5, None, 3.04)
    assert progress_line(epoch, 10) == (
        "epoch  2/10  lr 0.1  train loss 1.5000  test loss 2.5000  3.0 s"
    )
