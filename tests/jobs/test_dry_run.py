"""Oracle: parameter counts, norms and sizes by torch, numpy and the file system themselves."""

import math

import h5py
import pytest

from landscape_mpi import surface, train
from landscape_mpi.registry import DATA_SETS
from landscape_mpi.zoo.catalogue import network_names
from landscape_mpi.zoo.listing import list_data, list_models

NETWORK = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Linear(10, 10))
"""


def test_a_dry_run_with_a_tolerance_says_how_few_points_it_may_take(tmp_path, on_ranks):
    """Every 8th of 101 points and the last are 14; of 101 x 101 - 196 others 2 % are checked."""
    (tmp_path / "dry_net.py").write_text(NETWORK)
    argv = [
        *("landscape_mpi.surface", "--model=dry_net:build", "--data=digits", "--limit=60"),
        *("--x=-1:1:101", "--y=-1:1:101", "--adaptive=0.03", f"--out={tmp_path / 'x.h5'}"),
    ]
    done = on_ranks(1, [*argv, "--dry-run"], cwd=tmp_path, check=True)
    assert f"the run computes at least {14 * 14 + 201:,}, and as many as" in done.stdout
    assert "interpolates the others to 0.03 decades" in done.stdout
    assert "about 510 if the surface is smooth" in done.stdout


def test_every_network_and_data_set_is_listed():
    models, data = list_models(), list_data()
    for name in network_names():
        assert f"  {name} " in models
    assert "  resnet56                     855,770\n" in models
    listed = [line.split()[0] for line in data.splitlines() if line.startswith(" ")]
    assert sorted(listed) == sorted(DATA_SETS)
    assert all(len(line) <= 120 for line in (models + data).splitlines())


@pytest.mark.parametrize("parse", [surface.parse, train.parse])
def test_a_list_ends_the_command_and_needs_no_other_option(parse, capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["--list", "data"])
    assert ended.value.code == 0
    assert "digits" in capsys.readouterr().out


@pytest.mark.parametrize("n_ranks", [1, 3])
def test_a_dry_run_says_what_would_run_and_writes_nothing(n_ranks, tmp_path, on_ranks):
    (tmp_path / "dry_net.py").write_text(NETWORK)
    out = tmp_path / "x.h5"
    argv = [
        *("landscape_mpi.surface", "--model=dry_net:build", "--data=digits", "--limit=60"),
        *("--only=1.*", "--x=-1:1:3", "--y=0:1:2", "--splits=train,test", f"--out={out}"),
        "--weight-decay=0.1",
    ]
    before = set(tmp_path.iterdir())
    done = on_ranks(n_ranks, [*argv, "--dry-run"], cwd=tmp_path, check=True)
    assert {path for path in tmp_path.iterdir() if path.name != "__pycache__"} == before
    lines = done.stdout.splitlines()
    assert lines[0] == "moved: 640 of 760 parameters, in 1 tensors: 1.weight"
    assert lines.pop(1) == "filters: Linear 1 (output units, axis 0)"
    words = "directions: random, seed 1, normalize filter, ignore bias,bn, only 1.*; norm "
    assert lines[1].startswith(words)
    assert lines[2] == "points: 3 x 2, 6 left to compute"
    quantities = "train_loss, train_error, test_loss, test_error"
    assert lines[3] == f"samples: 60 train + 359 test images at each point, for {quantities}"
    means = "the 60 train samples and the 359 test samples: each counts once"
    assert lines[4] == f"loss: cross_entropy, mean over {means}"
    n_bytes = 60 * (64 + 8) + 359 * (64 + 8) + 760 * 4
    assert lines[5].startswith(f"memory: {n_bytes / 1000:.3g} kB on each node")
    assert lines[6].startswith(f"file: {out}, ")
    assert lines[6].endswith(", new")
    assert lines[7].startswith(f"ranks: {n_ranks}, {n_ranks} on ")
    assert "3 x 2 points on" in done.stdout  # the estimate
    if n_ranks == 1:
        on_ranks(1, argv, cwd=tmp_path, check=True)
        with h5py.File(out) as file:
            norm = file["directions"].attrs["norm_alpha"]
        assert f"norm {norm:.4g} along alpha" in lines[1]
        told = float(lines[6].split(", ")[1].split()[0]) * 1000
        assert out.stat().st_size == pytest.approx(told, rel=0.2)


LAYERS = """
import torch
from torch import nn

class Standardise(nn.Module):
    def __init__(self):
        super().__init__()
        self.g = nn.Parameter(torch.ones(1, 6, 1, 1))

    def forward(self, x):
        return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True) * self.g

class InTimesWeight(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.randn(600, 10))

    def forward(self, x):
        return x @ self.w

def build():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.ConvTranspose2d(1, 6, 3), nn.BatchNorm2d(6), Standardise(), nn.Flatten(), InTimesWeight()
    )
"""


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_a_dry_run_says_what_filters_are_and_what_stays(n_ranks, tmp_path, on_ranks):
    (tmp_path / "layers_net.py").write_text(LAYERS)
    argv = [
        *("landscape_mpi.surface", "--model=layers_net:build", "--data=digits", "--limit=60"),
        *("--x=-1:1:3", f"--out={tmp_path / 'x.h5'}", "--dry-run"),
    ]
    lines = on_ranks(n_ranks, argv, cwd=tmp_path, check=True).stdout.splitlines()
    assert lines[:4] == [
        "layers of the kind Standardise (1) standardise their input, so they count as "
        "normalisation (--ignore bn)",
        "moved: 6,054 of 6,078 parameters, in 2 tensors: 0.weight, 4.w",
        "filters: ConvTranspose2d 1 (output channels, axis 1), InTimesWeight 1 (output channels, "
        "by trial, axis 1)",
        "kept as normalisation: 3 parameters: 1.bias, 1.weight, 2.g",
    ]
    lines = on_ranks(n_ranks, [*argv, "--normalize=layer", "--ignore=none"], cwd=tmp_path).stdout
    assert "filters:" not in lines
    assert "kept as normalisation" not in lines


def test_an_option_that_was_not_passed_is_not_among_the_directions(on_ranks, tmp_path):
    argv = ["landscape_mpi.surface", "--model=dry_net:build", "--data=digits", "--limit=60"]
    (tmp_path / "dry_net.py").write_text(NETWORK)
    options = ["--x=-1:1:3", f"--out={tmp_path}/x.h5", "--dry-run"]
    said = on_ranks(1, [*argv, *options], cwd=tmp_path, check=True).stdout
    assert "directions: random, seed 1, normalize filter, ignore bias,bn; norm " in said


def test_an_estimate_of_both_tolerances_says_the_least_work_of_both(on_ranks, tmp_path):
    """The smallest number of points is 11 x 11, and 2 % of the others as a check."""
    n = 11 * 11 + math.ceil(0.02 * (81 * 81 - 11 * 11))
    argv = ["landscape_mpi.surface", "--model=dry_net:build", "--data=digits", "--x=-1:1:81"]
    (tmp_path / "dry_net.py").write_text(NETWORK)
    options = ["--y=-1:1:81", "--adaptive=0.03", "--batch=64", f"--out={tmp_path}/x.h5"]
    said = on_ranks(
        1, [*argv, *options, "--rtol=0.02", "--estimate"], cwd=tmp_path, check=True
    ).stdout
    assert f"with both, at least {n} points of 256 images each (" in said
    alone = on_ranks(1, [*argv, *options, "--estimate"], cwd=tmp_path, check=True).stdout
    assert "with both" not in alone
