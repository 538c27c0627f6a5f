"""A run with a folder: what is in it, how it goes on, and how ranks share it.

Oracles: a run that nobody disturbs; the run of one process beside that of several; torch, numpy
and csv that read the files; and the sentences.
"""

import csv
import getpass
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import termios
import time

import h5py
import numpy as np
import pytest
import torch
from limits import LIMIT_S
from refusals import refused

from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.devices.cuda import CudaDevice
from landscape_mpi.errors import EXIT_BAD_INPUT, EXIT_REQUEUE
from landscape_mpi.jobs.training.inputs import make_deterministic
from landscape_mpi.jobs.training.run_folder import RunFolder
from landscape_mpi.train import main, parse
from landscape_mpi.zoo.checkpoint import load_state, read_checkpoint
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network

FAST = ["--model=feedforward4", "--data=digits", "--lr=0.02", "--device=cpu", "--threads=1"]
# Batch-norm, dropout, crops and flips: all that a run that goes on could get wrong.
RANDOM = '''
import os, signal, time
import torch
from torch import nn

n_batches = 0

class Held(nn.Module):
    """Makes a file in the batch with a number, and goes on once a stop signal has come."""

    def forward(self, inputs):
        global n_batches
        n_batches += self.training
        if self.training and n_batches == int(os.environ.get("AT", "0")):
            open(os.environ["HELD"], "w").close()
            while not signal.getsignal(signal.SIGTERM).__self__.came:
                time.sleep(0.01)
        return inputs

def build():
    return nn.Sequential(
        Held(), nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.3),
        nn.Linear(144, 10),
    )
'''
SLOW = ["--model=hook_slow:build", "--data=digits", "--lr=0.02", "--device=cpu", "--threads=1"]
SLOW += ["--epochs=5", "--batch-size=300", "--augment=crop-flip"]
BATCHES = 5  # an epoch


def refusal(*arguments):
    return refused(main, arguments)


def log_of(folder):
    with (folder / "log.csv").open() as file:
        return list(csv.DictReader(file))


def weights_of(path):
    return read_checkpoint(path).state


