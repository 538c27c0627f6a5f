"""Data sets by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.zoo import cifar10
from landscape_mpi.zoo.dataset import NOUNS, DataSet, Split
from landscape_mpi.zoo.loaders import load_splits
from landscape_mpi.zoo.statistics import channel_statistics, given_mean, given_std

Statistics = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std, one per channel


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
        spec: One of loaders.FORMS.
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
    splits, n_classes = load_splits(spec, data_dir=folder, download=download)
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


def _find_statistics(
    spec: str, train: Split, mean: Sequence[float] | None, std: Sequence[float] | None
) -> Statistics:
    """Return what was given, or else the training split's own; nothing where there are no images.

    Raises:
        InputError: If they are given where there are no images, or cannot be used.
    """
    if not train.has_pixels:
        noun = "images of floats" if train.kind == "image" else NOUNS[train.kind]
        given = "--mean" if mean is not None else "--std"
        if mean is not None or std is not None:
            raise InputError(
                f"{given}: is for the pixels of images, and --data {spec} has "
                f"{noun}, which are used as they are. Leave it out."
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
