"""Oracles: small files written here with struct, a real HTTP server on this machine, the published
digits where there are any, and the sentences.
"""

import dataclasses
import gzip
import hashlib
import struct

import numpy as np
import pytest
from refusals import refused

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.mnist import FASHION_MNIST, MNIST, load_mnist

PIXELS = np.random.default_rng(0).integers(0, 256, (9, 28, 28), dtype=np.uint8)
LABELS = [5, 0, 4, 1, 9, 2, 1, 3, 8]
N_TEST = 2


def contents(labels=LABELS):
    files = {}
    for word, n in (("train", len(labels)), ("t10k", N_TEST)):
        images = struct.pack(">IIII", 0x803, n, 28, 28) + PIXELS[:n].tobytes()
        files[f"{word}-images-idx3-ubyte"] = images
        files[f"{word}-labels-idx1-ubyte"] = struct.pack(">II", 0x801, n) + bytes(labels[:n])
    return files


def write(folder, spelling="{}", **settings):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents(**settings).items():
        packed = gzip.compress(content) if spelling.endswith(".gz") else content
        (folder / spelling.format(name)).write_bytes(packed)


def assert_published(splits):
    train, test = splits["train"], splits["test"]
    np.testing.assert_array_equal(train.inputs[..., 0], PIXELS)
    assert train.targets.tolist() == LABELS
    assert (train.inputs.dtype, train.targets.dtype) == (np.uint8, np.int64)
    np.testing.assert_array_equal(test.inputs, PIXELS[:N_TEST, :, :, None])
    assert test.targets.tolist() == LABELS[:N_TEST]


def refusal(folder, collection=MNIST):
    return refused(load_mnist, collection, folder, download=False)


@pytest.mark.parametrize("place", [".", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("spelling", ["{}", "{}.gz"])
def test_plain_and_compressed_in_the_usual_places(tmp_path, place, spelling):
    write(tmp_path / place, spelling)
    assert_published(load_mnist(MNIST, tmp_path, download=False))


def test_names_with_a_dot(tmp_path):
    write(tmp_path)
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / path.name.replace("-idx", ".idx"))
    assert_published(load_mnist(MNIST, tmp_path, download=False))


def test_pixels_are_normalised_by_those_of_the_training_split(tmp_path):
    write(tmp_path / "mnist")
    data = load_dataset("mnist", data_dir=tmp_path)
    assert data.mean == pytest.approx([(PIXELS / 255).mean()])
    assert data.std == pytest.approx([(PIXELS / 255).std()])
    assert (data.n_classes, data.sample.shape) == (10, (1, 28, 28))


def test_the_digits_as_they_are_published(data_dir):
    data = load_dataset("mnist", data_dir=data_dir)
    assert data.splits["train"].inputs.shape == (60_000, 28, 28, 1)
    assert data.mean == pytest.approx([0.1307], abs=5e-5)  # as everybody has them
    assert data.std == pytest.approx([0.3081], abs=5e-5)
    assert np.bincount(data.splits["train"].targets).tolist() == [
        *(5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
    ]


def test_missing_files_are_fetched_checked_and_read(tmp_path, publisher):
    files = {f"{name}.gz": gzip.compress(c) for name, c in contents().items()}
    publisher.files = {f"/{name}": content for name, content in files.items()}
    hashes = {name: f"md5:{hashlib.md5(content).hexdigest()}" for name, content in files.items()}
    collection = dataclasses.replace(MNIST, url=publisher.url, known_hashes=hashes)
    for _ in range(2):
        assert_published(load_mnist(collection, tmp_path, download=True))
    assert publisher.n_requests == 4
    wrong = dict.fromkeys(hashes, "md5:0")
    collection = dataclasses.replace(collection, known_hashes=wrong)
    with pytest.raises(InputError, match="does not match the known hash"):
        load_mnist(collection, tmp_path / "new", download=True)


def test_the_publishers_files_are_those_of_the_format():
    for collection in (MNIST, FASHION_MNIST):
        assert sorted(collection.known_hashes) == sorted(f"{name}.gz" for name in contents())


def test_missing_files_are_named_with_the_ways_out(tmp_path):
    write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    text = refusal(tmp_path)
    assert text.startswith(f"--data mnist: not in {tmp_path}: {tmp_path}/mnist lacks train-images-")
    assert f"; {tmp_path} lacks t10k-labels-idx1-ubyte (or these with .gz). Pass" in text
    assert text.endswith(
        "Pass --download to fetch it there (12 MB), or --data-dir with the folder that has it."
    )
    with pytest.raises(MissingInputError, match="^--data fashion_mnist: needs --data-dir"):
        load_dataset("fashion_mnist")


def test_the_other_data_set_of_the_same_names_is_refused(tmp_path):
    write(tmp_path)
    assert refusal(tmp_path, FASHION_MNIST) == (
        f"--data fashion_mnist: the files in {tmp_path} are those of mnist: the first labels are "
        "5, 0, 4, 1, 9, 2, 1, 3. Pass --data mnist, or put those of fashion_mnist into "
        "fashion_mnist below --data-dir."
    )
    write(tmp_path, labels=[9, 0, 0, 3, 0, 2, 7, 2, 5])
    assert len(load_mnist(FASHION_MNIST, tmp_path, download=False)["train"].targets) == 9
    assert "are those of fashion_mnist" in refusal(tmp_path)


def test_files_that_do_not_fit_are_refused(tmp_path):
    write(tmp_path)
    labels = tmp_path / "train-labels-idx1-ubyte"
    labels.write_bytes(struct.pack(">II", 0x801, 2) + bytes(2))
    assert refusal(tmp_path) == (
        f"{tmp_path}/train-images-idx3-ubyte: has 9 images, train-labels-idx1-ubyte has 2 labels, "
        "but each image needs one. Fetch both files again."
    )
    write(tmp_path, labels=[10, *LABELS[1:]])
    assert refusal(tmp_path) == (
        f"{labels}: has the label 10; the labels must be 0 to 9. Fetch it again."
    )
    write(tmp_path, labels=[])
    assert "train-images-idx3-ubyte: is empty: its shape is [0, 28, 28]." in refusal(tmp_path)