def assert_same_weights(first, second):
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def assert_same_run(first, second):
    """All files but for the seconds."""
    names = sorted(os.listdir(first))
    assert sorted(os.listdir(second)) == names
    for name in names:
        if name.startswith("epoch"):
            assert_same_weights(weights_of(first / name), weights_of(second / name))
    logs = [[{**row, "seconds": ""} for row in log_of(folder)] for folder in (first, second)]
    assert logs[0] == logs[1]
    with h5py.File(first / "weights.h5") as one, h5py.File(second / "weights.h5") as other:
        for name in one.keys() - {"provenance"}:
            np.testing.assert_array_equal(one[name][...], other[name][...])


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A run of four epochs, whose learning rate drops after 2, 3 and, too late, 4 of them."""
    folder = tmp_path_factory.mktemp("runs")
    assert main([*FAST, "--epochs=4", f"--run={folder}/run", f"--out={folder}/last.pt"]) == 0
    return folder / "run"


def test_a_run_fills_its_folder(done):
    epochs = [f"epoch_000{k}.pt" for k in range(5)]
    assert sorted(os.listdir(done)) == [*epochs, "log.csv", "resume.pt", "weights.h5"]
    records = [read_checkpoint(done / name).record for name in epochs]
    assert [record["epoch"] for record in records] == [0, 1, 2, 3, 4]
    lrs = [0.02, 0.02, 0.02, 0.002, 0.0002]
    assert [record["lr"] for record in records] == pytest.approx(lrs)
    assert {type(record["lr"]) for record in records} == {float}
    assert_same_weights(weights_of(done / "epoch_0004.pt"), weights_of(done.parent / "last.pt"))
    torch.manual_seed(0)
    before = build_network("feedforward4", sample=Sample("image", (1, 8, 8), 10)).state_dict()
    assert_same_weights(weights_of(done / "epoch_0000.pt"), before)


def test_all_it_writes_says_who_made_it_and_where(done):
    wanted = {"user": getpass.getuser(), "host": socket.gethostname()}
    for path in (done / "epoch_0000.pt", done / "epoch_0004.pt", done.parent / "last.pt"):
        made = read_checkpoint(path).record["provenance"]
        assert wanted.items() <= made.items()
        assert made["command"].startswith("python -m landscape_mpi.train")
    with h5py.File(done / "weights.h5") as file:
        assert wanted.items() <= dict(file["provenance"].attrs).items()


def test_the_log_has_a_row_for_each_epoch(done):
    rows = log_of(done)
    assert list(rows[0]) == [
        *("epoch", "lr", "train_loss", "train_error", "test_loss", "test_error", "seconds"),
        "weight_norm",
    ]
    told = torch.load(done.parent / "last.pt", weights_only=True)["history"]
    for row, epoch in zip(rows, told, strict=True):
        state = weights_of(done / f"epoch_000{row['epoch']}.pt")
        norm = np.sqrt(sum((w.double() ** 2).sum().item() for w in state.values() if w.ndim > 1))
        assert float(row["weight_norm"]) == pytest.approx(norm)
        assert {name: float(row[name]) for name in epoch} == epoch


def test_the_weights_file_has_a_row_for_each_epoch_and_one_before(done):
    with h5py.File(done / "weights.h5") as file:
        assert file["epoch"][...].tolist() == [0, 1, 2, 3, 4]
        assert dict(file.attrs)["model"] == "feedforward4"
        for epoch, norms in enumerate(file["parameter_norms"]):
            state = weights_of(done / f"epoch_000{epoch}.pt")
            names = file["parameter_names"].asstr()[...]
            expected = [state[name].double().norm().item() for name in names]
            np.testing.assert_allclose(norms, expected)
            weights = np.concatenate([w.numpy().ravel() for w in state.values() if w.ndim > 1])
            low, high = file["histogram_edges"][epoch, [150, 160]]
            counted = file["histogram"][epoch, 150:160].sum()
            assert counted == pytest.approx(np.sum((weights > low) & (weights < high)), abs=2)


@pytest.mark.parametrize(
    ("words", "epochs"), [("every:3", [0, 3, 4]), ("4,1", [1, 4]), ("all", [0, 1, 2, 3, 4])]
)
def test_only_epochs_asked_for_are_kept(tmp_path, words, epochs, done):
    main([*FAST, "--epochs=4", f"--run={tmp_path}", f"--save-epochs={words}"])
    kept = [int(name[6:10]) for name in sorted(os.listdir(tmp_path)) if name.startswith("epoch")]
    assert kept == epochs
    assert_same_weights(weights_of(tmp_path / "epoch_0004.pt"), weights_of(done / "epoch_0004.pt"))
    assert log_of(tmp_path)[-1]["test_loss"] == log_of(done)[-1]["test_loss"]


# Going on.


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """A folder with a network of one's own, and a run of it that nobody disturbs."""
    folder = tmp_path_factory.mktemp("slow")
    (folder / "hook_slow.py").write_text(RANDOM)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main([*SLOW, "--run=whole"]) == 0
    return folder


def environment():
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.environ | {"PYTHONPATH": root}


def start(folder, variables, *arguments):
    command = [sys.executable, "-m", "landscape_mpi.train", *SLOW, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment() | variables, **pipes)


def held_after(n_epochs, folder):
    """Return a file that a run makes in its next epoch, and variables that let it wait there."""
    held = folder / f"held in epoch {n_epochs + 1}"
    return held, {"HELD": str(held), "AT": str(BATCHES * n_epochs + 2)}


def wait_for(held, process):
    end = time.monotonic() + LIMIT_S
    while not held.exists():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_run_goes_on_with_the_same_bits(undisturbed, tmp_path, monkeypatch, capsys):
    held, variables = held_after(3, tmp_path)
    process = start(undisturbed, variables, "--run=killed")
    wait_for(held, process)
    process.kill()
    process.communicate()
    monkeypatch.chdir(undisturbed)
    assert main([*SLOW, "--run=killed", "--out=last.pt"]) == 0
    told = capsys.readouterr().out
    assert "\nresuming: 3 of 5 epochs are done\nepoch 4/5" in told
    assert told.endswith("plot --weights killed\nwrote last.pt\n")
    for left in (undisturbed / "killed").glob(".*"):
        left.unlink()  # of a file that the kill cut off
    assert_same_run(undisturbed / "whole", undisturbed / "killed")
    history = torch.load(undisturbed / "last.pt", weights_only=True)["history"]
    assert [row["epoch"] for row in history] == [1, 2, 3, 4, 5]


