"""Oracles: a loop over images and members in float64 that reads the files by torch alone; a run
that nobody disturbs beside one that is stopped and one on several ranks; the sentences.
"""

import getpass
import math
import os
import shutil
import socket
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from csv_rows import rows_of
from pytest_mpi import parallel_assert
from refusals import refused
from torch import nn

from landscape_mpi import train
from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.command import request_of
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.engine.gathering import gather_processes
from landscape_mpi.engine.processes import Processes
from landscape_mpi.ensemble import main, parse
from landscape_mpi.jobs.ensemble import run as cycles
from landscape_mpi.jobs.ensemble.comparison import TaskEvaluator
from landscape_mpi.jobs.ensemble.ensemble_messages import say_comparison
from landscape_mpi.jobs.ensemble.inputs import read_solutions, set_up
from landscape_mpi.jobs.ensemble.request import EnsembleRequest
from landscape_mpi.jobs.ensemble.tasks import Task, evaluate_tasks, share_out
from landscape_mpi.jobs.training.inputs import gather_inputs
from landscape_mpi.jobs.training.run import train_epochs
from landscape_mpi.store.ensemble import read_ensemble
from landscape_mpi.zoo.datasets import load_dataset

NETWORK = """
from torch import nn

def build():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2),
        nn.Linear(144, 10),
    )
"""
MODEL = ["--model=hook_members:build", "--data=digits", "--device=cpu", "--threads=1"]
# 1,438 images in batches of 100: 15 iterations an epoch, 20 in a cycle.
CYCLES = [*MODEL, "--epochs=4", "--cycle=1.33", "--lr=0.05", "--lr-low=0.001", "--batch-size=100"]
MINIMA = [10, 30, 50]
COMPARED = ["--single=single.pt", "--independent", "a.pt", "b.pt"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a network of one's own, trained, and an ensemble that nobody disturbed."""
    folder = tmp_path_factory.mktemp("ensembles")
    (folder / "hook_members.py").write_text(NETWORK)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        for name, epochs, seed in (("start", 2, 1), ("single", 5, 1), ("a", 2, 2), ("b", 3, 3)):
            out = [f"--out={name}.pt", f"--epochs={epochs}", f"--seed={seed}", "--lr=0.05"]
            assert train.main([*MODEL, *out]) == 0
        assert main([*CYCLES, "--start=start.pt", "--run=whole", *COMPARED]) == 0
    yield folder
    sys.modules.pop("hook_members", None)


@pytest.fixture
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def network_of(state):
    namespace = {}
    exec(NETWORK, namespace)
    network = namespace["build"]()
    network.load_state_dict(state)
    return network.eval()


def state_of(path):
    return torch.load(path, weights_only=True)["state_dict"]


def inputs_of(split):
    data = load_dataset("digits")
    images = (data.splits[split].inputs / 255 - data.mean) / data.std
    return torch.from_numpy(images).permute(0, 3, 1, 2), data.splits[split].targets


def probabilities_of(path):
    """In double precision, image by image."""
    network = network_of(state_of(path)).double()
    with torch.no_grad():
        outputs = network(inputs_of("test")[0])
    exponentials = np.exp(outputs.numpy())
    return exponentials / exponentials.sum(axis=1, keepdims=True)


def worth(prediction):
    targets = inputs_of("test")[1]
    loss = -math.fsum(math.log(p[t]) for p, t in zip(prediction, targets, strict=True))
    wrong = sum(int(np.argmax(p)) != t for p, t in zip(prediction, targets, strict=True))
    return loss / len(targets), 100 * wrong / len(targets)


def comparison_of(folder):
    return {row["name"]: row for row in rows_of(folder / "comparison.csv")}


def test_a_run_fills_its_folder(folder):
    names = ["comparison.csv", "ensemble.h5", "member_001.pt", "member_002.pt", "member_003.pt"]
    assert sorted(os.listdir(folder / "whole")) == [*names, "resume.pt", "swa.pt"]
    records = [torch.load(folder / "whole" / name, weights_only=True) for name in names[2:]]
    assert [record["iteration"] for record in records] == MINIMA
    assert [record["epoch"] for record in records] == pytest.approx([2 + i / 15 for i in MINIMA])
    assert [record["lr"] for record in records] == pytest.approx([0.001] * 3)


def test_all_it_writes_says_who_made_it_and_where(folder):
    wanted = {"user": getpass.getuser(), "host": socket.gethostname()}
    for name in ("member_001.pt", "swa.pt"):
        made = torch.load(folder / "whole" / name, weights_only=True)["provenance"]
        assert wanted.items() <= made.items()
        assert made["command"].startswith("python -m landscape_mpi.ensemble")
    with h5py.File(folder / "whole/ensemble.h5") as file:
        assert wanted.items() <= dict(file["provenance"].attrs).items()


def test_the_trace_is_what_the_members_are(folder):
    trace = read_ensemble(folder / "whole").tables["trace"]
    np.testing.assert_array_equal(trace["iteration"], range(0, 61, 5))
    np.testing.assert_allclose(trace["lr"], [0.05, 0.0255, 0.001, 0.0255] * 3 + [0.05])
    rows = np.flatnonzero(trace["collected"])
    assert trace["iteration"][rows].tolist() == MINIMA
    start = network_of(state_of(folder / "start.pt"))
    for number, row in enumerate(rows, start=1):
        member = network_of(state_of(folder / f"whole/member_00{number}.pt"))
        pairs = zip(member.parameters(), start.parameters(), strict=True)
        square = math.fsum(((a - b).double() ** 2).sum().item() for a, b in pairs)
        assert trace["distance"][row] == pytest.approx(math.sqrt(square), rel=1e-6)
        loss, error = worth(probabilities_of(folder / f"whole/member_00{number}.pt"))
        assert trace["test_loss"][row] == pytest.approx(loss, rel=1e-4)
        assert trace["test_error"][row] == pytest.approx(error)
    assert trace["distance"][0] == 0
    assert trace["test_loss"][0] == pytest.approx(worth(probabilities_of(folder / "start.pt"))[0])


def test_the_comparison_is_that_of_a_plain_loop(folder):
    members = [probabilities_of(folder / f"whole/member_00{k}.pt") for k in (1, 2, 3)]
    others = [probabilities_of(folder / name) for name in ("a.pt", "b.pt")]
    rows, content = comparison_of(folder / "whole"), read_ensemble(folder / "whole")
    expected = {
        "one network": (1, "5.0", worth(probabilities_of(folder / "single.pt"))),
        "mean FGE member": (1, "", np.mean([worth(one) for one in members], axis=0)),
        "last FGE member": (1, "6.0", worth(members[-1])),
        "FGE ensemble": (3, "6.0", worth((members[0] + members[1] + members[2]) / 3)),
        "SWA of its members": (1, "6.0", worth(probabilities_of(folder / "whole/swa.pt"))),
        "mean independent": (1, "2.5", np.mean([worth(one) for one in others], axis=0)),
        "independent ensemble": (2, "5.0", worth((others[0] + others[1]) / 2)),
    }
    assert list(rows) == list(expected) == content.tables["comparison"]["name"].tolist()
    for name, (n, epochs, (loss, error)) in expected.items():
        assert (rows[name]["networks"], rows[name]["epochs"]) == (str(n), epochs)
        assert float(rows[name]["test_loss"]) == pytest.approx(loss, rel=1e-4)
        assert float(rows[name]["test_error"]) == pytest.approx(error)
    table = content.tables["member"]
    for k in (1, 2, 3):
        loss, error = worth(sum(members[:k]) / k)
        assert table["ensemble_test_loss"][k - 1] == pytest.approx(loss, rel=1e-4)
        assert table["ensemble_test_error"][k - 1] == pytest.approx(error)


@pytest.mark.parametrize("alone", [True, False])
def test_the_rows_of_the_comparison_are_explained(alone, capsys):
    rows = [("FGE ensemble", 2, math.nan, 0.25, 12.5), ("one network", 1, 5.0, 0.5, 100.0)]
    columns = ("name", "networks", "epochs", "test_loss", "test_error")
    values = zip(*rows[: 1 if alone else 2], strict=True)
    table = {name: np.array(column) for name, column in zip(columns, values, strict=True)}
    say_comparison(table, Path("fge"))
    first, head, row, *_, last = (lines := capsys.readouterr().out.splitlines())
    assert first.startswith("on the test split; epochs are the total from the beginning")
    assert head == "              networks  epochs  test loss  test error"
    assert row == "FGE ensemble         2             0.2500     12.50 %"
    assert any("SWA: the members' weights, averaged" in line for line in lines)
    hint = "repeat the command with --single FILE or --independent FILE ... to compare"
    assert any(hint in line for line in lines) == alone
    assert last == "done: fge; next: python -m landscape_mpi.plot --ensemble fge"


def test_the_average_of_weights_has_statistics_of_its_own(folder):
    swa = state_of(folder / "whole/swa.pt")
    states = [state_of(folder / f"whole/member_00{k}.pt") for k in (1, 2, 3)]
    for name, values in swa.items():
        if name.endswith(("weight", "bias")):
            mean = sum(state[name].double() for state in states) / 3
            torch.testing.assert_close(values.double(), mean, rtol=1e-6, atol=1e-8)
    convolution = network_of(swa)[0].double()
    images = inputs_of("train")[0]  # as they are: nothing cropped, nothing flipped
    with torch.no_grad():
        expected = convolution(images).mean(dim=(0, 2, 3))
    torch.testing.assert_close(swa["1.running_mean"].double(), expected, rtol=1e-5, atol=1e-6)
    running = sum(state["1.running_mean"].double() for state in states) / 3
    assert not torch.allclose(running, expected, rtol=1e-3)


def assert_same(first, second):
    assert sorted(os.listdir(first)) == sorted(os.listdir(second))
    for name in (*(f"member_00{k}.pt" for k in (1, 2, 3)), "swa.pt"):
        one, other = state_of(first / name), state_of(second / name)
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert (first / "comparison.csv").read_bytes() == (second / "comparison.csv").read_bytes()
    one, other = read_ensemble(first), read_ensemble(second)
    for table, columns in one.tables.items():
        for name, values in columns.items():
            np.testing.assert_array_equal(other.tables[table][name], values)


def test_a_stopped_run_goes_on_with_the_same_bits(inside, capsys):
    words = [*CYCLES, "--start=start.pt", "--run=stopped", *COMPARED]
    asked, processes = request_of(EnsembleRequest, parse(words)), Processes()
    device = processes.take_device("cpu", 1)
    for n_done in (1, 2):
        inputs = gather_inputs(asked.training, processes)
        solutions = read_solutions(asked, inputs, processes)
        with set_up(asked, inputs, solutions, device, processes) as cycling:
            cycles.begin_or_resume(cycling, processes)
            stopped = train_epochs(
                cycling,
                processes,
                stopped=lambda: True,
                say=lambda _: None,
                on_batch=cycling.after_step,
            )
            assert (stopped, cycling.trainer.n_done) == (False, n_done)
        assert sorted(read_ensemble(inside / "stopped").tables) == ["trace"]
    assert main(words) == 0
    assert "resuming: 2 of 4 epochs are done\n" in capsys.readouterr().out
    assert_same(inside / "whole", inside / "stopped")


def test_ranks_evaluate_the_members_with_the_same_bits(inside, on_ranks):
    shutil.copytree(inside / "whole", inside / "on_ranks")
    for name in ("comparison.csv", "swa.pt"):
        (inside / "on_ranks" / name).unlink()
    words = ["landscape_mpi.ensemble", *CYCLES, "--start=start.pt", "--run=on_ranks", *COMPARED]
    told = on_ranks(2, words, cwd=inside, check=True)
    assert "resuming: 4 of 4 epochs are done\n" in told.stdout
    assert_same(inside / "whole", inside / "on_ranks")


def test_the_same_command_compares_with_others(inside, capsys):
    shutil.copytree(inside / "whole", inside / "others")
    assert main([*CYCLES, "--start=start.pt", "--run=others", "--independent", "a.pt"]) == 0
    rows = comparison_of(inside / "others")
    assert "one network" not in rows
    assert rows["independent ensemble"]["networks"] == "1"
    assert rows["FGE ensemble"] == comparison_of(inside / "whole")["FGE ensemble"]


@pytest.mark.parallel([1, 2, 4])
def test_any_number_of_ranks_gives_the_same_predictions():
    torch.manual_seed(0)
    networks = [nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval() for _ in range(3)]
    network = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)).eval()
    states = [network.state_dict() | {"2.weight": other[1].weight.detach()} for other in networks]
    tasks = [*map(Task, states), Task(states[0], averaged=True)]
    data, processes, cpu = (
        load_dataset("digits"),
        gather_processes(start_ranks()),
        CPU,
    )
    processes.take_device("cpu", None)
    asked = tasks if processes.is_root else None
    found = evaluate_tasks(asked, lambda: TaskEvaluator(network, data, cpu), processes)
    alone = TaskEvaluator(network, data, cpu)
    if not processes.is_root:
        parallel_assert(found is None)
        return
    expected = [alone.evaluate(task) for task in tasks]
    pairs = zip(found, expected, strict=True)
    same = [one.prediction.tobytes() == other.prediction.tobytes() for one, other in pairs]
    statistics = [outcome[-1].state["1.running_mean"] for outcome in (found, expected)]
    parallel_assert(all(same) and torch.equal(*statistics))


