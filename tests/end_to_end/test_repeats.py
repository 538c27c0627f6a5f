"""Several lines in one file.

Oracle: lines computed one by one, each with a seed of its own; and the picture's own lines.
"""

import h5py
import numpy as np
import pytest
import torch

from landscape_mpi.errors import InputError
from landscape_mpi.plot import main as plot
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.line import draw_line
from landscape_mpi.views.pictures import make_panels
from landscape_mpi.views.summary import describe
from landscape_mpi.vtp import main as vtp
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("network") / "network.pt"
    torch.manual_seed(0)
    network = build_network("resnet8", sample=Sample("image", (1, 8, 8), 10))
    torch.save(network.state_dict(), path)
    return path


def command(checkpoint, out, *options):
    return [
        *("landscape_mpi.surface", "--model=resnet8", "--data=digits", "--limit=100"),
        *(f"--checkpoint={checkpoint}", f"--out={out}", "--x=-1:1:5", *options),
    ]


@pytest.fixture
def three(checkpoint, tmp_path, on_ranks):
    out = tmp_path / "three.h5"
    argv = command(checkpoint, out, "--repeats=3", "--seed=5")
    return out, argv, on_ranks(2, argv, check=True).stdout


def test_every_line_is_that_of_its_seed(three, checkpoint, tmp_path, alone):
    out, argv, said = three
    assert "5 x 3 points" in said
    with h5py.File(out) as file:
        found = {name: file[name][...] for name in ("train_loss", "train_error")}
        assert file.attrs["repeats"] == 3
        assert file["beta"][...].tolist() == [0, 1, 2]
        assert "the seed of its direction is directions/seed" in file["beta"].attrs["long_name"]
    for number in range(3):
        line = tmp_path / f"{number}.h5"
        alone(command(checkpoint, line, f"--seed={5 + number}"), check=True)
        with h5py.File(line) as file:
            for name, values in found.items():
                np.testing.assert_array_equal(values[:, number], file[name][:, 0])
    assert len(set(found["train_loss"][0])) == 3
    resumed = alone(argv, check=True)
    assert "all 15 points are done, nothing is left" in resumed.stdout
    other = alone([*argv[:-2], "--repeats=2", "--seed=5"])
    assert "repeats 3, but this run requests repeats 2" in other.stderr


def test_the_picture_has_a_thin_line_for_each(three, capsys):
    out, *_ = three
    surface = read_surface(out)
    assert surface.is_line
    panels = make_panels(surface, ["train_loss"])
    figure = draw_line(panels)
    axes = figure.axes[0]
    thin = [line for line in axes.lines if line.get_linewidth() < 1 and len(line.get_xdata()) == 5]
    assert len(thin) == 3
    for line, values in zip(thin, surface.values["train_loss"].T, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), values)
        np.testing.assert_array_equal(line.get_xdata(), surface.alpha)
    assert axes.get_xlabel().startswith(r"$\alpha$")
    assert plot([str(out), "--dpi=60"]) == 0
    assert capsys.readouterr().out.strip().endswith("three_line.png")
    said = describe(surface)
    assert len(said) == 2
    assert said[1].startswith("train_loss: ")
    with pytest.raises(InputError, match="holds 3 lines along separate directions"):
        vtp([str(out)])


@pytest.mark.parametrize(
    "options",
    [
        ["--y=-1:1:3"],
        ["--x-direction=gradient"],
        ["--x-direction=random:4"],
        ["--weight-decay=0.1"],
        ["--save-directions"],
    ],
)
def test_what_does_not_go_with_it(options, checkpoint, tmp_path, alone):
    out = tmp_path / "bad.h5"
    done = alone(command(checkpoint, out, "--repeats=2", *options))
    assert done.returncode == 2
    name = options[0].split("=")[0]
    assert "--repeats 2: computes lines along random directions, with the" in done.stderr
    assert f"cannot be combined with {name}" in " ".join(done.stderr.split())
    assert not out.exists()
