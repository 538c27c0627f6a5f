"""Ensembles of problems by the command: loss and metrics of members and of their average.

Oracle: plain torch over the files of weights, sample by sample in float64; the surface of the same
weights, bit for bit; the undisturbed run,
compared bit for bit; the messages.
"""

from __future__ import annotations

import math
import shutil
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from cases.problem_loops import seeded
from csv_rows import rows_of
from one_process import printed, run_alone
from torch import nn
from torch.optim.swa_utils import update_bn

from landscape_mpi import ensemble, plot, train
from landscape_mpi.errors import InputError, UserCodeError
from landscape_mpi.store.ensemble import OF_CLASSES, read_ensemble
from landscape_mpi.views.ensemble import draw_ensemble
from landscape_mpi.zoo.trainer import Trainer

MODULE = """
import math
import torch
from torch import nn
from landscape_mpi import Problem

def data():
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(33, 3, generator=draw)
    y = torch.sin(x).sum(1, keepdim=True)
    parts = zip(x.split(5), y.split(5))
    batches = [{"x": some, "y": its, "name": "words"} for some, its in parts]
    return {"train": batches[:5], "test": batches[5:]}

class Keeping(nn.Module):  # what it keeps makes it a network that torch cannot copy
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, x):
        self.kept = self.layers(x)
        return self.kept

def loss(net, batch):
    return (net(batch["x"]) - batch["y"]).square().sum(), len(batch["x"])

def problem():
    metrics = {
        "size": lambda net, b: (net(b["x"]).abs().sum(), len(b["x"])),
        "root": (loss, math.sqrt),
        "error": lambda net, b: 100.0 * (net(b["x"])[:, 0] < 0),
    }
    return Problem(Keeping(), data(), loss, metrics=metrics, units="m^2")

def untested():
    return Problem(Keeping(), {"train": data()["train"]}, loss)

def network_with_norms():
    torch.manual_seed(1)
    first = nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.3)
    return nn.Sequential(*first, nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))

def normed():
    return Problem(network_with_norms(), data(), loss, metrics={"root": (loss, math.sqrt)}, seed=4)

def scripted():
    net = network_with_norms()
    net[5] = torch.jit.script(net[5])
    return Problem(net, data(), loss)

def single():
    draw = torch.Generator().manual_seed(7)
    batches = [{"x": torch.randn(1, 3, generator=draw), "y": torch.zeros(1, 1)} for _ in range(3)]
    return Problem(network_with_norms(), {"train": batches, "test": batches}, loss)

class Turning(nn.Module):
    def __init__(self):
        super().__init__()
        self.turn = nn.Parameter(torch.ones(3, dtype=torch.complex64))

    def forward(self, x):
        return (x * self.turn).abs().sum(1, keepdim=True)

def turning():
    return Problem(Turning(), data(), loss)

class Noting(Keeping):
    def get_extra_state(self):
        return {"a": "note"}

    def set_extra_state(self, state):
        pass

def noting():
    return Problem(Noting(), data(), loss)

def noisy():
    def drawing(net, batch):
        noise = torch.randn_like(batch["x"])
        return (net(batch["x"] + noise) - batch["y"]).square().mean(1)
    return Problem(Keeping(), data(), drawing, seed=5)

def broken():
    def test_loss(net, batch):
        return batch["none"]
    return Problem(Keeping(), data(), test_loss)
"""
NAME = "problem_members"
PROBLEM = f"--problem={NAME}:problem"
ALONE = ["--device=cpu", "--threads=1"]
# 5 batches, one a step: 10 iterations a cycle, members after 5, 15 and 25 of 30.
CYCLES = [PROBLEM, "--epochs=6", "--cycle=2", "--lr=0.02", "--lr-low=0.001", *ALONE]
COMPARED = ["--single=single.pt", "--independent", "a.pt", "b.pt"]