def test_tasks_are_shared_out_evenly():
    assert share_out([1, 1, 1, 5], 2) == [[3], [0, 1, 2]]
    assert share_out([2, 2], 3) == [[0], [1], []]
    assert share_out([1, 1, 1], 1) == [[0, 1, 2]]


def refusal(*arguments):
    return refused(main, [*CYCLES, *arguments])


def test_bad_input_is_one_message_and_nothing_is_written(inside):
    before = sorted(os.listdir(inside))
    start = ["--start=start.pt", "--run=new"]
    assert refusal("--run=new").endswith(
        "arguments are required: --start. See python -m landscape_mpi.ensemble --help."
    )
    assert refusal(*start, "--lr-low=0.05") == (
        "--lr-low 0.05 is not below --lr 0.05, but each cycle goes down from --lr to --lr-low and "
        "back. Pass a smaller --lr-low."
    )
    assert refusal(*start, "--cycle=10") == (
        "--epochs 4: the learning rate reaches its first minimum, where a member is collected, "
        "only after 5 epochs, with cycles of 10. Pass more --epochs, or a shorter --cycle."
    )
    assert "'1e308' is more than 100,000 epochs" in refusal(*start, "--cycle=1e308")
    assert "'1000000000' is not a whole number from 1 to 100,000" in refusal(
        *start, "--epochs=1000000000"
    )
    assert "'1000000000' is not a whole number from 1 to 1,000" in refusal(
        *start, "--measures=1000000000"
    )
    assert refusal(*start, "--epochs=100000", "--cycle=0.001", "--batch-size=1") == (
        "--epochs 100000: in cycles of 0.001 epochs, 71,900,000 members would be collected, but "
        "at most 1,000 are allowed, because each is a network on disk. Pass fewer --epochs, "
        "or a longer --cycle."
    )
    assert "'3' is odd. Pass an even number: the middle of a cycle is always measured" in refusal(
        *start, "--measures=3"
    )
    assert "gone.pt: no such checkpoint" in refusal(*start, "--single=gone.pt")
    assert "does not fit the network" in refusal(*start, "--model=cnn1")
    np.savez(
        "one.npz", images=np.eye(64, dtype=np.uint8).reshape(64, 8, 8, 1), labels=np.arange(64) % 10
    )
    assert refusal(*start, "--data=npz:one.npz") == (
        "--data npz:one.npz: has no test split, but an ensemble is compared with a network by "
        "the error on that split. Give the data a test split."
    )
    os.remove("one.npz")
    assert sorted(os.listdir(inside)) == before


