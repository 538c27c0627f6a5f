"""Oracle: the values that were written, read back with bare h5py and with the reader."""

import h5py
import numpy as np
import pytest
from made_trajectory import make_trajectory

from landscape_mpi.errors import InputError
from landscape_mpi.store.directions import read_directions
from landscape_mpi.store.plane_file import PlaneContent, write_plane
from landscape_mpi.store.plane_path import path_of
from landscape_mpi.store.trajectory import Trajectories, read_trajectories

VECTORS = {"alpha": {"layer.weight": np.ones((2, 3), np.float32)}, "beta": {"b": np.zeros(2)}}


@pytest.fixture
def path(tmp_path):
    runs = (make_trajectory("sgd é", alpha=[3.0, -1.0, 0.0]), make_trajectory(beta=[0.5, 2.0]))
    trajectory = Trajectories(runs, {"center": "last.pt", "shares": [0.9, 0.05]})
    attributes = {"directions": {"cosine": 0.25}, "provenance": {"command": "it"}}
    write_plane(tmp_path / "plane.h5", PlaneContent(VECTORS, trajectory, attributes))
    return tmp_path / "plane.h5"


def test_a_plane_file_gives_back_what_it_was_given(path):
    read = path_of(path)
    assert [run.name for run in read.runs] == ["sgd é", "sgd"]
    np.testing.assert_array_equal(read.runs[0]["alpha"], [3, -1, 0])
    assert read.runs[1].texts["file"] == ("epoch_0.pt", "epoch_1.pt")
    assert read.runs[0].components.shape == (3, 3)
    assert read.attributes["center"] == "last.pt"
    directions = read_directions(path)
    np.testing.assert_array_equal(directions["alpha"]["layer.weight"], np.ones((2, 3)))
    with h5py.File(path) as file:
        assert file.attrs["format"] == "landscape_mpi plane"
        assert file["directions"].attrs["cosine"] == 0.25
        assert file["provenance"].attrs["command"] == "it"


@pytest.mark.parametrize(
    ("lost", "words"),
    [(["run_0", "run_1"], "holds no training run"), (["run_0/lr"], "columns of trajectory/run_0")],
)
def test_a_group_without_runs_or_with_columns_of_two_lengths_is_refused(path, lost, words):
    with h5py.File(path, "r+") as file:
        for name in lost:
            del file[f"trajectory/{name}"]
        if "run_0" in file["trajectory"]:
            file["trajectory/run_0/lr"] = np.zeros(2)
        with pytest.raises(InputError, match=words):
            read_trajectories(file)


def test_every_dataset_has_units_and_a_long_name(path):
    datasets = []
    with h5py.File(path) as file:
        file.visititems(lambda _, node: datasets.append(node) or None)
        found = [node for node in datasets if isinstance(node, h5py.Dataset)]
        assert len(found) == 2 + 2 * 10
        assert all(node.attrs["units"] == "1" and node.attrs["long_name"] for node in found)


def test_the_extent_covers_all_runs_and_the_center(path):
    assert path_of(path).extent() == ((-1.0, 3.0), (0.0, 2.0))


def test_a_file_without_a_path_has_none(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    assert path_of(tmp_path / "other.h5") is None


@pytest.mark.parametrize(
    ("rates", "drops"),
    [
        ([0.1, 0.1, 0.01, 0.01, 0.001], [0, 0, 1, 0, 1]),
        ([0.1, 0.09, 0.08, 0.07], [0, 0, 0, 0]),  # gradual, as a cosine
        ([np.nan, 0.1, np.nan, 0.01], [0, 0, 0, 0]),
        ([0.1], [0]),
    ],
)
def test_the_learning_rate_dropped_where_it_fell_at_once(rates, drops):
    np.testing.assert_array_equal(make_trajectory(lr=rates).drops, np.array(drops, bool))
