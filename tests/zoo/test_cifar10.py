"""Oracles: small archives in the publisher's two formats, written here with pickle, struct and
tarfile from images whose pixels and labels are known; a real HTTP server on this machine; and
the sentences.
"""

import hashlib
import io
import os
import pickle
import tarfile

import numpy as np
import pytest
from refusals import refused

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.cifar10 import load_cifar10

N = 3  # images in a batch
NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def pixels(batch):
    """Images of one batch, uint8 [N, 3, 32, 32], planes in the publisher's order."""
    return np.random.default_rng(batch).integers(0, 256, (N, 3, 32, 32), dtype=np.uint8)


def labels(batch):
    return [(7 * batch + i) % 10 for i in range(N)]


def pickled(batch, module="numpy.core.multiarray"):
    """A batch as Python 2 wrote it: protocol 2, byte keys, numpy's old or new module."""
    entries = {
        b"batch_label": b"some batch",
        b"labels": labels(batch),
        b"data": pixels(batch).reshape(N, -1),
        b"filenames": [b"a.png"] * N,
    }
    content = pickle.dumps(entries, protocol=2)
    assert b"cnumpy._core.multiarray\n" in content
    return content.replace(b"cnumpy._core.multiarray\n", f"c{module}\n".encode())


def binary(batch):
    rows = zip(labels(batch), pixels(batch), strict=True)
    return b"".join(bytes([label]) + image.tobytes() for label, image in rows)


def write_pickled(folder, **settings):
    folder.mkdir()
    for batch, name in enumerate(NAMES):
        (folder / name).write_bytes(pickled(batch, **settings))


def write_binary(folder):
    folder.mkdir()
    for batch, name in enumerate(NAMES):
        (folder / f"{name}.bin").write_bytes(binary(batch))


def assert_published(splits):
    images = np.concatenate([pixels(batch) for batch in range(5)])
    train, test = splits["train"], splits["test"]
    assert train.inputs.dtype == np.uint8
    np.testing.assert_array_equal(train.inputs[..., 2], images[:, 2])
    np.testing.assert_array_equal(train.inputs[4, 5, 6], images[4, :, 5, 6])
    assert train.targets.tolist() == [label for batch in range(5) for label in labels(batch)]
    np.testing.assert_array_equal(test.inputs[..., 0], pixels(5)[:, 0])
    assert test.targets.tolist() == labels(5)
    assert test.targets.dtype == np.int64


def refusal(folder, **settings):
    return refused(load_cifar10, folder, n_per_batch=N, **settings)


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_pickled_batches_with_both_of_numpys_names(tmp_path, module):
    write_pickled(tmp_path / "cifar-10-batches-py", module=module)
    assert_published(load_cifar10(tmp_path, n_per_batch=N))
    assert_published(load_cifar10(tmp_path / "cifar-10-batches-py", n_per_batch=N))


def test_batches_pickled_again_by_python_3(tmp_path):
    write_pickled(tmp_path / "cifar-10-batches-py")
    for batch, name in enumerate(NAMES):
        entries = {"data": pixels(batch).reshape(N, -1), "labels": np.array(labels(batch))}
        (tmp_path / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(entries, protocol=4))
    assert_published(load_cifar10(tmp_path, n_per_batch=N))


def test_binary_batches(tmp_path):
    write_binary(tmp_path / "cifar-10-batches-bin")
    assert_published(load_cifar10(tmp_path, n_per_batch=N))
    assert_published(load_cifar10(tmp_path / "cifar-10-batches-bin", n_per_batch=N))


def test_published_batches_have_ten_thousand_images(tmp_path):
    write_binary(tmp_path / "b")
    with pytest.raises(InputError) as caught:
        load_cifar10(tmp_path / "b")
    assert str(caught.value) == (
        f"{tmp_path}/b/data_batch_1.bin: has 3 images, but the published batch has 10,000. Unpack "
        "the archive again, or pass your own images as --data npz:FILE."
    )


