"""Data sets by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.zoo import cifar10, digits, mnist
from landscape_mpi.zoo.cifar import load_cifar
from landscape_mpi.zoo.cifar100 import CIFAR100
from landscape_mpi.zoo.dataset import NOUNS, DataSet, Split
from landscape_mpi.zoo.image_folder import load_folder
from landscape_mpi.zoo.mnist import COLLECTIONS, load_mnist
from landscape_mpi.zoo.npz import load_npz
from landscape_mpi.zoo.statistics import channel_statistics, given_mean, given_std

FORMS = ("cifar10", "cifar100", "mnist", "fashion_mnist", "digits", "folder:DIR", "npz:FILE")
Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std, one per channel


class Loaded(NamedTuple):
    """What a loader returns."""

    splits: dict[str, Split]
    n_classes: int


def load_dataset(
    spec: str,
    *,
    data_dir: str | Path | None = None,
    download: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> DataSet:
    """Load a data set into memory.

    Args:
        spec: One of FORMS.
        data_dir: Folder for data sets that are files.
        download: Fetch the files that are not there, where the publisher offers them.
        mean: One per channel or one for all, in [0, 1] units; else that of the training split,
            for cifar10 the one in use. For images only.
        std: Likewise.

    Raises:
        InputError: If spec is not known, or data, mean or std are not as they must be.
        MissingInputError: If files are not there.
    """
    folder = None if data_dir is None else Path(data_dir)
    splits, n_classes = _load(spec, folder, download)
    means, deviations = _find_statistics(spec, splits["train"], mean, std)
    return DataSet(
        name=spec,
        splits=splits,
        mean=means,
        std=deviations,
        n_classes=n_classes,
        sha256=digest_splits(splits),
    )


def digest_splits(splits: Mapping[str, Split]) -> str:
    """Return SHA-256 over name, type, shape and bytes of every array, in hexadecimal."""
    digest = hashlib.sha256()
    for name, split in splits.items():
        for array in (split.inputs, split.targets):
            digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()


def _load(spec: str, data_dir: Path | None, download: bool) -> Loaded:
    name, colon, argument = spec.partition(":")
    if name == "npz" and colon:
        splits = load_npz(argument, data_dir=data_dir)
        return Loaded(splits, 1 + max(int(split.targets.max()) for split in splits.values()))
    if name == "folder" and colon:
        return Loaded(*load_folder(argument, data_dir=data_dir))
    if spec == "cifar10":
        splits = cifar10.load_cifar10(data_dir, download=download)
        return Loaded(splits, cifar10.N_CLASSES)
    if spec == "cifar100":
        return Loaded(load_cifar(CIFAR100, data_dir, download=download), CIFAR100.n_classes)
    for collection in COLLECTIONS:
        if spec == collection.name:
            return Loaded(load_mnist(collection, data_dir, download=download), mnist.N_CLASSES)
    if spec == "digits":
        return Loaded(digits.load_digits(), digits.N_CLASSES)
    raise unknown_name("--data", spec, FORMS)


def _find_statistics(
    spec: str, train: Split, mean: Sequence[float] | None, std: Sequence[float] | None
) -> Statistics:
    """Return what was given, or else the training split's own; nothing where there are no images.

    Raises:
        InputError: If they are given where there are no images, or cannot be used.
    """
    if train.kind != "image":
        given = "--mean" if mean is not None else "--std"
        if mean is not None or std is not None:
            raise InputError(
                f"{given}: is for the pixels of images, and --data {spec} has "
                f"{NOUNS[train.kind]}, which are used as they are. Leave it out."
            )
        return (), ()
    n_channels = train.inputs.shape[-1]
    is_cifar10 = spec == "cifar10"
    usual = (cifar10.MEAN, cifar10.STD) if is_cifar10 else channel_statistics(train.inputs)
    means = usual[0] if mean is None else given_mean(mean, n_channels=n_channels)
    if std is None:
        return means, _not_constant(usual[1])
    return means, given_std(std, n_channels=n_channels)


def _not_constant(std: tuple[float, ...]) -> tuple[float, ...]:
    if 0 in std:
        raise InputError(
            f"--data: channel {std.index(0)} of the training images is constant, so its standard "
            "deviation is 0 and cannot divide. Pass --std, or leave the channel out."
        )
    return std