def run(*words):
    with printed() as said:
        status = ensemble.main([str(word) for word in words])
    return status, said.getvalue()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a problem, networks trained on it, and an ensemble that nobody disturbed."""
    folder = tmp_path_factory.mktemp("problem_ensembles")
    (folder / f"{NAME}.py").write_text(MODULE)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        for name, epochs, seed in (("start", 2, 1), ("single", 8, 1), ("a", 2, 2), ("b", 3, 3)):
            out = [f"--out={name}.pt", f"--epochs={epochs}", f"--seed={seed}", "--lr=0.02"]
            assert train.main([PROBLEM, *ALONE, *out]) == 0
        status, said = run(*CYCLES, "--start=start.pt", "--run=whole", *COMPARED)
        assert status == 0
        (folder / "said.txt").write_text(said)
    yield folder
    sys.modules.pop(NAME, None)


@pytest.fixture
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    return folder


def of_module(name):
    return getattr(sys.modules[NAME], name)


def state_of(path):
    return torch.load(path, weights_only=True)["state_dict"]


def values_by_hand(state):
    """In double precision, sample by sample: the loss, and the metrics."""
    layers = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    names = {"0": "0", "2": "3"}
    wanted = {
        f"{k}.{w}": state[f"layers.{names[k]}.{w}"] for k in names for w in ("weight", "bias")
    }
    layers.load_state_dict(wanted)
    x = torch.randn(33, 3, generator=torch.Generator().manual_seed(7))[25:]
    y = torch.sin(x).sum(1)
    with torch.no_grad():
        found = [layers(one.double()).item() for one in x]
    n, pairs = len(x), list(zip(found, y.tolist(), strict=True))
    loss = math.fsum((a - b) ** 2 for a, b in pairs) / n
    size, wrong = math.fsum(map(abs, found)) / n, 100 * sum(a < 0 for a in found) / n
    return {"loss": loss, "size": size, "root": math.sqrt(loss), "error": wrong}


def loss_by_hand(state):
    return values_by_hand(state)["loss"]


def comparison_of(folder):
    return {row["name"]: row for row in rows_of(folder / "comparison.csv")}


def mean_of(found):
    return {name: float(np.mean([one[name] for one in found])) for name in found[0]}


def expected_values(folder):
    members = [values_by_hand(state_of(folder / f"whole/member_00{k}.pt")) for k in (1, 2, 3)]
    others = [values_by_hand(state_of(folder / name)) for name in ("a.pt", "b.pt")]
    return {
        "one network": ("8.0", values_by_hand(state_of(folder / "single.pt"))),
        "mean FGE member": ("", mean_of(members)),
        "last FGE member": ("8.0", members[-1]),
        "SWA of its members": ("8.0", values_by_hand(average_by_hand(folder))),
        "mean independent": ("2.5", mean_of(others)),
    }


def average_by_hand(folder):
    members = [state_of(folder / f"whole/member_00{k}.pt") for k in (1, 2, 3)]
    return {name: sum(m[name].double() for m in members) / 3 for name in members[0]}


def test_the_values_are_those_of_a_plain_loop(folder):
    rows, content = comparison_of(folder / "whole"), read_ensemble(folder / "whole")
    table = content.tables["comparison"]
    expected = expected_values(folder)
    assert list(rows) == list(expected) == table["name"].tolist()
    for k, (name, (epochs, values)) in enumerate(expected.items()):
        assert (rows[name]["networks"], rows[name]["epochs"]) == ("1", epochs)
        for score, value in values.items():
            assert float(rows[name][f"test_{score}"]) == pytest.approx(value, rel=1e-6)
            assert table[f"test_{score}"][k] == float(rows[name][f"test_{score}"])
    files = {"member": [f"whole/member_00{k}.pt" for k in (1, 2, 3)], "independent": "ab"}
    for kind, names in files.items():
        for row, name in enumerate(names):
            state = state_of(folder / (name if kind == "member" else f"{name}.pt"))
            for score, value in values_by_hand(state).items():
                found = content.tables[kind][f"test_{score}"][row]
                assert found == pytest.approx(value, rel=1e-6)


def test_the_values_are_those_of_a_surface(inside):
    out = inside / "line.h5"
    words = [PROBLEM, f"--checkpoint={inside / 'whole/swa.pt'}", "--x=0:1:2", "--splits=test"]
    ended = run_alone(["landscape_mpi.surface", *words, f"--out={out}"], threads=1)
    assert ended.status == 0, ended.words
    table = read_ensemble(inside / "whole").tables["comparison"]
    row = table["name"].tolist().index("SWA of its members")
    with h5py.File(out) as file:
        for name in ("loss", "size", "root", "error"):
            assert file[f"test_{name}"][0, 0] == table[f"test_{name}"][row]


def test_the_average_is_that_of_the_members_weights(folder):
    found, expected = state_of(folder / "whole/swa.pt"), average_by_hand(folder)
    for name, values in found.items():
        if values.is_floating_point():
            torch.testing.assert_close(values, expected[name].float(), rtol=1e-7, atol=1e-8)


def test_the_trace_is_what_the_members_are(folder):
    trace = read_ensemble(folder / "whole").tables["trace"]
    rows = np.flatnonzero(trace["collected"])
    assert trace["iteration"][rows].tolist() == [5, 15, 25]
    for number, row in enumerate(rows, start=1):
        state = state_of(folder / f"whole/member_00{number}.pt")
        assert trace["test_loss"][row] == pytest.approx(loss_by_hand(state), rel=1e-6)
    first = loss_by_hand(state_of(folder / "start.pt"))
    assert trace["test_loss"][0] == pytest.approx(first, rel=1e-6)


def test_nothing_in_the_file_stands_for_what_is_not_known(folder):
    with h5py.File(folder / "whole/ensemble.h5") as file:
        for table in ("trace", "member", "independent", "comparison"):
            scores = {"test_size", "test_root", "test_error"} if table != "trace" else set()
            assert OF_CLASSES & set(file[table]) == scores & {"test_error"}
            assert scores <= set(file[table])
            for score, units in (("size", "1"), ("root", "1"), ("error", "percent")):
                if f"test_{score}" in scores:
                    about = file[table][f"test_{score}"].attrs
                    assert about["units"] == units
                    assert about["long_name"] == f"{score} over the test split"
            assert file[table]["test_loss"].attrs["units"] == "m^2"
            assert file[table]["test_loss"].attrs["long_name"] == "mean loss over the test split"
            for column in set(file[table]) - {"name", "network"}:
                values = file[table][column][...]
                is_epochs = (table, column) == ("comparison", "epochs")
                assert is_epochs or np.isfinite(values.astype(float)).all()
        assert file.attrs["problem"] == f"{NAME}:problem"
    assert list(comparison_of(folder / "whole")["one network"]) == [
        "name",
        "networks",
        "epochs",
        "test_loss",
        "test_size",
        "test_root",
        "test_error",
    ]


def test_the_log_says_what_is_left_out(folder):
    said = (folder / "said.txt").read_text()
    assert f"Keeping of {NAME}:problem: 41 parameters; 5 train and 2 test batches, 1 a step" in said
    assert "there is no ensemble of averaged outputs, because the outputs of a problem" in said
    assert "FGE ensemble" not in said
    assert "%" not in said
    lines = said.splitlines()
    head = next(line for line in lines if "networks  epochs" in line)
    assert head.split("epochs")[1].split("  ")[1:] == [
        "test loss",
        "test size",
        "test root",
        "test error",
    ]
    line = next(line for line in lines if line.startswith("SWA of its members"))
    row = comparison_of(folder / "whole")["SWA of its members"]
    told = [float(word) for word in line.split()[-4:]]
    known = [float(row[f"test_{name}"]) for name in ("loss", "size", "root", "error")]
    assert told == pytest.approx(known, rel=1e-3)


def test_the_picture_has_the_losses(folder, capsys):
    content = read_ensemble(folder / "whole")
    figure = draw_ensemble(content)
    panel = figure.axes[1]
    assert panel.get_ylabel() == "test loss (m^2)"
    np.testing.assert_array_equal(panel.lines[0].get_ydata(), content.tables["trace"]["test_loss"])
    rows = {name: float(row["test_loss"]) for name, row in comparison_of(folder / "whole").items()}
    levels = [line.get_ydata()[0] for line in panel.lines[2:]]
    names = ["one network", "SWA of its members", "mean independent"]
    assert levels == [rows[name] for name in names]
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts[2:] == [
        f"one network: {levels[0]:.4g}",
        f"average of the members' weights: {levels[1]:.4g}",
        f"mean of 2 independent networks: {levels[2]:.4g}",
    ]
    assert plot.main(["--ensemble", str(folder / "whole"), "--dpi=30"]) == 0
    assert Path(capsys.readouterr().out.strip()).stat().st_size > 1000


def test_a_run_goes_on_to_the_same_bits(inside, monkeypatch):
    with monkeypatch.context() as patched:
        inner = Trainer.run_epoch

        def broken(self, *given):
            if self.n_done == 3:
                raise KeyboardInterrupt
            return inner(self, *given)

        patched.setattr(Trainer, "run_epoch", broken)
        with pytest.raises(KeyboardInterrupt):
            run(*CYCLES, "--start=start.pt", "--run=cut")
    begun = draw_ensemble(read_ensemble(inside / "cut"))
    assert [len(axes.lines) for axes in begun.axes] == [2, 2, 2]
    status, said = run(*CYCLES, "--start=start.pt", "--run=cut", *COMPARED)
    assert status == 0
    assert "resuming: 3 of 6 epochs are done" in said
    for name in ("member_001.pt", "member_002.pt", "member_003.pt", "swa.pt"):
        one, other = (state_of(inside / f / name) for f in ("whole", "cut"))
        assert all(torch.equal(one[key], other[key]) for key in one)
    one, other = (read_ensemble(inside / f).tables for f in ("whole", "cut"))
    assert one.keys() == other.keys()
    for table, columns in one.items():
        for column, values in columns.items():
            np.testing.assert_array_equal(values, other[table][column])
    with pytest.raises(InputError, match="batches_per_step|batches-per-step"):
        run(*CYCLES, "--start=start.pt", "--run=cut", "--batches-per-step=2")


def test_two_ranks_compare_to_the_same_bits(inside, on_ranks):
    words = ["landscape_mpi.ensemble", *CYCLES, "--start=start.pt", "--run=shared"]
    run(*CYCLES, "--start=start.pt", "--run=shared")
    done = on_ranks(2, [*words, *COMPARED], cwd=inside, check=True)
    assert "resuming: 6 of 6 epochs are done" in done.stdout
    assert comparison_of(inside / "shared") == comparison_of(inside / "whole")


def test_two_ranks_train_together(inside, on_ranks):
    words = [*CYCLES, "--start=start.pt", "--batches-per-step=2", "--measures=2", *COMPARED]
    words[words.index("--epochs=6")] = "--epochs=4"
    plain = [PROBLEM.replace("problem_members:problem", "without_dropout:problem")]
    text = MODULE.replace("nn.Dropout(0.1)", "nn.Identity()")
    (inside / "without_dropout.py").write_text(text)  # each rank draws its own dropout
    words[0] = plain[0]
    for n in (1, 2):
        on_ranks(n, ["landscape_mpi.ensemble", *words, f"--run=ranks{n}"], cwd=inside, check=True)
    one, two = (read_ensemble(inside / f"ranks{n}").tables for n in (1, 2))
    assert one["trace"]["iteration"][-1] == 12  # 3 steps an epoch
    for table in ("trace", "member", "comparison"):
        np.testing.assert_allclose(one[table]["test_loss"], two[table]["test_loss"], rtol=1e-5)


def test_random_numbers_of_the_test_batches_are_those_of_every_point(inside, tmp_path):
    words = [f"--problem={NAME}:noisy", *CYCLES[1:], "--start=start.pt"]
    run(*words, "--epochs=2", f"--run={tmp_path / 'run'}")
    network = of_module("noisy")().network.eval()
    network.load_state_dict(state_of(tmp_path / "run/member_001.pt"))
    batches, losses = of_module("data")()["test"], []
    for k, batch in enumerate(batches):
        seeded(k, 5)
        moved = batch["x"] + torch.randn_like(batch["x"])
        losses.append((network(moved) - batch["y"]).square().flatten().detach())
    found = read_ensemble(tmp_path / "run").tables
    assert found["member"]["test_loss"].item() == pytest.approx(
        float(torch.cat(losses).double().mean()), rel=1e-6
    )
    assert "independent" not in found


REFUSED = {
    "untested": r"--problem: problem_members:untested has the data train but no test split",
    "scripted": r"^--problem problem_members:scripted: the running statistics of 5 \(BatchNorm1d",
    "single": r"^--problem problem_members:single: a batch gives 1 only one value per channel",
    "turning": r"of problem_members:turning has state that is not a real tensor \(turn\)",
    "noting": r"of problem_members:noting has state that is not a real tensor \(_extra_state\)",
}


@pytest.fixture(scope="module")
def normed(folder):
    """The folder, in which there is an ensemble of networks with running statistics."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.syspath_prepend(str(folder))
        torch.save(of_module("normed")().network.state_dict(), "normed_start.pt")
        status, _ = run(*NORMED, "--start=normed_start.pt", "--run=normed")
        assert status == 0
    return folder


