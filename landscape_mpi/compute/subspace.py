"""Principal components of many weight vectors, and least squares onto two directions.

Nothing here holds the vectors whole: every sum over weights is made of chunks, float64, and
added by the caller in the order of the chunks. Chunks depend on the number of vectors and of
weights alone, so that the sums are the same bits wherever they are made.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from landscape_mpi.errors import InputError

CHUNK_VALUES = 2**24  # of all vectors together: 128 MiB in float64
N_CHUNKS = 64  # at least, where they have LEAST_CHUNK weights, so that ranks can share
LEAST_CHUNK = 4096
ROWS = 64  # of the Gram matrix at a time
ROUNDING = 1e-12  # share of the first component under which one is rounding alone
PARALLEL = 1e-12  # of the squared sine between two directions


@dataclass(frozen=True)
class Components:
    """Principal components, as sums over the vectors."""

    weights: np.ndarray  # float64 [n_vectors, n_components]: component = vectors.T @ weights
    shares: np.ndarray  # float64 [n_components], of the sum of squares


@dataclass(frozen=True)
class Sums:
    """What least squares onto directions needs: inner products over weights."""

    squares: np.ndarray  # float64 [n_vectors], of the vectors with themselves
    along: np.ndarray  # float64 [n_vectors, n_directions], of vectors and directions
    gram: np.ndarray  # float64 [n_directions, n_directions]

    def __add__(self, other: Sums) -> Sums:
        """Return the sums over both stretches of weights."""
        return Sums(self.squares + other.squares, self.along + other.along, self.gram + other.gram)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let a product be summed in one order: on another number of threads it may be another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def chunk_length(n_vectors: int, n_weights: int) -> int:
    """Return how many weights a chunk has."""
    fair = max(LEAST_CHUNK, -(-n_weights // N_CHUNKS))
    return max(1, min(fair, CHUNK_VALUES // max(1, n_vectors), n_weights))


def differences(chunk: np.ndarray, center: np.ndarray) -> torch.Tensor:
    """Return vectors less the center, float64 [n_vectors, n], exactly.

    Args:
        chunk: Float32 [n_vectors, n].
        center: Float32 [n].
    """
    return torch.from_numpy(chunk).double() - torch.from_numpy(center).double()


def gram_of(vectors: torch.Tensor) -> np.ndarray:
    """Return the inner products of vectors [n_vectors, n], float64 [n_vectors, n_vectors]."""
    gram = torch.zeros(len(vectors), len(vectors), dtype=torch.float64)
    for begin in range(0, len(vectors), ROWS):  # the lower half: the rest is its mirror image
        end = min(begin + ROWS, len(vectors))
        gram[begin:end, :end] = vectors[begin:end] @ vectors[:end].T
    lower = torch.tril(gram)
    return (lower + torch.tril(gram, -1).T).numpy()


def find_components(gram: np.ndarray, n: int, *, mean_centred: bool) -> Components:
    """Return the first principal components of vectors from their Gram matrix.

    Each has length 1, and points to where the vector that is longest along it lies.

    Args:
        gram: Inner products of the vectors, float64 [n_vectors, n_vectors].
        n: How many components.
        mean_centred: Take the mean of the vectors off before, as most programs do. The plane
            of a path through its end is the one without.

    Raises:
        InputError: If the vectors have fewer components.

    Source: Li et al. 2018, arXiv:1712.09913, section 7.
    """
    n_vectors = len(gram)
    centred = _off_the_mean(_off_the_mean(gram).T) if mean_centred else gram
    values, columns = torch.linalg.eigh(torch.from_numpy(centred))
    values, columns = values.flip(0)[:n].numpy(), columns.flip(1)[:, :n].numpy()
    there = int((values > max(ROUNDING * values[0], 0.0)).sum()) if n_vectors else 0
    if there < n:
        raise InputError(
            f"--components: {n} are asked for, and {n_vectors} checkpoints that differ from the "
            f"center have {there}. Pass more checkpoints, or random directions."
        )
    longest = columns[np.abs(columns).argmax(axis=0), np.arange(n)]
    weights = columns * np.sign(longest) / np.sqrt(values)
    if mean_centred:
        weights = _off_the_mean(weights)
    return Components(weights, values / np.trace(centred))


def _off_the_mean(rows: np.ndarray) -> np.ndarray:
    return rows - rows.mean(axis=0)


def sums_of(vectors: torch.Tensor, directions: torch.Tensor) -> Sums:
    """Return the inner products over a stretch of weights.

    Args:
        vectors: Float64 [n_vectors, n].
        directions: Float64 [n_directions, n].
    """
    return Sums(
        squares=(vectors * vectors).sum(dim=1).numpy(),
        along=(vectors @ directions.T).numpy(),
        gram=(directions @ directions.T).numpy(),
    )


def project(sums: Sums, *, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return where vectors lie in the plane of two directions, skew or not, unit or not.

    Args:
        sums: Their inner products.
        names: Of the directions, for the message.

    Returns:
        Coordinates, float64 [n_vectors, 2], the nearest point of the plane; and what is left,
        float64 [n_vectors]: the distance from the plane over that from the center, 0 to 1.

    Raises:
        InputError: If a direction is zero, or both are parallel.
    """
    (xx, xy), (_, yy) = sums.gram
    for name, square in zip(names, (xx, yy), strict=True):
        if square == 0:
            raise InputError(f"{name}: is zero on the weights that move, so it is no direction.")
    if xx * yy - xy**2 <= PARALLEL * xx * yy:
        raise InputError(f"{names[0]} and {names[1]} are parallel, and span no plane. Pass others.")
    coordinates = np.linalg.solve(sums.gram, sums.along.T).T
    left = sums.squares - (coordinates * sums.along).sum(axis=1)
    lengths = np.maximum(sums.squares, np.finfo(float).tiny)
    return coordinates, np.sqrt(np.clip(left / lengths, 0.0, 1.0))