def test_a_signal_ends_it_after_the_epoch_in_hand(undisturbed, tmp_path, monkeypatch, capsys):
    held, variables = held_after(2, tmp_path)
    process = start(undisturbed, variables, "--run=signalled", "--out=signalled.pt")
    wait_for(held, process)
    process.send_signal(signal.SIGTERM)
    told, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == EXIT_REQUEUE
    words = "stopped by SIGTERM with 3 of 5 epochs done; run the same command again to continue\n"
    assert told.endswith(words)
    assert not (undisturbed / "signalled.pt").exists()
    monkeypatch.chdir(undisturbed)
    assert main([*SLOW, "--run=signalled"]) == 0
    assert capsys.readouterr().out.count("\nepoch ") == 2
    assert_same_run(undisturbed / "whole", undisturbed / "signalled")


def test_a_run_that_is_done_says_so_and_writes_its_last_weights_again(done, tmp_path, capsys):
    before = (done / "resume.pt").read_bytes()
    assert main([*FAST, "--epochs=4", f"--run={done}", f"--out={tmp_path}/again.pt"]) == 0
    assert "resuming: 4 of 4 epochs are done\ndone: " in capsys.readouterr().out
    assert_same_weights(weights_of(tmp_path / "again.pt"), weights_of(done / "epoch_0004.pt"))
    assert (done / "resume.pt").read_bytes() == before


def test_another_number_of_threads_is_said(tmp_path, capsys, monkeypatch):
    from landscape_mpi.jobs.training import run

    monkeypatch.setattr(run.Training, "write_last", None)
    argv = [*FAST[:-1], "--epochs=2", f"--run={tmp_path}/r"]
    stopped = iter([True])
    with monkeypatch.context() as patch:
        train_epochs = run.train_epochs
        patch.setattr(
            run,
            "train_epochs",
            lambda job, processes, **words: train_epochs(
                job, processes, **(words | {"stopped": lambda: next(stopped)})
            ),
        )
        assert main([*argv, "--threads=1"]) == EXIT_REQUEUE
    assert main([*argv, "--threads=2"]) == 0
    torch.set_num_threads(1)
    words = "resuming: 1 of 2 epochs are done; the last bits will differ, since it ran with threads"
    assert f"{words} 1, now 2\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("option", "was", "now"),
    [
        ("--lr=0.01", "--lr 0.02", "--lr 0.01"),
        ("--model=cnn1", "--model feedforward4", "--model cnn1"),
        ("--epochs=5", "--epochs 4", "--epochs 5"),
        ("--seed=1", "--seed 0", "--seed 1"),
        ("--no-nesterov", "--nesterov", "--no-nesterov"),
        ("--optimizer=adam", "--optimizer sgd", "--optimizer adam"),
        ("--lr-drops=none", "--lr-drops 2,3,4", "--lr-drops none"),
        ("--std=0.5", "--std 0.354299", "--std 0.5"),
    ],
)
def test_another_recipe_is_refused_with_both(done, option, was, now):
    text = refusal(*FAST, "--epochs=4", f"--run={done}", option)
    assert text == (
        f"{done}/resume.pt: was started with {was}, but this command has {now}. A run has one "
        f"recipe: pass {was}, another --run, or --fresh to start over."
    )


