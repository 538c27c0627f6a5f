"""A surface over the plane of a run, and its path in the file.

Oracles: the loss of a checkpoint by a plain loop, at the point where the plane has it; the path
in the plane file; and what a range that covers a path must contain, for many paths.
"""

import h5py
import hypothesis
import hypothesis.strategies as some
import numpy as np
import pytest
import torch
from refusals import message_of
from training_runs import small_network, write_run

from landscape_mpi import surface
from landscape_mpi.cluster import guard
from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.engine.grid import fit_axis
from landscape_mpi.errors import InputError
from landscape_mpi.store.plane_path import path_of
from landscape_mpi.store.reader import read_surface
from landscape_mpi.zoo.datasets import load_dataset

TRAJECTORY = "landscape_mpi.trajectory"


@pytest.fixture(scope="module")
def folder(tmp_path_factory, on_ranks):
    """Two checkpoints and the center: all of them in the plane; and a surface over it."""
    folder = tmp_path_factory.mktemp("path")
    write_run(folder / "run", 2)
    on_ranks(1, [TRAJECTORY, folder / "run", "--out", folder / "plane.h5"], check=True)
    argv = ["landscape_mpi.surface", *words(folder), "--fit-path", "--x=fit:7", "--y=fit:5"]
    on_ranks(2, [*argv, "--out", folder / "surface.h5", "--save-directions"], check=True)
    return folder


def words(folder, checkpoint="run/epoch_0002.pt", directions="plane.h5"):
    return [
        *("--model", "resnet8", "--checkpoint", str(folder / checkpoint)),
        *("--data", "digits", "--limit", "200", "--subset", "first"),
        *("--directions", str(folder / directions)),
    ]


def evaluate(*argv):
    """Run the surface in this process, as one rank; return its status."""
    options, problem = guard.parse_or_problem(surface.parse, [str(word) for word in argv])
    return guard.run_guarded(surface.main, options, problem, start_ranks())


def loss_of(checkpoint):
    network = small_network()
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["state_dict"])
    data = load_dataset("digits")
    split = data.splits["train"].first(200)
    images = torch.from_numpy(split.inputs).permute(0, 3, 1, 2).float() / 255
    with torch.no_grad():
        logits = network.eval()((images - data.mean[0]) / data.std[0])
    return torch.nn.functional.cross_entropy(logits, torch.from_numpy(split.targets)).item()


def test_the_center_of_the_surface_is_the_last_checkpoint(folder):
    read = read_surface(folder / "surface.h5")
    assert read.shape == (7, 5)
    expected = loss_of(folder / "run/epoch_0002.pt")
    assert read.values["train_loss"][read.center] == pytest.approx(expected, rel=1e-5)


def test_a_checkpoint_in_the_plane_has_its_loss_there(folder, tmp_path):
    """Two differences span the plane, so it holds both checkpoints, their statistics apart."""
    (path,) = path_of(folder / "plane.h5").runs
    assert path["residual"].max() < 1e-6
    x, y = (repr(float(path[axis][1])) for axis in ("alpha", "beta"))
    out = tmp_path / "point.h5"
    assert evaluate(*words(folder), f"--x={x}", f"--y={y}", "--out", out) == 0
    found = read_surface(out).values["train_loss"][0, 0]
    assert found == pytest.approx(loss_of(folder / "run/epoch_0001.pt"), rel=1e-5)


def test_the_path_and_its_labels_are_in_the_surface(folder):
    read = read_surface(folder / "surface.h5")
    (expected,), (path,) = path_of(folder / "plane.h5").runs, read.trajectories.runs
    for column in ("alpha", "beta", "residual", "epoch", "lr"):
        np.testing.assert_array_equal(path[column], expected[column])
    assert read.long_names["alpha"].startswith("1st PCA component (captures ")
    for axis, values in (("alpha", read.alpha), ("beta", read.beta)):
        assert values.min() < path[axis].min() < path[axis].max() < values.max()


def test_a_surface_hands_the_path_on_with_its_directions(folder, tmp_path):
    out = tmp_path / "again.h5"
    assert (
        evaluate(*words(folder, directions="surface.h5"), "--x=fit:3", "--y=0", "--out", out) == 0
    )
    assert len(read_surface(out).trajectories.runs) == 1