class Hostile:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_pickles_run_no_code(tmp_path, protocol):
    folder = tmp_path / "p"
    write_pickled(folder)
    hostile = {b"data": Hostile(os.mkdir, str(tmp_path / "ran")), b"labels": labels(0)}
    (folder / "data_batch_2").write_bytes(pickle.dumps(hostile, protocol=protocol))
    assert refusal(folder) == (
        f"{folder}/data_batch_2: is truncated, or not a batch of CIFAR-10 (UnpicklingError: "
        "posix.mkdir does not belong in it, and is not run). Unpack the archive again."
    )
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("function", [eval, getattr, np.load, np.frombuffer])
def test_no_other_function_is_admitted(tmp_path, function):
    folder = tmp_path / "p"
    write_pickled(folder)
    (folder / "test_batch").write_bytes(pickle.dumps({b"data": Hostile(function, "1")}))
    assert "does not belong in it, and is not run" in refusal(folder)


@pytest.mark.parametrize("size", [0, 1, 100, 5000, -1])
def test_truncated_pickle_is_named(tmp_path, size):
    write_pickled(tmp_path / "p")
    (tmp_path / "p" / "test_batch").write_bytes(pickled(5)[:size])
    assert refusal(tmp_path / "p").startswith(f"{tmp_path}/p/test_batch: is truncated, or not a")


@pytest.mark.parametrize("content", [[1, 2], {b"data": 3, b"labels": [1]}, {b"labels": [1]}])
def test_pickle_of_something_else(tmp_path, content):
    write_pickled(tmp_path / "p")
    (tmp_path / "p" / "data_batch_1").write_bytes(pickle.dumps(content))
    assert refusal(tmp_path / "p") == (
        f"{tmp_path}/p/data_batch_1: has no data of CIFAR-10; it is another pickle. "
        "Unpack the archive again."
    )


def test_wrong_sizes_and_labels_in_a_pickle(tmp_path):
    path = tmp_path / "p" / "data_batch_1"
    write_pickled(tmp_path / "p")
    data = pixels(0).reshape(N, -1)
    path.write_bytes(pickle.dumps({b"data": data[:, :-1], b"labels": labels(0)}, protocol=2))
    assert refusal(tmp_path / "p") == (
        f"{path}: has images of the shape [3, 3071] and 3 labels, but must have [n, 3072] and n. "
        "Unpack the archive again."
    )
    path.write_bytes(pickle.dumps({b"data": data, b"labels": [0, 10, 1]}, protocol=2))
    assert refusal(tmp_path / "p") == (
        f"{path}: image 1 has the label 10; the labels of CIFAR-10 are 0 to 9. "
        "Unpack the archive again, or pass your own images as --data npz:FILE."
    )
    path.write_bytes(pickle.dumps({b"data": data, b"labels": [0, 1, -1]}, protocol=2))
    assert "image 2 has the label -1" in refusal(tmp_path / "p")
    path.write_bytes(pickle.dumps({b"data": data, b"labels": [0.5, 1, 2]}, protocol=2))
    assert refusal(tmp_path / "p") == (
        f"{path}: has no labels of CIFAR-10; it is another pickle. Unpack the archive again."
    )


@pytest.mark.parametrize("size", [0, 100, 3 * 3073 - 1])
def test_truncated_binary_batch(tmp_path, size):
    write_binary(tmp_path / "b")
    os.truncate(tmp_path / "b" / "data_batch_4.bin", size)
    assert refusal(tmp_path / "b") == (
        f"{tmp_path}/b/data_batch_4.bin: has {size:,} bytes, which is not a whole number of "
        "records of 3,073: it is truncated. Unpack the archive again."
    )


