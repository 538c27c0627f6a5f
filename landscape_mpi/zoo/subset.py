"""Choose subsets of samples: random by default, because many data sets are sorted by class."""

from __future__ import annotations

import numpy as np

from landscape_mpi.zoo.dataset import Split

FIRST = "first"
RANDOM = "random:"  # followed by the seed


def rows_of(subset: str, n: int, n_samples: int) -> np.ndarray:
    """Return the rows of some samples of a split, in ascending order, int64 [n].

    A seed gives the same rows in every run, and the rows for a smaller n are among those for a
    larger n.

    Args:
        subset: ``first`` or ``random:SEED``.
        n: Number of samples to take.
        n_samples: Number of samples of the split.
    """
    if subset == FIRST or n >= n_samples:
        return np.arange(min(n, n_samples))
    keys = np.random.default_rng(int(subset.removeprefix(RANDOM))).random(n_samples)
    return np.sort(np.argsort(keys, kind="stable")[:n])


def take(split: Split, subset: str, n: int) -> Split:
    """Return a copy of some samples of a split; see rows_of."""
    return split.of_rows(rows_of(subset, n, split.n_samples))


def describe(subset: str) -> str:
    """Describe a subset in words, e.g. ``drawn at random with seed 0``."""
    if subset == FIRST:
        return "the first of the data set"
    return f"drawn at random with seed {subset.removeprefix(RANDOM)}"