def test_other_data_and_another_network_of_the_same_name_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(label):
        images = np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8, 1)
        np.savez("mine.npz", images=images, labels=np.arange(20) % 4 ^ label)

    write(0)
    text = "from torch import nn\ndef build():\n    return nn.Sequential(nn.Flatten(), {})\n"
    (tmp_path / "hook_two.py").write_text(text.format("nn.Linear(64, 4)"))
    run = ["--model=hook_two:build", "--data=npz:mine.npz", "--epochs=1", "--run=r"]
    assert main(run) == 0
    write(1)
    text_of_data = refusal(*run)
    assert "r/resume.pt: was started with data of SHA-256 " in text_of_data
    assert "A run has one training set: pass its --data-dir, another --run, or" in text_of_data
    write(0)
    sys.modules.pop("hook_two")
    (tmp_path / "hook_two.py").write_text(text.format("nn.Linear(64, 8), nn.Linear(8, 4)") + "\n\n")
    sys.dont_write_bytecode = True
    assert refusal(*run) == (
        "--run: its weights do not fit --model hook_two:build: 1.weight is [4, 64] there and "
        "[8, 64] in the network. Build the network as before, or pass --fresh to start over."
    )


def test_fresh_starts_over_and_leaves_other_files(done, tmp_path):
    run = [*FAST, f"--run={tmp_path}/r"]
    assert main([*run, "--epochs=3"]) == 0
    (tmp_path / "r/notes.txt").write_text("mine")
    assert main([*run, "--epochs=1", "--fresh"]) == 0
    kept = ["epoch_0000.pt", "epoch_0001.pt", "log.csv", "notes.txt", "resume.pt", "weights.h5"]
    assert sorted(os.listdir(tmp_path / "r")) == kept


def test_the_same_seed_gives_the_same_bits(done, tmp_path):
    assert main([*FAST, "--epochs=4", f"--run={tmp_path}/again"]) == 0
    assert_same_run(done, tmp_path / "again")


# Options that reach the recipe.


def test_the_last_weights_may_go_into_the_folder_that_the_run_makes(tmp_path):
    run = tmp_path / "new"
    assert main([*FAST, "--epochs=1", f"--run={run}", f"--out={run}/last.pt"]) == 0
    assert_same_weights(weights_of(run / "last.pt"), weights_of(run / "epoch_0001.pt"))


def test_label_noise_is_counted_and_recorded(tmp_path, capsys):
    run = [*FAST, "--epochs=1", "--label-noise=0.2", f"--out={tmp_path}/a.pt"]
    assert main(run) == 0
    said = capsys.readouterr().out
    assert "\n288 training labels are replaced by other classes\n" in said
    assert re.search(r"\nalways answering .* class .*: train \d\d\.\d\d %, test \d\d\.", said)
    record = read_checkpoint(tmp_path / "a.pt").record
    assert (record["n_labels_replaced"], record["options"]["label_noise"]) == (288, 0.2)


def test_a_batch_of_more_than_there_is(tmp_path, capsys):
    assert main([*FAST, "--epochs=2", "--batch-size=8192", f"--out={tmp_path}/a.pt"]) == 0
    assert (
        "\n--batch-size 8192: there are 1,438 training images, so every step uses all of them, "
        "and an epoch is one step\n"
    ) in capsys.readouterr().out


def test_all_options_of_the_recipe_are_used(tmp_path):
    first = weights_of_run(tmp_path)
    for options in (
        ["--optimizer=adam", "--lr=0.02"],
        ["--momentum=0.5"],
        ["--no-nesterov"],
        ["--weight-decay=0.1"],
        ["--l1=0.01"],
        ["--l2=0.01"],
        ["--lr-drops=none"],
        ["--precision=bf16"],
        ["--label-noise=0.1"],
        ["--batch-size=64"],
        ["--augment=crop-flip"],
    ):
        other = weights_of_run(tmp_path, *options)
        assert not torch.equal(first, other), options
    assert torch.equal(first, weights_of_run(tmp_path, "--lr-drops=1/2,3/4,11/12"))


def weights_of_run(folder, *options):
    assert main([*FAST, "--epochs=2", f"--out={folder}/a.pt", *options]) == 0
    return next(iter(weights_of(folder / "a.pt").values()))


