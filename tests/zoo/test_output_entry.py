"""Networks that return several tensors: --output names the one that the loss is made of.

Oracles: the same network with a forward that returns the logits alone, through every command; the
sentence a user should read. The surfaces of the table have the values of a plain loop, too
(end_to_end/test_cases.py).
"""

from __future__ import annotations

import argparse
from dataclasses import astuple

import h5py
import numpy as np
import pytest
import torch
from cases.network_files import CASES, PACKAGE
from cases.networks import entries
from curve_runs import run as curve
from folders import TESTS
from one_process import run_alone
from refusals import message_of

from landscape_mpi import ensemble, sharpness, train
from landscape_mpi.errors import InputError
from landscape_mpi.options import add_model_option
from landscape_mpi.zoo.checkpoint import read_checkpoint
from landscape_mpi.zoo.networks import build_network
from landscape_mpi.zoo.output_entry import entries_of, split_entry

PLAIN = "entries:Body"
CLOSE = 1e-5  # relative


def with_logits(name):
    return CASES[f"entries:{name}---output=logits"]


def test_the_file_has_the_name_of_the_entry(tmp_path):
    with_logits("Named").surface(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as file:
        assert file.attrs["model"] == f"{PACKAGE}.entries:Named[logits]"


def test_a_network_of_transformers_without_the_option(tmp_path):
    case, out = with_logits("language_model"), tmp_path / "x.h5"
    words = case.words(out)
    words.remove("--output=logits")
    said = message_of(*astuple(run_alone(words)))
    assert "Pass --output with the entry that enters the loss: logits, float32 [3, " in said


def test_points_at_once_take_it_too(tmp_path):
    losses = []
    for at_once in (1, 3):
        out = tmp_path / f"{at_once}.h5"
        with_logits("Named").surface(out, f"--points-at-once={at_once}")
        with h5py.File(out) as file:
            losses.append(file["train_loss"][()])
    np.testing.assert_allclose(*losses, rtol=CLOSE)


def both(make):
    """Do the same for the network whose entry is taken and for the plain one."""
    return (
        make(f"{PACKAGE}.entries:Named", "--output=logits"),
        make(f"{PACKAGE}.{PLAIN}"),
    )


def test_the_hessian_takes_the_same_entry_and_another_does_not_resume(tmp_path):
    def ends(model, *options):
        out = tmp_path / f"{len(options)}.h5"
        words = [f"--model={model}", f"--data={PACKAGE}.samples:rows", "--x=-1:1:3", "--y=0"]
        ended = run_alone(["landscape_mpi.surface", *words, f"--out={out}", *options])
        assert ended.status == 0, ended.words
        ended = run_alone(["landscape_mpi.hessian", str(out), "--tolerance=1e-4"])
        assert ended.status == 0, ended.words
        with h5py.File(out) as file:
            return file["hessian_max"][()]

    np.testing.assert_allclose(*both(ends), rtol=1e-3)
    words = [f"--model={PACKAGE}.entries:Named", f"--data={PACKAGE}.samples:rows", "--x=-1:1:3"]
    again = ["landscape_mpi.surface", *words, "--y=0", f"--out={tmp_path / '1.h5'}"]
    ended = run_alone([*again, "--output=hidden"])
    assert ended.status == 2
    assert "entries:Named[logits], but this run requests model" in ended.words
    assert "pass --model cases.networks.entries:Named[logits]" in ended.words
    assert run_alone([*again, "--output=logits"]).status == 0


def test_sharpness_climbs_the_same_loss(tmp_path, capsys):
    def told(model, *options):
        out = tmp_path / f"{len(options)}.h5"
        words = [f"--model={model}", f"--data={PACKAGE}.samples:rows", "--x=-1:1:3", "--y=0"]
        ended = run_alone(["landscape_mpi.surface", *words, f"--out={out}", *options])
        assert ended.status == 0, ended.words
        capsys.readouterr()
        climbed = ["--iterations=2", "--radius=0.01", "--fresh-networks=1", "--device=cpu"]
        assert sharpness.main([str(out), *climbed]) == 0
        return [line for line in capsys.readouterr().out.splitlines() if "center" in line]

    mine, plain = both(told)
    assert mine == plain
    assert mine


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two solutions of the plain network, and the same by way of the entry."""
    folder = tmp_path_factory.mktemp("trained")

    def make(model, *options):
        name = "entry" if options else "plain"
        for seed in (1, 2):
            words = [f"--model={model}", f"--data={PACKAGE}.samples:rows", "--epochs=2"]
            words += [f"--seed={seed}", f"--out={folder / f'{name}{seed}.pt'}", "--device=cpu"]
            # Its own weights are the same for every seed: the order of the samples differs.
            assert train.main([*words, "--threads=1", *options]) == 0
        return folder / name

    both(make)
    return folder


@pytest.mark.parametrize("seed", [1, 2])
def test_training_gives_the_weights_of_the_plain_network(trained, seed):
    mine, plain = (read_checkpoint(trained / f"{name}{seed}.pt") for name in ("entry", "plain"))
    assert mine.state.keys() == plain.state.keys()
    for name, values in plain.state.items():
        np.testing.assert_array_equal(mine.state[name], values)


def test_curves_and_barriers_take_the_same_entry(trained, tmp_path, monkeypatch):
    def losses(model, *options):
        name = "entry" if options else "plain"
        ends = (f"--start={trained / 'plain1.pt'}", f"--end={trained / 'plain2.pt'}")
        words = (f"--model={model}", f"--data={PACKAGE}.samples:rows", *options)
        out = tmp_path / f"{name}.pt"
        status, _, err = curve("train", *words, *ends, "--epochs=1", "--threads=1", f"--out={out}")
        assert status == 0, err
        status, _, err = curve("evaluate", out, "--points=3", f"--out={tmp_path / name}.h5")
        assert status == 0, err
        solutions = [str(trained / "plain1.pt"), str(trained / "plain2.pt")]
        lines = tmp_path / f"{name}_lines.h5"
        status, _, err = curve("barriers", *solutions, *words, "--points=3", f"--out={lines}")
        assert status == 0, err
        found = []
        for path in (tmp_path / f"{name}.h5", lines):
            with h5py.File(path) as file:
                found.append(file["train_loss"][()].ravel())
        return np.concatenate(found)

    monkeypatch.syspath_prepend(TESTS)
    np.testing.assert_allclose(*both(losses), rtol=CLOSE)


def test_ensembles_take_the_same_entry(trained, tmp_path, capsys):
    def errors(model, *options):
        run = tmp_path / ("entry" if options else "plain")
        words = [f"--model={model}", f"--data={PACKAGE}.entries:rows_and_a_test", f"--run={run}"]
        words += [f"--start={trained / 'plain1.pt'}", "--epochs=2", "--cycle=1"]
        assert ensemble.main([*words, "--threads=1", "--device=cpu", *options]) == 0
        return capsys.readouterr().out.replace(model, "").replace("[logits]", "")

    mine, plain = both(errors)
    assert [line for line in mine.splitlines() if "%" in line] == [
        line for line in plain.splitlines() if "%" in line
    ]


# Refusals.


def refusal(model, *options, data="samples:rows", tmp_path):
    out = tmp_path / "x.h5"
    words = [f"--model={PACKAGE}.{model}", f"--data={PACKAGE}.{data}", "--x=0", f"--out={out}"]
    ended = run_alone(["landscape_mpi.surface", *words, *options])
    assert not out.exists()
    return message_of(ended.status, ended.words)


@pytest.mark.parametrize(
    ("model", "option", "words"),
    [
        (
            "entries:Pair",
            (),
            "entries:Pair returns a tuple, not a tensor. Pass --output with the entry that enters "
            "the loss: 0, float32 [3, 12]; 1, float32 [3, 3].",
        ),
        ("entries:AsModelOutput", (), "enters the loss: logits, float32 [3, 3]."),
        (
            "entries:NamedPair",
            (),
            "enters the loss: hidden, float32 [3, 12]; logits, float32 [3, 3].",
        ),
        (
            "entries:Named",
            ("--output=logit",),
            "--output logit: cases.networks.entries:Named returns a dict. Its tensors are "
            "hidden, float32 [3, 12]; logits, float32 [3, 3]. Did you mean logits?",
        ),
        ("entries:Named", ("--output=n",), "whose entry n is an int, not a tensor. Its tensors"),
        ("entries:Pair", ("--output=2",), "returns a tuple. Its tensors are 0, float32 [3, 12]; 1"),
        ("entries:Named", ("--output=0",), "returns a dict. Its tensors are hidden"),
        (
            "entries:Body",
            ("--output=0",),
            "--output 0: cases.networks.entries:Body returns one tensor, which has no entries. "
            "Leave out --output.",
        ),
        ("entries:scripted", ("--output=1",), "is a scripted or traced network, so this option"),
        ("entries:Pair[", (), "brackets after the name must hold an entry of the network's result"),
        (
            "entries:Pair[]",
            (),
            "brackets after the name must hold an entry of the network's result",
        ),
    ],
)
def test_what_cannot_be_taken_is_said_with_what_can(model, option, words, tmp_path):
    assert words in refusal(model, *option, tmp_path=tmp_path)


def test_networks_of_the_zoo_have_one_output():
    network = build_network("cnn1[logits]", n_channels=1, n_classes=3).eval()
    with pytest.raises(InputError, match="--output logits: cnn1 returns one tensor"):
        network(torch.zeros(1, 1, 32, 32))


def parsed(*words):
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_model_option(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize(
    ("words", "model"),
    [
        (("--model=a:b",), "a:b"),
        (("--model=a:b", "--output=logits"), "a:b[logits]"),
        (("--output=0", "--model=a:b"), "a:b[0]"),
        (("--model=a:b", "--output=x", "--output=y"), "a:b[y]"),
        (("--model=a:b", "--output=x", "--model=c:d"), "c:d[x]"),
        (("--model=a:b[x]",), "a:b[x]"),
    ],
)
def test_both_options_make_the_name_in_any_order(words, model):
    assert parsed(*words).model == model


def test_two_entries_are_one_too_many(capsys):
    with pytest.raises((SystemExit, argparse.ArgumentError)):
        parsed("--model=a:b[x]", "--output=y")
    assert (
        "--model a:b[x] already names an entry, and --output names y. Leave out one of them."
        in capsys.readouterr().err
    )


def test_names_without_brackets_have_no_entry():
    assert split_entry("a:b") == ("a:b", None)
    assert split_entry("a:b[c.d]") == ("a:b", "c.d")


def test_entries_of_what_is_nothing_of_the_kind():
    assert entries_of(None) == {}
    assert entries_of(3) == {}
    assert set(entries_of(entries.Parts(1, 2))) == {"0", "1", "hidden", "logits"}