def test_it_is_resumed_like_any_other(folder, capfd):
    argv = [*words(folder), "--fit-path", "--x=fit:7", "--y=fit:5", "--save-directions"]
    assert evaluate(*argv, "--out", folder / "surface.h5") == 0
    assert "all 35 points are done, nothing is left" in capfd.readouterr().out


def test_a_margin_widens_the_range(folder, tmp_path):
    spans = []
    for margin in ("0", "1"):
        out = tmp_path / f"{margin}.h5"
        argv = [*words(folder), "--fit-path", margin, "--x=fit:3", "--y=fit:3", "--out", out]
        assert evaluate(*argv) == 0
        with h5py.File(out) as file:
            spans.append(np.ptp(file["alpha"][...]))
    assert spans[1] == pytest.approx(3 * spans[0])


def test_a_path_around_another_center_is_left_out(folder, tmp_path, capfd):
    argv = words(folder, checkpoint="run/epoch_0000.pt")
    assert evaluate(*argv, "--x=0", "--out", tmp_path / "s.h5") == 0
    assert "epoch_0000.pt has other weights: the path is left out" in capfd.readouterr().out
    assert read_surface(tmp_path / "s.h5").trajectories is None


def test_a_range_fitted_to_a_path_around_another_center_is_refused(folder, tmp_path, capfd):
    argv = words(folder, checkpoint="run/epoch_0000.pt")
    found = message_of(
        evaluate(*argv, "--fit-path", "--out", tmp_path / "s.h5"), capfd.readouterr().err
    )
    assert "so the path does not lie in this plane. Pass --checkpoint" in found
    assert not (tmp_path / "s.h5").exists()


def test_no_path_to_fit_to_is_refused(folder, tmp_path, capfd):
    network = ["--model", "resnet8", "--checkpoint", folder / "run/epoch_0000.pt"]
    argv = [*network, "--data", "digits", "--fit-path", "--out", tmp_path / "s.h5"]
    found = message_of(evaluate(*argv), capfd.readouterr().err)
    assert "--x: fit:51 covers a trajectory, but there is none. Pass --direc" in found
    with h5py.File(tmp_path / "none.h5", "w"):
        pass
    found = message_of(
        evaluate(*argv, "--directions", tmp_path / "none.h5"), capfd.readouterr().err
    )
    assert "none.h5 holds none. Pass the plane that landscape_mpi.trajectory wrote" in found
    (tmp_path / "none.h5").write_text("no HDF5")
    found = message_of(
        evaluate(*argv, "--directions", tmp_path / "none.h5"), capfd.readouterr().err
    )
    assert "none.h5: cannot be read as HDF5" in found


def test_a_fitted_axis_that_is_none_is_refused(folder, tmp_path, capfd):
    found = message_of(
        evaluate(*words(folder), "--x=fit:-1:1", "--out", tmp_path / "s.h5"), capfd.readouterr().err
    )
    assert "--x: 'fit:-1:1' is not an axis. Pass --x=fit:51 for 51 points." in found


@hypothesis.given(
    some.floats(-1e3, 0), some.floats(0, 1e3), some.integers(3, 99), some.floats(0, 2)
)
def test_a_fitted_axis_covers_the_path_and_has_a_zero(low, high, n, margin):
    hypothesis.assume(high - low > 1e-6)
    axis = fit_axis((low, high), n, margin=margin, option="--x")
    room = margin * (high - low) - 1e-9 * (high - low)
    assert axis[0] <= low - room
    assert axis[-1] >= high + room
    assert (axis == 0).sum() == 1
    assert len(axis) == n
    np.testing.assert_allclose(np.diff(axis), axis[1] - axis[0])
    assert np.ptp(axis) <= (1 + 2 * margin) * (high - low) * (n - 1) / (n - 2) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("extent", "n", "words"),
    [
        ((-1.0, 1.0), 2, "--x: requests 2 points over a trajectory. Pass from 3 to 100,000."),
        ((0.0, 0.0), 5, "--x: the trajectory is only the center, so no range covers it."),
    ],
)
def test_an_axis_that_cannot_be_fitted_is_refused(extent, n, words):
    with pytest.raises(InputError) as caught:
        fit_axis(extent, n, margin=0.1, option="--x")
    assert words in str(caught.value)