NORMED = [f"--problem={NAME}:normed", *CYCLES[1:]]


def normed_by_hand(folder):
    """Return the average of the members with the statistics of torch's own update_bn."""
    states = [state_of(folder / f"normed/member_00{k}.pt") for k in (1, 2, 3)]
    network = of_module("network_with_norms")()
    network.load_state_dict(
        {
            name: sum(s[name].double() for s in states) / 3 if v.is_floating_point() else v
            for name, v in states[0].items()
        }
    )

    def inputs():
        for k, batch in enumerate(of_module("data")()["train"]):
            seeded(k, 4)
            yield batch["x"]

    update_bn(inputs(), network)
    return network.eval()


def test_the_average_has_running_statistics_as_update_bn_gives_them(normed):
    found, network = state_of(normed / "normed/swa.pt"), normed_by_hand(normed)
    for name, values in network.state_dict().items():
        if values.is_floating_point():
            torch.testing.assert_close(found[name], values, rtol=1e-5, atol=1e-6)
    means = [state_of(normed / f"normed/member_00{k}.pt")["5.running_mean"] for k in (1, 2, 3)]
    assert not torch.allclose(sum(means) / 3, found["5.running_mean"], rtol=0.05)
    with torch.no_grad():
        losses = [
            (network(batch["x"]) - batch["y"]).square().flatten()
            for batch in of_module("data")()["test"]
        ]
    row = comparison_of(normed / "normed")["SWA of its members"]
    loss = float(torch.cat(losses).mean())
    assert float(row["test_loss"]) == pytest.approx(loss, rel=1e-5)
    assert float(row["test_root"]) == pytest.approx(math.sqrt(loss), rel=1e-5)


