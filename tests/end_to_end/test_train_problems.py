"""Training of problems by the command: the network's own batches, by the recipe.

Oracle: a plain loop of torch's SGD over the batches, in the order that the seed gives; the
undisturbed run, compared bit for bit; cases/problem_loops.py for the test loss.
"""

from __future__ import annotations

import csv

import h5py
import numpy as np
import pytest
import torch
from cases.problem_files import CASES
from cases.problem_loops import LOOPS
from folders import TESTS
from libraries import imported
from one_process import printed, run_alone

from landscape_mpi import train
from landscape_mpi.errors import InputError
from landscape_mpi.zoo.trainer import Trainer, _mix

PLAIN_SGD = ("--momentum=0", "--no-nesterov", "--weight-decay=0", "--lr-drops=none", "--threads=1")


def run(*words):
    with printed() as said:
        status = train.main([str(word) for word in words])
    return status, said.getvalue()


def orders(n, seed, n_epochs):
    for epoch in range(n_epochs):
        yield torch.randperm(n, generator=torch.Generator().manual_seed(_mix(seed, epoch))).tolist()


def trained_by_hand(name, seed, n_epochs, *, lr, dtype=torch.float32):
    module = imported(f"problems.{name}")
    network = module.network().to(dtype).train()
    data = module.data()
    data = [{k: v.to(dtype) if v.is_floating_point() else v for k, v in b.items()} for b in data]
    optimizer = torch.optim.SGD(network.parameters(), lr=lr)
    for epoch, order in enumerate(orders(len(data), seed, n_epochs)):
        torch.manual_seed(_mix(seed, epoch, 1))
        for k in order:
            total, count = module.loss(network, dict(data[k]))
            optimizer.zero_grad()
            (total / count).backward()
            optimizer.step()
    return network


@pytest.mark.parametrize("name", ["language_model", "heat_equation"])
def test_epochs_are_those_of_a_plain_loop(name, tmp_path):
    case, out = CASES[name], tmp_path / "out.pt"
    dtype = torch.float64 if case.double else torch.float32
    words = (f"--problem=problems.{name}:problem", "--epochs=2", "--lr=0.01", "--seed=3")
    status, said = run(*words, *PLAIN_SGD, f"--out={out}")
    assert status == 0
    assert " parameters; 3 train batches, 1 a step; CPU, threads: 1" in said
    content = torch.load(out)
    expected = trained_by_hand(name, 3, 2, lr=0.01, dtype=dtype).state_dict()
    assert content["state_dict"].keys() == expected.keys()
    for key, values in expected.items():
        found = content["state_dict"][key]
        assert found.dtype == values.dtype
        torch.testing.assert_close(found, values, rtol=case.close, atol=case.close)
    assert content["history"][-1]["train_error"] is None