def test_another_run_is_not_gone_on_with(inside):
    whole = ["--start=start.pt", "--run=whole"]
    assert refusal(*whole, "--cycle=2") == (
        "whole/resume.pt: was started with --cycle 1.33, but this command has --cycle 2.0. A run "
        "has one recipe: pass --cycle 1.33, another --run, or --fresh to start over."
    )
    assert refusal("--start=a.pt", "--run=whole").startswith(
        "whole/resume.pt: was started with --start of SHA-256 "
    )
    shutil.copytree("whole", "lacking")
    os.remove("lacking/member_002.pt")
    assert refusal("--start=start.pt", "--run=lacking") == (
        "--run: lacking/member_002.pt is missing; it is one of 3 collected members. Put it back, "
        "or pass --fresh to start over."
    )


def test_fresh_removes_no_input_and_nothing_of_another_kind_of_run(inside):
    shutil.copytree("whole", "again")
    before = sorted(os.listdir("again"))
    assert refusal("--start=again/swa.pt", "--run=again", "--fresh") == (
        "--fresh: would remove again/swa.pt, a file of --run again that this command reads. Name "
        "another --run, or copy the file elsewhere first."
    )
    assert sorted(os.listdir("again")) == before
    assert train.main([*MODEL, "--epochs=1", "--run=training"]) == 0
    before = sorted(os.listdir("training"))
    for words in ([], ["--fresh"]):
        assert refusal("--start=start.pt", "--run=training", *words) == (
            "--run: training is the folder of a landscape_mpi training run, but this run is a "
            "landscape_mpi ensemble run, so the folder is kept. Name another folder."
        )
    assert sorted(os.listdir("training")) == before
