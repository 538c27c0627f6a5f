"""Load data sets by name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import NOUNS, DataSet, Split, UnreadSplit, find_ignored
from landscape_mpi.zoo.loaders import find_data_set, load_splits
from landscape_mpi.zoo.named_data import Statistics
from landscape_mpi.zoo.statistics import channel_statistics, given_mean, given_std
from landscape_mpi.zoo.used_samples import UsedSamples

EVERY_SAMPLE = UsedSamples()


def load_dataset(
    spec: str,
    *,
    data_dir: str | Path | None = None,
    download: bool = False,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    ignore_index: int | str | None = None,
    exact: bool = False,
    used: UsedSamples = EVERY_SAMPLE,
    digest_of_all: bool = True,
) -> DataSet:
    """Load a data set into memory.

    Samples stored one by one, in a Dataset or in files, are read only if they are used. All
    training images are read if the mean and the deviation of their pixels are unknown.

    Args:
        spec: One of loaders.data_forms().
        data_dir: Folder for data sets that are files.
        download: Fetch missing files if the publisher offers them.
        mean: Mean of the pixels, one per channel or one for all, in [0, 1] units; None for the
            usual mean of the data set, or that of the training split. For images only.
        std: Standard deviation of the pixels, in the same form.
        ignore_index: Target to ignore; see find_ignored.
        exact: Keep float64 for a network that computes in it.
        used: The samples that are used.
        digest_of_all: Read unused samples as well, for the digest of all.

    Raises:
        InputError: If spec is unknown, if data, mean or std are not valid, or if the data lack
            samples that are used.
        MissingInputError: If files are missing.
    """
    folder = None if data_dir is None else Path(data_dir)
    loaded = load_splits(spec, data_dir=folder, download=download)
    rows = used.rows(spec, {name: split.n_samples for name, split in loaded.splits.items()})
    splits = {name: loaded.splits[name].of_rows(rows[name]) for name in rows}
    known = splits | {
        name: split.of_rows(None)
        for name, split in loaded.splits.items()
        if digest_of_all or isinstance(split, Split)
    }
    n_classes = loaded.n_classes
    n_classes = n_classes if isinstance(n_classes, int) else n_classes(known)
    train = splits["train"] if used.all_of_training else loaded.splits["train"]
    means, deviations = _find_statistics(spec, next(iter(splits.values())), train, mean, std)
    ignored = find_ignored(known, ignore_index)
    if ignored is not None:
        n_classes = _count_classes(known, n_classes, ignored)
    return DataSet(
        name=spec,
        splits=splits if exact else _in_float32(splits),
        mean=means,
        std=deviations,
        n_classes=n_classes,
        sha256=digest_splits(_in_float32(known)) if digest_of_all else "",
        ignored=ignored,
    )


def _in_float32(splits: Mapping[str, Split]) -> dict[str, Split]:
    return {name: split.in_float32() for name, split in splits.items()}


def _count_classes(splits: Mapping[str, Split], n_classes: int, ignored: int) -> int:
    """Return the number of classes without the ignored target."""
    targets = [split.targets for split in splits.values()]
    if targets[0].dtype.kind != "i" or n_classes != 1 + ignored:
        return n_classes
    return 1 + max(int(each[each != ignored].max(initial=0)) for each in targets)


def digest_splits(splits: Mapping[str, Split]) -> str:
    """Return the SHA-256 over name, type, shape and bytes of every array, in hexadecimal."""
    digest = hashlib.sha256()
    for name, split in splits.items():
        for array in (split.inputs, split.targets):
            digest.update(f"{name} {array.dtype.str} {array.shape} ".encode())
            digest.update(np.ascontiguousarray(array).data.cast("B"))
    return digest.hexdigest()


def _find_statistics(
    spec: str,
    some: Split,
    train: Split | UnreadSplit,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> Statistics:
    """Return the given statistics or the training split's own; return none without images.

    Args:
        spec: Value of --data.
        some: Samples of any split.
        train: The training split; all of it is read if the statistics must be measured.
        mean: See load_dataset.
        std: See load_dataset.

    Raises:
        InputError: If they are given without images, or cannot be used.
    """
    if not some.has_pixels:
        noun = "images of floats" if some.kind == "image" else NOUNS[some.kind]
        given = "--mean" if mean is not None else "--std"
        if mean is not None or std is not None:
            raise InputError(
                f"{given} applies to the pixels of images, but --data {spec} has {noun}, which "
                "are used unchanged. Leave it out."
            )
        return (), ()
    n_channels = some.inputs.shape[-1]
    means = None if mean is None else given_mean(mean, n_channels=n_channels)
    deviations = None if std is None else given_std(std, n_channels=n_channels)
    if means is None or deviations is None:
        own = find_data_set(spec).statistics or channel_statistics(train.of_rows(None).inputs)
        means = means or own[0]
        deviations = deviations or _not_constant(own[1])
    return means, deviations


def _not_constant(std: tuple[float, ...]) -> tuple[float, ...]:
    if 0 in std:
        raise InputError(
            f"--data: channel {std.index(0)} of the training images is constant, so its standard "
            "deviation is 0 and nothing can be divided by it. Pass --std, or leave the channel "
            "out."
        )
    return std
