"""Replace training labels by wrong ones, to see the effect on a loss surface."""

from __future__ import annotations

import dataclasses

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import DataSet, Split


def replace_labels(
    targets: np.ndarray, *, share: float, n_classes: int, seed: int
) -> tuple[np.ndarray, int]:
    """Return the labels with a fraction of them replaced by other classes with equal probability.

    Args:
        targets: int64, of any shape.
        share: Fraction of all labels to replace, 0 to 1.
        n_classes: Number of classes to choose from.
        seed: Seed that decides which labels are replaced, and by which classes.

    Returns:
        The labels and the number of replaced ones.

    Raises:
        InputError: If there is no other class.
    """
    n = round(share * targets.size)
    if n and n_classes < 2:
        raise InputError(
            f"--label-noise {share:g}: the data have one class, so there is no other class to "
            "replace a label with. Leave it out."
        )
    random = np.random.default_rng(seed)
    places = random.choice(targets.size, n, replace=False)
    noisy = targets.flatten()
    noisy[places] = (noisy[places] + random.integers(1, max(2, n_classes), n)) % n_classes
    return noisy.reshape(targets.shape), n


def with_noise(data: DataSet, *, share: float, seed: int) -> tuple[DataSet, int]:
    """Return the data with a fraction of the training labels replaced, and the number of these.

    Raises:
        InputError: If some labels are ignored, or there is only one class.
    """
    if share and data.ignored is not None:
        raise InputError(
            f"--label-noise {share:g}: replaces labels by other classes, but targets of "
            f"{data.ignored} do not count and stand for no class. Leave out --label-noise."
        )
    train = data.splits["train"]
    noisy, n = replace_labels(train.targets, share=share, n_classes=data.n_classes, seed=seed)
    splits = data.splits | {"train": Split(train.inputs, noisy)}
    return dataclasses.replace(data, splits=splits), n