def test_defaults_of_the_optimizers():
    options = parse([*FAST[:2], "--out=a.pt"])
    assert (options.lr, options.momentum, options.nesterov) == (0.1, 0.9, True)
    assert parse([*FAST[:2], "--out=a.pt", "--optimizer=adam"]).lr == 0.001
    assert not parse([*FAST[:2], "--out=a.pt", "--momentum=0"]).nesterov


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (
            [],
            "neither --run nor --out is given, so the weights would be lost. Pass --run DIR for "
            "a folder of all epochs, ",
        ),
        (
            ["--out=a.pt", "--fresh"],
            "--fresh applies only to the folder of --run. Pass --run DIR too.",
        ),
        (
            ["--out=a.pt", "--save-epochs=all"],
            "--save-epochs all applies only to the folder of --run.",
        ),
        (
            ["--out=a.pt", "--optimizer=adam", "--momentum=0.5"],
            "--momentum 0.5 applies only to --optimizer",
        ),
        (
            ["--out=a.pt", "--optimizer=adam", "--no-nesterov"],
            "--nesterov applies only to --optimizer sgd",
        ),
        (["--out=a.pt", "--label-noise=1.5"], "--label-noise: '1.5' is above 1."),
        (
            ["--out=a.pt", "--lr-drops=0.5,x"],
            "--lr-drops: '0.5,x' is neither none, nor epochs such as ",
        ),
        (
            ["--out=a.pt", "--lr-drops=1.5"],
            "--lr-drops: '1.5' is neither none, nor epochs such as 150",
        ),
        (
            ["--out=a.pt", "--lr-drops=1/0"],
            "--lr-drops: '1/0' is neither none, nor epochs such as 150",
        ),
        (["--out=a.pt", "--lr-drops=500"], "--lr-drops 500: --epochs is 300, so this drop would"),
        (["--run=r", "--save-epochs=some"], "--save-epochs: 'some' is neither all, nor every:N "),
        (["--run=r", "--save-epochs=every:0"], "--save-epochs: 'every:0' is neither all, nor ev"),
        (
            ["--run=r", "--save-epochs=0,301"],
            "--save-epochs: epoch 301 never comes, because --epochs is ",
        ),
    ],
)
def test_options_that_cannot_be(options, text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert text in refusal(*FAST, *options)
    assert os.listdir(tmp_path) == []


# The folder.


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "epoch_0007.pt").write_text("weights")
    (tmp_path / "notes.txt").write_text("mine")
    assert refusal(*FAST, f"--run={tmp_path}") == (
        f"--run: {tmp_path} holds epoch_0007.pt, notes.txt, but no resume.pt to continue from. "
        "Name a new folder, or pass --fresh to remove a run's files from this one."
    )
    assert sorted(os.listdir(tmp_path)) == ["epoch_0007.pt", "notes.txt"]


def test_a_run_killed_before_its_first_epoch_was_written_begins(tmp_path):
    for name in ("epoch_0000.pt", ".weights.h5.1.partial"):
        (tmp_path / name).write_text("")
    assert main([*FAST, "--epochs=1", f"--run={tmp_path}"]) == 0


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    text = refusal(*FAST, f"--run={tmp_path}/file")
    assert (
        text == f"--run: {tmp_path}/file cannot be made (File exists). Name a folder of your own."
    )


@pytest.mark.parametrize(
    "content",
    [
        b"PK, cut off",
        {"format": "another"},
        {"format": "landscape_mpi training run", "format_version": 2},
    ],
)
def test_a_damaged_run_is_not_gone_on_from(tmp_path, content):
    if isinstance(content, dict):
        torch.save(content, tmp_path / "resume.pt")
    else:
        (tmp_path / "resume.pt").write_bytes(content)
    assert refusal(*FAST, f"--run={tmp_path}") == (
        f"{tmp_path}/resume.pt: is damaged, or of another version of this command, so the run "
        "cannot continue from it. Pass --fresh to start over, or another --run."
    )
    assert main([*FAST, "--epochs=1", f"--run={tmp_path}", "--fresh"]) == 0