def test_the_test_loss_is_that_of_a_plain_loop(tmp_path):
    name, folder = "text_classifier", tmp_path / "run"
    words = (f"--problem=problems.{name}:problem", "--epochs=2", "--lr=0.01", "--threads=1")
    assert run(*words, f"--run={folder}")[0] == 0
    with (folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    module = imported(f"problems.{name}")
    network = module.network()
    network.load_state_dict(torch.load(folder / "epoch_0002.pt")["state_dict"])
    values = LOOPS[name](network.eval(), module.data()["test"])
    assert float(rows[1]["test_loss"]) == pytest.approx(values["loss"], rel=1e-5)
    assert rows[1]["test_error"] == ""


def test_a_run_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    words = ["--problem=problems.vae:problem", "--epochs=3", "--lr=0.001", "--threads=1"]
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    assert run(*words, f"--run={whole}")[0] == 0
    with monkeypatch.context() as patched:
        inner = Trainer.run_epoch

        def broken(self, *given):
            if self.n_done == 2:
                raise KeyboardInterrupt
            return inner(self, *given)

        patched.setattr(Trainer, "run_epoch", broken)
        with pytest.raises(KeyboardInterrupt):
            run(*words, f"--run={cut}")
    status, said = run(*words, f"--run={cut}")
    assert status == 0
    assert "resuming: 2 of 3 epochs are done" in said
    one, other = (torch.load(f / "epoch_0003.pt")["state_dict"] for f in (whole, cut))
    assert all(torch.equal(one[name], other[name]) for name in one)
    with pytest.raises(InputError, match="seed"):
        run(*words, "--seed=5", f"--run={cut}")


DRAWN = """
import torch
from torch import nn
from landscape_mpi import Problem

def problem():
    net = nn.Linear(3, 1)
    x = torch.randn(8, 3)
    return Problem(net, (x, x[:, :1]), lambda net, b: (net(b[0]) - b[1]).square().mean(1))
"""


def test_the_seed_decides_first_weights_and_not_the_data(tmp_path, monkeypatch):
    (tmp_path / "drawn.py").write_text(DRAWN)
    monkeypatch.syspath_prepend(tmp_path)
    words = ["--problem=drawn:problem", "--epochs=1", "--threads=1"]
    first = []
    for seed in (0, 1, 2):
        assert run(*words, f"--seed={seed}", f"--run={tmp_path / str(seed)}")[0] == 0
        first.append(torch.load(tmp_path / str(seed) / "epoch_0000.pt"))
    for k, content in enumerate(first):
        torch.manual_seed(k)
        assert torch.equal(content["state_dict"]["weight"], torch.nn.Linear(3, 1).weight)
    assert len({content["data_sha256"] for content in first}) == 1


def test_two_ranks_share_the_batches_of_a_step(tmp_path, on_ranks):
    words = ["landscape_mpi.train", "--problem=problems.heat_equation:problem", "--epochs=2"]
    words += ["--lr=0.01", "--batches-per-step=3", *PLAIN_SGD]
    outs = [tmp_path / f"{n}.pt" for n in (1, 2)]
    for n, out in zip((1, 2), outs, strict=True):
        on_ranks(n, [*words, f"--out={out}"], cwd=TESTS, check=True)
    one, other = (torch.load(out)["state_dict"] for out in outs)
    for name, values in one.items():
        torch.testing.assert_close(values, other[name], rtol=1e-11, atol=1e-12)


REFUSED = {
    "--batch-size=4": "--batch-size: applies to networks of --model",
    "--augment=crop-flip": "--augment: applies to networks of --model",
    "--label-noise=0.5": "--label-noise: applies to networks of --model",
    "--precision=bf16": "--precision: applies to networks of --model",
    "--data=digits": "--data: applies to networks of --model",
    "--mean=0.5": "--mean: applies to networks of --model",
}


@pytest.mark.parametrize("option", REFUSED)
def test_what_does_not_apply_is_refused(option, tmp_path):
    words = ("--problem=problems.forecast:problem", f"--out={tmp_path / 'out.pt'}")
    with pytest.raises(InputError, match=REFUSED[option]):
        run(*words, option)
    assert not list(tmp_path.iterdir())


def test_batches_of_a_step_need_a_problem(tmp_path):
    words = ("--model=cnn1", "--data=digits", f"--out={tmp_path / 'out.pt'}")
    with pytest.raises(InputError, match="^--batches-per-step 2: counts the batches of a --"):
        run(*words, "--batches-per-step=2")


def test_a_loss_that_raises_is_told_as_the_users_own(tmp_path):
    words = ("--problem=problems.refused:wrong_key", f"--out={tmp_path / 'out.pt'}")
    with pytest.raises(InputError, match="KeyError: 'weight'"):
        run(*words)


def test_a_trained_problem_is_read_again(tmp_path):
    out, surface = tmp_path / "out.pt", tmp_path / "s.h5"
    problem = "--problem=problems.heat_equation:problem"
    assert run(problem, "--epochs=1", f"--out={out}", "--lr=0.01")[0] == 0
    words = ["landscape_mpi.surface", problem, f"--checkpoint={out}", "--x=0", f"--out={surface}"]
    ended = run_alone(words)
    assert ended.status == 0, ended.words
    module = imported("problems.heat_equation")
    network = module.network().double()
    network.load_state_dict(torch.load(out)["state_dict"])
    with h5py.File(surface) as file:
        expected = LOOPS["heat_equation"](network, module.data())["loss"]
        assert np.asarray(file["train_loss"]).item() == pytest.approx(expected, rel=1e-12)


def test_the_plane_of_a_training_in_float64_is_that_of_its_last_weights(tmp_path):
    problem, folder = "--problem=problems.heat_equation:problem", tmp_path / "run"
    plane, out = tmp_path / "plane.h5", tmp_path / "surface.h5"
    assert run(problem, "--epochs=3", f"--run={folder}", "--lr=0.01")[0] == 0
    assert run_alone(["landscape_mpi.trajectory", folder, f"--out={plane}"]).status == 0
    words = ["landscape_mpi.surface", problem, f"--directions={plane}", "--fit-path"]
    words += ["--x=fit:3", "--y=fit:3", f"--checkpoint={folder / 'epoch_0003.pt'}"]
    ended = run_alone([*words, f"--out={out}"])
    assert ended.status == 0, ended.words
    with h5py.File(out) as file:
        assert file["trajectory/run_0/alpha"].shape == (4,)
    other = [word.replace("epoch_0003", "epoch_0002") for word in map(str, words)]
    ended = run_alone([*other, f"--out={tmp_path / 'other.h5'}"])
    assert ended.status == 2
    assert "has other weights, so the path does not lie in this plane" in ended.words
