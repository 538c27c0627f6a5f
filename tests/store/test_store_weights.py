"""Oracle: what was written, read by the package and by plain h5py, and the sentences."""

from dataclasses import fields

import h5py
import numpy as np
import pytest

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.store.weights import WeightHistory, read_weights, write_weights

RANDOM = np.random.default_rng(0)
HISTORY = WeightHistory(
    epoch=np.arange(3),
    lr=np.array([0.1, 0.1, 0.01]),
    weight_norm=RANDOM.random(3),
    total_norm=RANDOM.random(3),
    parameter_norms=RANDOM.random((3, 2)),
    histogram=RANDOM.integers(0, 9, (3, 5)),
    histogram_edges=RANDOM.random((3, 6)),
    n_outside=RANDOM.integers(0, 9, (3, 2)),
)


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "weights.h5"
    write_weights(path, HISTORY, ("a.weight", "a.bias"), {"model": "net"})
    return path


def test_what_was_written_is_read(weights):
    for path in (weights, weights.parent):
        told = read_weights(path)
        assert (told.path, told.parameter_names) == (weights, ("a.weight", "a.bias"))
        assert told.attributes["model"] == "net"
        for field in fields(HISTORY):
            written = getattr(HISTORY, field.name)
            np.testing.assert_array_equal(getattr(told.history, field.name), written)


def test_every_dataset_says_what_it_is(weights):
    with h5py.File(weights) as file:
        assert len(file) == 12
        for name in file:
            assert {"units", "long_name"} <= set(file[name].attrs)
            scale = file[name].is_scale and len(file[name].shape) == 1
            assert scale or file[name].dims[0].keys() == ["epoch"]


def test_what_is_no_weights_file(tmp_path):
    with pytest.raises(MissingInputError) as missing:
        read_weights(tmp_path)
    assert str(missing.value) == (
        f"--weights: {tmp_path}/weights.h5: does not exist. Name the folder of a training run "
        "(python -m landscape_mpi.train --run FOLDER), or the weights.h5 in one."
    )
    other = tmp_path / "other.h5"
    other.write_text("no HDF5")
    with pytest.raises(
        InputError, match="other.h5: is not a weights file of a training run, or is"
    ):
        read_weights(other)
    with h5py.File(other, "w") as file:
        file.attrs["format"] = "landscape_mpi surface"
    with pytest.raises(InputError, match="which is weights.h5 in its folder. Name surfaces "):
        read_weights(other)
    with h5py.File(other, "w") as file:
        file.attrs["format"] = "landscape_mpi weights"
    with pytest.raises(
        InputError, match="other.h5: is not a weights file of a training run, or is"
    ):
        read_weights(other)
