"""Oracle: arrays written by numpy itself, and the sentences."""

import numpy as np
import pytest
from refusals import refused

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.npz import load_npz

IMAGES = np.arange(4 * 8 * 9 * 3, dtype=np.uint64).reshape(4, 8, 9, 3).astype(np.uint8)
LABELS = np.array([2, 0, 1, 2], np.uint8)
WRITE = "Write it again with numpy.savez."


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mine.npz"


def refusal(path, **arrays):
    if arrays:
        np.savez(path, **arrays)
    said = refused(load_npz, str(path))
    assert said.startswith(f"{path}: ")
    return said.removeprefix(f"{path}: ")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back(path, save):
    save(path, images=IMAGES, labels=LABELS, test_images=IMAGES[:2], test_labels=LABELS[:2])
    splits = load_npz(str(path))
    assert list(splits) == ["train", "test"]
    np.testing.assert_array_equal(splits["train"].inputs, IMAGES)
    np.testing.assert_array_equal(splits["train"].targets, LABELS)
    assert splits["train"].targets.dtype == np.int64
    np.testing.assert_array_equal(splits["test"].inputs, IMAGES[:2])


def test_grey_images_get_one_channel_and_others_arrays_are_left_alone(path):
    np.savez(path, images=IMAGES[..., 0], labels=LABELS, names=np.array(["a", "b"]))
    splits = load_npz(str(path))
    assert list(splits) == ["train"]
    np.testing.assert_array_equal(splits["train"].inputs, IMAGES[..., :1])


def test_file_is_looked_for_as_given_then_in_the_data_folder(path, tmp_path, monkeypatch):
    np.savez(path, images=IMAGES, labels=LABELS)
    assert len(load_npz("mine.npz", data_dir=tmp_path)["train"].targets) == 4
    with pytest.raises(MissingInputError) as caught:
        load_npz("main.npz", data_dir=tmp_path)
    assert str(caught.value) == (
        f"--data npz:main.npz: there is no file main.npz nor {tmp_path}/main.npz."
    )
    with pytest.raises(
        MissingInputError, match="Pass its full path, or the folder that contains it as"
    ):
        load_npz("main.npz")
    with pytest.raises(InputError, match="is a directory. Name the .npz file in it"):
        load_npz(str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(load_npz("~/mine.npz")["train"].targets) == 4


def test_missing_arrays_are_named_with_those_there(path):
    assert refusal(path, x=IMAGES, labels=LABELS).startswith(
        "lacks images; it has: x, labels. Needed are images uint8 [n, height, width, channels] "
    )
    assert refusal(path, x=IMAGES).startswith("lacks images and labels; it has: x. ")
    assert refusal(path, images=IMAGES, labels=LABELS, test_images=IMAGES).startswith(
        "lacks test_labels; it has: images, labels, test_images. "
    )


def test_images_of_wrong_type_or_shape(path):
    assert refusal(path, images=IMAGES / 255, labels=LABELS).startswith(
        "images is float64, but must be uint8 from 0 to 255. Convert images from 0 to 1 with "
    )
    assert refusal(path, images=IMAGES.reshape(4, -1), labels=LABELS) == (
        "images has the shape [4, 216], but must be [n, height, width, channels] "
        "or [n, height, width]. Reshape them, and write the file again."
    )
    assert refusal(path, images=IMAGES.transpose(0, 3, 1, 2), labels=LABELS) == (
        "images has the shape [4, 3, 8, 9], which looks like [n, channels, height, width]; "
        "channels come last here: images.transpose(0, 2, 3, 1)."
    )
    assert refusal(path, images=IMAGES[:0], labels=LABELS[:0]) == (
        "images is empty: its shape is [0, 8, 9, 3]. Write the file again, with at least one image."
    )


def test_labels_of_wrong_type_shape_or_value(path):
    assert refusal(path, images=IMAGES, labels=LABELS.astype(float)) == (
        "labels is float64, but must be integers: class numbers from 0. Use labels.astype('int64')."
    )
    assert "labels is bool" in refusal(path, images=IMAGES, labels=LABELS > 0)
    assert refusal(path, images=IMAGES, labels=np.eye(4, dtype=int)) == (
        "labels has the shape [4, 4], but must be [n]: one class number per image. From one-hot "
        "rows, take labels.argmax(axis=1)."
    )
    assert refusal(path, images=IMAGES, labels=LABELS.astype(int) - 1) == (
        "labels contains -1, but class numbers count from 0. Leave these samples out, or number "
        "the classes from 0."
    )


def test_lengths_and_splits_must_fit(path):
    assert refusal(path, images=IMAGES, labels=LABELS[:3]) == (
        "images has 4 images, labels has 3 labels, but each image needs one. Write both arrays "
        "again, of one length."
    )
    assert refusal(
        path, images=IMAGES, labels=LABELS, test_images=IMAGES[:, :7], test_labels=LABELS
    ) == (
        "images are [8, 9, 3], test_images [7, 9, 3] (height, width, channels), but one network "
        "cannot take both."
    )


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_truncated_file(path, share):
    np.savez(path, images=IMAGES, labels=LABELS)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert refusal(path).startswith("is truncated or damaged (")


def test_damaged_file(path):
    np.savez_compressed(path, images=IMAGES, labels=LABELS)
    content = bytearray(path.read_bytes())
    content[120:140] = bytes(20)
    path.write_bytes(content)
    assert refusal(path).startswith("is truncated or damaged (")


def test_other_files(path):
    path.write_text("images, labels\n")
    assert refusal(path).startswith("is not a .npz file of numpy.savez (")
    path.touch()
    path.write_bytes(b"")
    assert refusal(path) == f"is not a .npz file of numpy.savez (No data left in file). {WRITE}"
    with path.open("wb") as file:
        np.save(file, IMAGES)
    assert refusal(path) == (
        "holds a single array, not several named ones. Write the file with numpy.savez."
    )


def test_python_objects_are_not_unpickled(path):
    assert refusal(path, images=IMAGES, labels=np.array([1, "a", None, []], object)).startswith(
        "is of Python objects, not of plain arrays of uint8 and integers (Object arrays cannot"
    )