def test_two_ranks_measure_statistics_to_the_same_bits(normed, on_ranks):
    shutil.copytree(normed / "normed", normed / "normed_on_ranks")
    for name in ("comparison.csv", "swa.pt"):
        (normed / "normed_on_ranks" / name).unlink()
    words = ["landscape_mpi.ensemble", *NORMED, "--start=normed_start.pt", "--run=normed_on_ranks"]
    done = on_ranks(2, words, cwd=normed, check=True)
    assert "resuming: 6 of 6 epochs are done" in done.stdout
    assert comparison_of(normed / "normed_on_ranks") == comparison_of(normed / "normed")
    one, two = (state_of(normed / f"{name}/swa.pt") for name in ("normed", "normed_on_ranks"))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.filterwarnings("ignore:.*jit.script. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", REFUSED)
def test_a_problem_without_an_average_is_refused(name, inside, tmp_path):
    function = of_module(name)
    start = tmp_path / "start.pt"
    torch.save(function().network.state_dict(), start)
    words = [f"--problem={NAME}:{name}", *CYCLES[1:], f"--start={start}"]
    with pytest.raises(InputError, match=REFUSED[name]):
        run(*words, "--trust-checkpoint", f"--run={tmp_path / 'run'}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--batch-size=4", "--batch-size: applies to networks of --model"),
        ("--augment=crop-flip", "--augment: applies to networks of --model"),
        ("--data=digits", "--data: applies to networks of --model"),
        ("--model=cnn1", "--model: applies to networks of --model"),
    ],
)
def test_what_does_not_apply_is_refused(option, words, inside, tmp_path):
    with pytest.raises(InputError, match=words):
        run(*CYCLES, "--start=start.pt", f"--run={tmp_path / 'run'}", option)
    assert not (tmp_path / "run").exists()


def test_the_users_own_error_is_told(inside, tmp_path):
    words = [f"--problem={NAME}:broken", *CYCLES[1:], "--start=start.pt"]
    with pytest.raises(UserCodeError, match="KeyError: 'none'"):
        run(*words, f"--run={tmp_path / 'run'}")


def test_without_a_problem_network_and_data_are_named():
    with pytest.raises(InputError, match=r"required: --model, --data \(or --problem\)"):
        run("--start=start.pt", "--run=run")
