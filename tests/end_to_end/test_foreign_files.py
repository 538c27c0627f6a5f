"""Oracle: files that are broken or of something else, made byte by byte, by h5py and by Pillow.

Each of the three commands that read surfaces names the file in one line, and writes nothing.
"""

import h5py
import numpy as np
import pytest
from PIL import Image
from surface_files import plane, write_surface

from landscape_mpi import plot, report, vtp
from landscape_mpi.errors import InputError

AXIS = np.linspace(-1, 1, 4)


def sound(path):
    return write_surface(path, AXIS, AXIS, {"train_loss": plane(AXIS, AXIS, lambda a, b: a + b)})


def changed(change):
    def make(path):
        sound(path)
        with h5py.File(path, "r+") as file:
            change(file)

    return make


def swap(name, make):
    """Put something else in the place of a dataset."""

    def change(file):
        del file[name]
        make(file, name)

    return changed(change)


def other_hdf5(path):
    with h5py.File(path, "w") as file:
        file["weights/layer"] = np.zeros(3)


def of_ours(kind):
    def make(path):
        with h5py.File(path, "w") as file:
            file.attrs["format"] = f"landscape_mpi {kind}"
            file["lr"] = np.zeros(3)

    return make


def cut(path):
    whole = sound(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def group_named(name):
    return swap(name, lambda file, name: file.create_group(name))


def reference_with(**datasets):
    def make(path):
        with h5py.File(path, "w") as file:
            for name, values in datasets.items():
                file[name] = values

    return make


FILES = {
    "empty": (lambda path: path.write_bytes(b""), "is not an HDF5 file"),
    "text": (lambda path: path.write_text("alpha,beta,loss\n"), "is not an HDF5 file"),
    "truncated": (cut, "is truncated"),
    "png": (lambda path: Image.new("RGB", (9, 9)).save(path, "png"), "is not an HDF5 file"),
    "directory": (lambda path: path.mkdir(), "is a directory"),
    "absent": (lambda path: None, "does not exist"),
    "signature alone": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "HDF5 cannot read it"),
    "other": (other_hdf5, "is an HDF5 file, but not a surface file. It holds weights"),
    "weights": (of_ours("weights"), "plot --weights"),
    "spectrum": (of_ours("spectrum"), "plot --spectrum"),
    "ensemble": (of_ours("ensemble"), "plot --ensemble"),
    "plane": (of_ours("plane"), "--directions"),
    "loss is a group": (group_named("train_loss"), "train_loss is not an array of numbers"),
    "axis is a group": (group_named("alpha"), "alpha is not an array of numbers"),
    "flags are text": (
        swap("done", lambda file, name: file.create_dataset(name, data=[["x"] * 4] * 4)),
        "done is not an array of numbers",
    ),
    "axis is text": (
        swap("beta", lambda file, name: file.create_dataset(name, data=["a", "b", "c", "d"])),
        "beta is not an array of numbers",
    ),
    "format is no text": (
        changed(lambda file: file.attrs.__setitem__("format", np.zeros(3))),
        "is an HDF5 file, but not a surface file",
    ),
    "no grid": (reference_with(xcoordinates=2.0, train_loss=1.0), r"xcoordinates has shape \(\)"),
    "accuracy alone of another grid": (
        reference_with(xcoordinates=AXIS, ycoordinates=AXIS, train_acc=AXIS),
        r"train_acc has shape \(4,\)",
    ),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("command", [plot, vtp, report], ids=lambda module: module.__name__)
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_surface_is_one_message(tmp_path, command, name):
    make, words = FILES[name]
    path = tmp_path / "net.h5"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(InputError, match=words) as raised:
        command.main([str(path)])
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert (path.read_bytes() if path.is_file() else None) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ([] if name == "absent" else ["net.h5"])