def test_a_changed_number_in_the_state_of_a_run_is_refused(tmp_path):
    assert main([*FAST, "--epochs=1", f"--run={tmp_path}"]) == 0
    path = tmp_path / "resume.pt"
    data = bytearray(path.read_bytes())
    network = torch.load(path, weights_only=True)["state"]["network"]
    values = next(iter(network.values())).numpy().tobytes()
    data[data.index(values[:16]) + 1] ^= 1
    path.write_bytes(data)
    torch.load(path, weights_only=True)  # torch does not notice
    assert f"{path}: is damaged, or of another version" in refusal(*FAST, f"--run={tmp_path}")


def test_a_state_without_a_version_is_continued(tmp_path, capsys):
    options = [*FAST, "--epochs=1", f"--run={tmp_path}"]
    assert main(options) == 0
    content = torch.load(tmp_path / "resume.pt", weights_only=True)
    assert content.pop("format_version") == 1
    torch.save(content, tmp_path / "resume.pt")
    capsys.readouterr()
    assert main(options) == 0
    assert "resuming: 1 of 1 epochs are done" in capsys.readouterr().out


def test_two_runs_in_one_folder(tmp_path):
    first = RunFolder(tmp_path)
    words = f"{tmp_path}/resume.pt: another run is writing it (process {os.getpid()} on "
    assert refusal(*FAST, f"--run={tmp_path}").startswith(words)
    first.release()


# The terminal.


def test_a_bar_on_a_terminal(tmp_path):
    outer, inner = pty.openpty()
    termios.tcsetwinsize(inner, (24, 100))
    command = [sys.executable, "-m", "landscape_mpi.train", *FAST, "--epochs=2", "--out=a.pt"]
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment(), stderr=inner, stdout=subprocess.PIPE, text=True
    )
    shown = os.read(outer, 100_000).decode()
    os.close(inner)
    os.close(outer)
    assert ended.returncode == 0
    assert "epoch 1/2:   0%|" in shown
    assert "epoch 2/2:   0%|" in shown
    assert "/12 [" in shown
    assert ended.stdout.count("\nepoch ") == 2


# Ranks.

ON_RANKS = [*FAST, "--epochs=2"]


def test_ranks_share_every_batch(on_ranks, tmp_path):
    """Batches of 479, and a last one of 1, which leaves two ranks without samples."""
    batches = [*ON_RANKS, "--batch-size=479", "--augment=crop-flip", "--l2=0.001"]
    assert main([*batches, f"--run={tmp_path}/alone"]) == 0
    told = on_ranks(3, ["landscape_mpi.train", *batches, f"--run={tmp_path}/ranks"], check=True)
    assert "; CPU, threads: 1; 3 ranks\n" in told.stdout
    assert told.stdout.count("epoch 1/2") == 1
    assert sorted(os.listdir(tmp_path / "ranks")) == sorted(os.listdir(tmp_path / "alone"))
    for alone, ranks in zip(log_of(tmp_path / "alone"), log_of(tmp_path / "ranks"), strict=True):
        for name in ("train_loss", "test_loss", "train_error", "test_error", "weight_norm"):
            assert float(ranks[name]) == pytest.approx(float(alone[name]), rel=1e-5)


def test_ranks_go_on_with_the_same_bits_and_keep_the_statistics_of_rank_0(
    on_ranks, start_mpiexec, undisturbed, tmp_path
):
    settings = {"cwd": undisturbed}
    on_ranks(2, ["landscape_mpi.train", *SLOW, "--run=both"], check=True, **settings)
    words = ["landscape_mpi.train", *SLOW, "--run=stopped"]
    held, variables = held_after(2, tmp_path)
    process = start_mpiexec(2, words, env=variables, **settings)
    wait_for(held, process)
    process.send_signal(signal.SIGUSR1)
    told = process.communicate(timeout=LIMIT_S)[0]
    assert process.returncode == EXIT_REQUEUE, told
    assert "stopped by SIGUSR1 with 3 of 5 epochs done" in told
    on_ranks(2, words, check=True, **settings)
    assert_same_run(undisturbed / "both", undisturbed / "stopped")
    last = weights_of(undisturbed / "both/epoch_0005.pt")
    assert last["2.num_batches_tracked"] == 5 * 5
    # The loss told is that of the weights and statistics written.
    row = torch.load(undisturbed / "both/resume.pt", weights_only=True)["epochs"][-1]
    assert row["test_loss"] == pytest.approx(test_loss_of(undisturbed, last), rel=1e-4)


