"""Oracles: small files in the publisher's two formats, written here with pickle and struct from
images whose pixels and labels are known, sparse files at full size, and the sentences.
"""

import dataclasses
import hashlib
import io
import os
import pickle
import tarfile

import numpy as np
import pytest

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.cifar import load_cifar
from landscape_mpi.zoo.cifar100 import CIFAR100
from landscape_mpi.zoo.datasets import load_dataset

SMALL = dataclasses.replace(CIFAR100, n_train=5, n_test=3)
PIXELS = np.random.default_rng(0).integers(0, 256, (8, 3, 32, 32), dtype=np.uint8)
FINE, COARSE = [99, 0, 50, 7, 23, 1, 98, 49], [19, 0, 3, 5, 1, 0, 7, 2]
PARTS = {"train": slice(0, 5), "test": slice(5, 8)}


def pickled(part):
    rows = PARTS[part]
    entries = {
        b"filenames": [b"a.png"] * len(FINE[rows]),
        b"fine_labels": FINE[rows],
        b"coarse_labels": COARSE[rows],
        b"data": PIXELS[rows].reshape(-1, 3072),
    }
    return pickle.dumps(entries, protocol=2)


def write_pickled(folder):
    folder.mkdir()
    for part in PARTS:
        (folder / part).write_bytes(pickled(part))


def write_binary(folder):
    folder.mkdir()
    for part, rows in PARTS.items():
        records = zip(COARSE[rows], FINE[rows], PIXELS[rows], strict=True)
        content = b"".join(bytes([c, f]) + image.tobytes() for c, f, image in records)
        (folder / f"{part}.bin").write_bytes(content)


def assert_published(splits):
    for part, rows in PARTS.items():
        np.testing.assert_array_equal(splits[part].inputs[..., 1], PIXELS[rows][:, 1])
        assert splits[part].targets.tolist() == FINE[rows]


@pytest.mark.parametrize(
    ("name", "write"), [("cifar-100-python", write_pickled), ("cifar-100-binary", write_binary)]
)
def test_both_formats_give_the_fine_labels(tmp_path, name, write):
    write(tmp_path / name)
    assert_published(load_cifar(SMALL, tmp_path, download=False))
    assert_published(load_cifar(SMALL, tmp_path / name, download=False))


def test_it_is_fetched_checked_and_read(tmp_path, publisher):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for part in PARTS:
            entry = tarfile.TarInfo(f"cifar-100-python/{part}")
            entry.size = len(pickled(part))
            tar.addfile(entry, io.BytesIO(pickled(part)))
    publisher.files["/c.tar.gz"] = stream.getvalue()
    edition = dataclasses.replace(
        SMALL,
        url=f"{publisher.url}/c.tar.gz",
        known_hash=f"md5:{hashlib.md5(stream.getvalue()).hexdigest()}",
    )
    assert_published(load_cifar(edition, tmp_path, download=True))
    assert_published(load_cifar(SMALL, tmp_path, download=False))


def test_files_of_the_published_size_have_the_statistics_of_their_pixels(tmp_path):
    for name, n in (("train.bin", 50_000), ("test.bin", 10_000)):
        (tmp_path / name).touch()
        os.truncate(tmp_path / name, n * 3074)
    with (tmp_path / "train.bin").open("r+b") as file:
        file.write(bytes([0, 0]) + b"\xff" * 3072)  # one white image, all others black
    data = load_dataset("cifar100", data_dir=tmp_path)
    assert data.mean == pytest.approx([1 / 50_000] * 3)
    assert data.std == pytest.approx([(49_999 / 50_000**2) ** 0.5] * 3)
    assert (len(data.splits["test"].targets), data.n_classes) == (10_000, 100)


def test_what_is_wrong_is_said_of_cifar_100(tmp_path):
    with pytest.raises(MissingInputError, match="^--data cifar100: needs --data-dir"):
        load_dataset("cifar100")
    with pytest.raises(MissingInputError) as missing:
        load_cifar(SMALL, tmp_path, download=False)
    assert "cifar-100-python lacks train and test; " in str(missing.value)
    assert "fetch it there (169 MB)" in str(missing.value)
    write_pickled(tmp_path / "p")
    (tmp_path / "p" / "test").write_bytes(pickled("test").replace(b"fine", b"near"))
    with pytest.raises(InputError, match="p/test: has no fine_labels of CIFAR-100; it is another"):
        load_cifar(SMALL, tmp_path / "p", download=False)
    write_binary(tmp_path / "b")
    content = bytearray((tmp_path / "b" / "test.bin").read_bytes())
    content[1] = 100
    (tmp_path / "b" / "test.bin").write_bytes(content)
    with pytest.raises(
        InputError, match="image 0 has the label 100; the labels of CIFAR-100 are 0 to 99."
    ):
        load_cifar(SMALL, tmp_path / "b", download=False)
