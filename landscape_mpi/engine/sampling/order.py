"""The order in which samples are taken: random, and the same at every point."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

ORDER_SEED = 0
LEAST = 256  # samples of the first portion, or the next whole number of batches


def portions(n_samples: int, batch: int) -> list[np.ndarray]:
    """Return the rows of each portion of a split: each portion doubles the samples taken.

    Rows within a portion keep the order of the data. Portions consist of whole batches, so if the
    first one takes all samples, its batches are those of an exact run.

    Args:
        n_samples: Samples of the split, or batches of a problem.
        batch: Samples in a forward pass; 1 for a problem.

    Returns:
        Rows of each portion, rising, int64 [n].
    """
    # Raw draws are the same in any version of NumPy; shuffles need not be.
    draws = np.random.PCG64(ORDER_SEED).random_raw(n_samples)
    order = np.argsort(draws, kind="stable")
    ends = np.cumsum(portion_sizes(n_samples, batch))
    return [np.sort(each) for each in np.split(order, ends[:-1])]


def portion_sizes(n_samples: int, batch: int) -> list[int]:
    """Return the number of samples of each portion.

    Args:
        n_samples: Samples of the split, or batches of a problem.
        batch: Samples in a forward pass; 1 for a problem.
    """
    ends = [0, _first(n_samples, batch)]
    while ends[-1] < n_samples:
        ends.append(min(2 * ends[-1], n_samples))
    return [end - start for start, end in itertools.pairwise(ends)]


def least_samples(n_samples: Mapping[str, int], batch: int) -> list[int]:
    """Return the number of samples that every point takes, for each split.

    Args:
        n_samples: Samples by split.
        batch: Samples in a forward pass.
    """
    return [_first(n, batch) for n in n_samples.values()]


def _first(n_samples: int, batch: int) -> int:
    return min(-(-LEAST // batch) * batch, n_samples)