def test_loss_of(folder, state):
    from landscape_mpi.zoo.datasets import load_dataset

    namespace = {}
    exec((folder / "hook_slow.py").read_text(), namespace)
    network = namespace["build"]().eval()
    network.load_state_dict(state)
    data = load_dataset("digits")
    split = data.splits["test"]
    inputs = torch.from_numpy((split.inputs / 255 - data.mean) / data.std).permute(0, 3, 1, 2)
    with torch.no_grad():
        logits = network(inputs.float())
    return torch.nn.functional.cross_entropy(logits, torch.from_numpy(split.targets)).item()


test_loss_of.__test__ = False


def test_bad_input_is_said_once_by_ranks(on_ranks, tmp_path):
    for options in (["--model=resnet9"], ["--lr=1e30"]):
        told = on_ranks(2, ["landscape_mpi.train", *ON_RANKS, f"--run={tmp_path}/r", *options])
        assert told.returncode == EXIT_BAD_INPUT
        assert told.stderr.count("error: --") == 1, told.stderr
        assert "Traceback" not in told.stderr


BAD = {
    "--model": "def build(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), Bad())\n",
    "--problem": "import torch\nfrom landscape_mpi import Problem\n"
    "def build():\n"
    "    batches = [(torch.ones(4, 64), torch.zeros(4, dtype=torch.int64))] * 4\n"
    "    network = nn.Sequential(nn.Linear(64, 10), Bad())\n"
    "    return Problem(network, batches, lambda net, b: nn.functional.cross_entropy("
    "net(b[0]), b[1], reduction='none'))\n",
}


@pytest.mark.parametrize("option", BAD)
def test_an_error_on_one_rank_ends_all(option, on_ranks, tmp_path):
    """In good order: MPI_Abort would end these ranks with another status."""
    (tmp_path / "hook_bad.py").write_text(
        "from torch import nn\nfrom mpi4py import MPI\n"
        "class Bad(nn.Module):\n"
        "    def forward(self, inputs):\n"
        "        if self.training and MPI.COMM_WORLD.rank == 1: raise ArithmeticError('here')\n"
        "        return inputs\n"
        f"{BAD[option]}"
    )
    data = ["--data=digits"] if option == "--model" else []
    words = [f"{option}=hook_bad:build", *data, "--device=cpu", f"--run={tmp_path}/r"]
    told = on_ranks(2, ["landscape_mpi.train", *words], cwd=tmp_path)
    assert told.returncode == EXIT_BAD_INPUT
    assert re.search(r"^\[1/2 \S+\] error: .*ArithmeticError: here ", told.stderr, re.MULTILINE)
    assert told.stderr.count("Traceback") == 1


def test_alone_needs_no_mpi(tmp_path):
    code = (
        "import sys; sys.modules['mpi4py'] = None; import runpy; sys.argv[0] = 'train'\n"
        "runpy.run_module('landscape_mpi.train', run_name='__main__')"
    )
    command = [sys.executable, "-c", code, *FAST, "--epochs=1", f"--run={tmp_path}/r"]
    outer = ("OMPI_", "PMIX_", "PMI_")  # variables of this process's own MPI
    alone = {name: value for name, value in environment().items() if not name.startswith(outer)}
    assert subprocess.run(command, env=alone, check=False).returncode == 0


def test_deterministic_algorithms_are_asked_for(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", False)
    make_deterministic(CPU)
    assert torch.backends.cudnn.deterministic
    assert not torch.are_deterministic_algorithms_enabled()
    make_deterministic(CudaDevice(0))
    assert torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(False)


def test_a_checkpoint_of_a_run_fits_its_network(done):
    network = build_network("feedforward4", sample=Sample("image", (1, 8, 8), 10))
    load_state(network, read_checkpoint(done / "epoch_0002.pt"))
