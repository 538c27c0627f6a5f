"""Oracle: parameter counts, norms and sizes by torch, numpy and the file system themselves."""

import h5py
import pytest

from landscape_mpi import surface, train
from landscape_mpi.zoo.catalogue import network_names
from landscape_mpi.zoo.listing import list_data, list_models
from landscape_mpi.zoo.loaders import FORMS

NETWORK = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Linear(10, 10))
"""


def test_every_network_and_data_set_is_listed():
    models, data = list_models(), list_data()
    for name in network_names():
        assert f"  {name} " in models
    assert "  resnet56                     855,770\n" in models
    assert [line.split()[0] for line in data.splitlines() if line.startswith(" ")] == list(
        dict.fromkeys(sorted(FORMS, key=data.index))
    )
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
    words = "directions: random, seed 1, normalize filter, ignore bias,bn, only 1.*; norm "
    assert lines[1].startswith(words)
    assert lines[2] == "points: 3 x 2, 6 left to compute"
    quantities = "train_loss, train_error, test_loss, test_error"
    assert lines[3] == f"samples: 60 train + 359 test images at each point, for {quantities}"
    n_bytes = 60 * (64 + 8) + 359 * (64 + 8) + 760 * 4
    assert lines[4].startswith(f"memory: {n_bytes / 1000:.3g} kB on each node")
    assert lines[5].startswith(f"file: {out}, ")
    assert lines[5].endswith(", new")
    assert lines[6].startswith(f"ranks: {n_ranks} on {n_ranks} x ")
    assert "3 x 2 points on" in done.stdout  # the estimate
    if n_ranks == 1:
        on_ranks(1, argv, cwd=tmp_path, check=True)
        with h5py.File(out) as file:
            norm = file["directions"].attrs["norm_alpha"]
        assert f"norm {norm:.4g} along alpha" in lines[1]
        told = float(lines[5].split(", ")[1].split()[0]) * 1000
        assert out.stat().st_size == pytest.approx(told, rel=0.2)
