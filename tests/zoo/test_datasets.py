"""Oracles: numpy's mean and std, hashlib over bytes joined here, sparse files of zeros in the
publisher's binary format at full size, and the sentences.
"""

import hashlib
import os

import numpy as np
import pytest

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.dataset import Split
from landscape_mpi.zoo.datasets import digest_splits, load_dataset

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 9, 3), dtype=np.uint8)
LABELS = np.array([0, 1, 4, 1, 2, 0])


@pytest.fixture
def spec(tmp_path):
    np.savez(
        tmp_path / "a.npz", images=IMAGES, labels=LABELS, test_images=IMAGES, test_labels=LABELS + 2
    )
    return f"npz:{tmp_path}/a.npz"


def test_npz_has_its_own_statistics_and_the_classes_of_all_splits(spec):
    data = load_dataset(spec)
    floats = IMAGES / 255
    np.testing.assert_allclose(data.mean, floats.mean(axis=(0, 1, 2)), rtol=1e-13)
    np.testing.assert_allclose(data.std, floats.std(axis=(0, 1, 2)), rtol=1e-13)
    assert (data.name, data.n_classes) == (spec, 7)
    assert len(load_dataset("npz:a.npz", data_dir=spec[4:-6]).splits) == 2


def test_mean_and_std_can_be_given_one_by_one(spec):
    data = load_dataset(spec, mean=[0.5], std=(0.1, 0.2, 0.3))
    assert data.mean == (0.5, 0.5, 0.5)
    assert data.std == (0.1, 0.2, 0.3)
    assert load_dataset(spec, std=[1]).mean == load_dataset(spec).mean
    with pytest.raises(InputError, match="--mean has 2 numbers"):
        load_dataset(spec, mean=[0.1, 0.2])


def test_digits_are_standardised_by_their_training_split():
    data = load_dataset("digits")
    train = data.splits["train"].inputs / 255
    assert data.mean == pytest.approx([train.mean()], rel=1e-13)
    assert data.std == pytest.approx([train.std()], rel=1e-13)
    assert data.n_classes == 10


def test_cifar10_has_the_mean_and_std_in_use(tmp_path):
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        (tmp_path / f"{name}.bin").touch()
        os.truncate(tmp_path / f"{name}.bin", 10_000 * 3073)
    data = load_dataset("cifar10", data_dir=tmp_path)
    assert np.multiply(data.mean, 255) == pytest.approx([125.3, 123.0, 113.9])
    assert np.multiply(data.std, 255) == pytest.approx([63.0, 62.1, 66.7])
    assert data.splits["train"].inputs.shape == (50_000, 32, 32, 3)
    assert data.splits["test"].inputs.shape == (10_000, 32, 32, 3)
    assert data.n_classes == 10


def test_constant_channel_asks_for_std(tmp_path):
    images = IMAGES.copy()
    images[..., 1] = 7
    np.savez(tmp_path / "a.npz", images=images, labels=LABELS)
    with pytest.raises(
        InputError, match="channel 1 of the training images is constant.*Pass --std"
    ):
        load_dataset("npz:a.npz", data_dir=tmp_path)
    assert load_dataset("npz:a.npz", data_dir=tmp_path, std=[1]).std == (1.0, 1.0, 1.0)


def test_digest_covers_names_types_shapes_and_bytes():
    split = Split(IMAGES, LABELS)
    expected = hashlib.sha256(
        b"train |u1 (6, 8, 9, 3) " + IMAGES.tobytes() + b"train <i8 (6,) " + LABELS.tobytes()
    )
    assert digest_splits({"train": split}) == expected.hexdigest()
    transposed = Split(np.asfortranarray(IMAGES), LABELS)
    assert digest_splits({"train": transposed}) == expected.hexdigest()
    others = [
        {"test": split},
        {"train": Split(IMAGES.reshape(6, 9, 8, 3), LABELS)},
        {"train": Split(IMAGES, LABELS.astype(np.int32))},
        {"train": Split(IMAGES, LABELS[::-1])},
        {"train": split, "test": split},
    ]
    assert len({digest_splits(splits) for splits in others} - {expected.hexdigest()}) == 5


def test_unknown_name_and_missing_files():
    with pytest.raises(InputError) as caught:
        load_dataset("cifar11")
    assert str(caught.value) == (
        "--data: 'cifar11' is not known. Did you mean cifar10? Known: cifar10, cifar100, mnist, "
        "fashion_mnist, digits, folder:DIR, npz:FILE, seismic, seismic:SEED, shakespeare, "
        "shakespeare:LENGTH, package.module:function."
    )
    for spec in ("cifar10:1", "npz", "folder", "seismic7"):
        with pytest.raises(InputError, match=f"^--data: '{spec}' is not known."):
            load_dataset(spec)
    with pytest.raises(MissingInputError, match="--data cifar10: needs --data-dir"):
        load_dataset("cifar10")
    with pytest.raises(MissingInputError, match="--data npz:: there is no file"):
        load_dataset("npz:")


@pytest.mark.parametrize("spec", ["seismic:", "seismic:-1", "seismic:x", "seismic:10000000000"])
def test_seeds_are_whole_numbers(spec):
    with pytest.raises(InputError) as caught:
        load_dataset(spec)
    assert str(caught.value) == f"--data {spec}: SEED must be a whole number from 0 to 10**9."


def test_lengths_are_whole_numbers_above_0():
    with pytest.raises(InputError) as caught:
        load_dataset("shakespeare:0")
    assert str(caught.value) == (
        "--data shakespeare:0: LENGTH must be a whole number from 1 to 10**9."
    )


def test_mean_and_std_are_for_images_only(tmp_path):
    (tmp_path / "input.txt").write_text("to be or not to be, that is the question " * 9)
    data = load_dataset("shakespeare:5", data_dir=tmp_path)
    assert (data.mean, data.std) == ((), ())
    with pytest.raises(InputError) as caught:
        load_dataset("shakespeare:5", data_dir=tmp_path, std=[0.5])
    assert str(caught.value) == (
        "--std applies to the pixels of images, but --data shakespeare:5 has sequences, which are "
        "used unchanged. Leave it out."
    )
