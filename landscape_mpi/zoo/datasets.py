"""Data sets by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.zoo import cifar10, digits
from landscape_mpi.zoo.dataset import DataSet, Split
from landscape_mpi.zoo.npz import load_npz
from landscape_mpi.zoo.statistics import channel_statistics, given_mean, given_std


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
        spec: ``cifar10``, ``digits`` or ``npz:FILE``.
        data_dir: Folder for data sets that are files.
        download: Fetch the files that are not there, where the publisher offers them.
        mean: One per channel or one for all, in [0, 1] units; else that of the training split,
            for cifar10 the one in use.
        std: Likewise.

    Raises:
        InputError: If spec is not known, or data, mean or std are not as they must be.
        MissingInputError: If files are not there.
    """
    folder = None if data_dir is None else Path(data_dir)
    splits = _load_splits(spec, folder, download)
    train = splits["train"].inputs
    n_channels = train.shape[-1]
    usual = (cifar10.MEAN, cifar10.STD) if spec == "cifar10" else channel_statistics(train)
    return DataSet(
        name=spec,
        splits=splits,
        mean=usual[0] if mean is None else given_mean(mean, n_channels=n_channels),
        std=_not_constant(usual[1]) if std is None else given_std(std, n_channels=n_channels),
        n_classes=_count_classes(spec, splits),
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


def _load_splits(spec: str, data_dir: Path | None, download: bool) -> dict[str, Split]:
    if spec.startswith("npz:"):
        return load_npz(spec.removeprefix("npz:"), data_dir=data_dir)
    if spec == "cifar10":
        return cifar10.load_cifar10(data_dir, download=download)
    if spec == "digits":
        return digits.load_digits()
    raise unknown_name("--data", spec, ["cifar10", "digits", "npz:FILE"])


def _count_classes(spec: str, splits: Mapping[str, Split]) -> int:
    known = {"cifar10": cifar10.N_CLASSES, "digits": digits.N_CLASSES}
    largest = max(int(split.targets.max()) for split in splits.values())
    return known.get(spec, largest + 1)


def _not_constant(std: tuple[float, ...]) -> tuple[float, ...]:
    if 0 in std:
        raise InputError(
            f"--data: channel {std.index(0)} of the training images is constant, so its standard "
            "deviation is 0 and cannot divide. Pass --std, or leave the channel out."
        )
    return std