def test_without_data_the_message_says_where_it_looked_and_both_ways_out(tmp_path):
    with pytest.raises(MissingInputError) as caught:
        load_cifar10(tmp_path)
    assert str(caught.value) == (
        f"--data cifar10: not in {tmp_path}: {tmp_path}/cifar-10-batches-py lacks data_batch_1 "
        f"to test_batch; {tmp_path}/cifar-10-batches-bin lacks data_batch_1.bin to "
        f"test_batch.bin; {tmp_path} lacks data_batch_1 to test_batch; {tmp_path} lacks "
        "data_batch_1.bin to test_batch.bin. Pass --download to fetch it "
        "there (170 MB), or --data-dir with the folder that has it."
    )
    with pytest.raises(MissingInputError, match="needs --data-dir, the folder of its files"):
        load_cifar10(None, download=True)


def test_incomplete_data_names_what_is_missing(tmp_path):
    write_pickled(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    assert f"{tmp_path}/cifar-10-batches-py lacks data_batch_3; " in refusal(tmp_path)


def archive(names=NAMES):
    """A small cifar-10-python.tar.gz, and its checksum."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        for batch, name in enumerate(names):
            entry = tarfile.TarInfo(f"cifar-10-batches-py/{name}")
            content = pickled(batch)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return stream.getvalue(), f"md5:{hashlib.md5(stream.getvalue()).hexdigest()}"


@pytest.fixture
def publisher(publisher):
    publisher.url += "/small.tar.gz"
    return publisher


def test_download_is_fetched_once_and_read(tmp_path, publisher):
    content, known_hash = archive()
    publisher.files["/small.tar.gz"] = content
    folder = tmp_path / "new"
    for _ in range(2):
        splits = load_cifar10(
            folder, download=True, url=publisher.url, known_hash=known_hash, n_per_batch=N
        )
        assert_published(splits)
    assert publisher.n_requests == 1
    assert sorted(os.listdir(folder / "cifar-10-batches-py")) == sorted(NAMES)


def test_incomplete_folder_is_completed_from_the_archive_at_hand(tmp_path, publisher):
    content, known_hash = archive()
    (tmp_path / "small.tar.gz").write_bytes(content)
    write_pickled(tmp_path / "cifar-10-batches-py")
    (tmp_path / "cifar-10-batches-py" / "data_batch_3").unlink()
    splits = load_cifar10(
        tmp_path, download=True, url=publisher.url, known_hash=known_hash, n_per_batch=N
    )
    assert_published(splits)
    assert publisher.n_requests == 0


def test_wrong_checksum_leaves_nothing(tmp_path, publisher):
    publisher.files["/small.tar.gz"] = archive()[0][:-1]
    text = refusal(tmp_path, download=True, url=publisher.url, known_hash=archive()[1])
    assert text.startswith(f"--download: {publisher.url} could not be fetched into {tmp_path}: MD5")
    assert "does not match the known hash" in text
    assert os.listdir(tmp_path) == []


def test_publisher_without_the_file_or_not_there(tmp_path, publisher):
    text = refusal(tmp_path, download=True, url=publisher.url, known_hash="md5:0")
    assert "404" in text
    assert text.endswith("copy the unpacked archive there from another machine.")
    gone = publisher.url.replace(str(publisher.server_port), "1")
    assert "refused" in refusal(tmp_path, download=True, url=gone, known_hash="md5:0")


def test_archive_of_something_else(tmp_path, publisher):
    content, known_hash = archive(names=NAMES[:-1])
    publisher.files["/small.tar.gz"] = content
    settings = {"download": True, "url": publisher.url}
    text = refusal(tmp_path / "a", known_hash=known_hash, **settings)
    assert text == (
        f"{tmp_path}/a/small.tar.gz: filename 'cifar-10-batches-py/test_batch' not found; it is "
        "another archive. Remove it, and pass --download."
    )
    publisher.files["/small.tar.gz"] = b"no archive"
    known_hash = f"md5:{hashlib.md5(b'no archive').hexdigest()}"
    text = refusal(tmp_path / "b", known_hash=known_hash, **settings)
    assert text.startswith(f"{tmp_path}/b/small.tar.gz: cannot be unpacked: ")
