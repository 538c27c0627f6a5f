"""Find principal components of many weight vectors, and project onto two directions.

No function here holds whole vectors: every sum over weights is computed in chunks, float64, and the
caller adds the chunks in order. The chunks depend only on the numbers of vectors and weights, so
the sums have the same bits on any machine.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from landscape_mpi.errors import InputError

CHUNK_VALUES = 2**24  # entries of all vectors together: 128 MiB in float64
N_CHUNKS = 64  # least number of chunks, if they have LEAST_CHUNK weights, so that ranks can share
LEAST_CHUNK = 4096
ROWS = 64  # rows of the Gram matrix at a time
ROUNDING = 1e-12  # share of the first component; a smaller one is rounding
PARALLEL = 1e-12  # least squared sine between two directions


@dataclass(frozen=True)
class Components:
    """Hold principal components as sums over the vectors."""

    weights: np.ndarray  # float64 [n_vectors, n_components]: component = vectors.T @ weights
    shares: np.ndarray  # share of the sum of squares, float64 [n_components]


@dataclass(frozen=True)
class Sums:
    """Hold the inner products that a projection onto directions needs."""

    squares: np.ndarray  # float64 [n_vectors], of the vectors with themselves
    along: np.ndarray  # float64 [n_vectors, n_directions], of vectors and directions
    gram: np.ndarray  # float64 [n_directions, n_directions]

    def __add__(self, other: Sums) -> Sums:
        """Return the sums over both stretches of weights."""
        return Sums(self.squares + other.squares, self.along + other.along, self.gram + other.gram)


@contextmanager
def one_thread() -> Iterator[None]:
    """Sum products on one thread, because their order depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def chunk_length(n_vectors: int, n_weights: int) -> int:
    """Return the number of weights in a chunk."""
    fair = max(LEAST_CHUNK, -(-n_weights // N_CHUNKS))
    return max(1, min(fair, CHUNK_VALUES // max(1, n_vectors), n_weights))


def differences(chunk: np.ndarray, center: np.ndarray) -> torch.Tensor:
    """Return vectors less the center, float64 [n_vectors, n], exactly.

    Args:
        chunk: Part of the vectors, float32 [n_vectors, n].
        center: The same part of the center, float32 [n].
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

    Each has length 1 and points toward the vector with the longest projection on it.

    Args:
        gram: Inner products of the vectors, float64 [n_vectors, n_vectors].
        n: Number of components.
        mean_centred: Whether to subtract the mean of the vectors first, as most programs do.
            Without it, the plane of a trajectory contains the trajectory's end.

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
            f"--components {n}: the {n_vectors} checkpoints that differ from the center have only "
            f"{there}. Pass more checkpoints, or use random directions."
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
        vectors: Vectors, float64 [n_vectors, n].
        directions: Directions, float64 [n_directions, n].
    """
    return Sums(
        squares=(vectors * vectors).sum(dim=1).numpy(),
        along=(vectors @ directions.T).numpy(),
        gram=(directions @ directions.T).numpy(),
    )


def project(sums: Sums, *, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Project vectors onto the plane of two directions of any angle and length.

    Args:
        sums: Their inner products.
        names: Names of the directions, for the message.

    Returns:
        Coordinates of the nearest point of the plane, float64 [n_vectors, 2]; and the distance from
        the plane divided by the distance from the center, 0 to 1, float64 [n_vectors].

    Raises:
        InputError: If a direction is zero, or both are parallel.
    """
    (xx, xy), (_, yy) = sums.gram
    for name, square in zip(names, (xx, yy), strict=True):
        if square == 0:
            raise InputError(
                f"{name} is zero on the weights that move, so it is not a direction. Move other "
                "weights too, or pass another direction."
            )
    if xx * yy - xy**2 <= PARALLEL * xx * yy:
        raise InputError(
            f"{names[0]} and {names[1]} are parallel, so they span no plane. Pass other directions."
        )
    coordinates = np.linalg.solve(sums.gram, sums.along.T).T
    left = sums.squares - (coordinates * sums.along).sum(axis=1)
    lengths = np.maximum(sums.squares, np.finfo(float).tiny)
    return coordinates, np.sqrt(np.clip(left / lengths, 0.0, 1.0))
