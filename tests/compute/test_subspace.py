"""Oracles: a dense SVD and a dense least squares of the whole matrix in float64, and points that
are built inside a plane.
"""

import numpy as np
import pytest
import torch

from landscape_mpi.compute.subspace import (
    CHUNK_VALUES,
    chunk_length,
    differences,
    find_components,
    gram_of,
    one_thread,
    project,
    sums_of,
)
from landscape_mpi.errors import InputError

N = 5000
NAMES = ("--x-direction", "--y-direction")


def walk(n_vectors, seed=0):
    """Random walks have the slowly falling spectrum of a training."""
    steps = np.random.default_rng(seed).standard_normal((n_vectors, N)).astype(np.float32)
    return torch.from_numpy(np.cumsum(steps, axis=0)).double()


@pytest.mark.parametrize("n_vectors", [3, 64, 130])
def test_the_gram_matrix_is_that_of_numpy(n_vectors):
    vectors = walk(n_vectors)
    expected = vectors.numpy() @ vectors.numpy().T
    gram = gram_of(vectors)
    np.testing.assert_allclose(gram, expected, rtol=1e-12)
    np.testing.assert_array_equal(gram, gram.T)


@pytest.mark.parametrize("mean_centred", [False, True])
def test_the_components_are_those_of_a_dense_svd(mean_centred):
    vectors = walk(20)
    dense = vectors.numpy() - (vectors.numpy().mean(axis=0) if mean_centred else 0.0)
    _, singular, right = np.linalg.svd(dense, full_matrices=False)
    found = find_components(gram_of(vectors), 5, mean_centred=mean_centred)
    np.testing.assert_allclose(found.shares, (singular**2 / (singular**2).sum())[:5], rtol=1e-6)
    components = found.weights.T @ vectors.numpy()
    cosines = (components * right[:5]).sum(axis=1)
    np.testing.assert_allclose(np.abs(cosines), 1.0, rtol=1e-9)  # unit length too
    along = vectors.numpy() @ components.T
    if not mean_centred:
        assert (along[np.abs(along).argmax(axis=0), np.arange(5)] > 0).all()


def test_more_components_than_there_are_is_refused():
    line = torch.outer(torch.arange(4.0), torch.ones(N)).double()
    with pytest.raises(InputError, match="--components 2: the 4 checkpoints .* 1."):
        find_components(gram_of(line), 2, mean_centred=False)


def test_checkpoints_that_are_all_the_center_have_no_component():
    with pytest.raises(InputError, match="3 checkpoints that differ from the center have only 0"):
        find_components(np.zeros((3, 3)), 1, mean_centred=False)


@pytest.mark.parametrize("angle", [np.pi / 2, 1.0, 1e-2])
@pytest.mark.parametrize("lengths", [(1.0, 1.0), (300.0, 0.02)])
def test_points_built_inside_the_plane_come_back(angle, lengths):
    x, across = np.random.default_rng(1).standard_normal((2, N))
    across -= x * (x @ across) / (x @ x)
    y = np.cos(angle) * x + np.sin(angle) * across * np.linalg.norm(x) / np.linalg.norm(across)
    directions = np.stack([x * lengths[0], y * lengths[1]]).astype(np.float32).astype(float)
    expected = np.random.default_rng(2).uniform(-2, 2, (7, 2))
    points = torch.from_numpy(expected @ directions)
    found, left = project(sums_of(points, torch.from_numpy(directions)), names=NAMES)
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert left.max() < 1e-6


def test_what_is_left_is_that_of_dense_least_squares():
    vectors, directions = walk(6), walk(2, seed=1)
    found, left = project(sums_of(vectors, directions), names=NAMES)
    expected, *_ = np.linalg.lstsq(directions.numpy().T, vectors.numpy().T)
    np.testing.assert_allclose(found, expected.T, rtol=1e-9)
    rest = np.linalg.norm(vectors.numpy() - found @ directions.numpy(), axis=1)
    np.testing.assert_allclose(left, rest / np.linalg.norm(vectors.numpy(), axis=1), rtol=1e-9)


def test_the_center_lies_in_the_plane():
    vectors = torch.zeros(1, N, dtype=torch.float64)
    found, left = project(sums_of(vectors, walk(2)), names=NAMES)
    assert not found.any()
    assert not left.any()


def test_sums_over_stretches_add_up():
    vectors, directions = walk(5), walk(2, seed=1)
    halves = [sums_of(vectors[:, s], directions[:, s]) for s in (slice(0, 999), slice(999, N))]
    whole, added = sums_of(vectors, directions), halves[0] + halves[1]
    for name in ("squares", "along", "gram"):
        np.testing.assert_allclose(getattr(added, name), getattr(whole, name), rtol=1e-12)


def test_parallel_directions_are_refused():
    x = walk(1)
    with pytest.raises(
        InputError, match="--x-direction and --y-direction are parallel, so they span"
    ):
        project(sums_of(x, torch.cat([x, -3 * x])), names=NAMES)


def test_a_direction_of_zeros_is_refused():
    x = walk(1)
    with pytest.raises(InputError, match="--y-direction is zero on the weights that move"):
        project(sums_of(x, torch.cat([x, 0 * x])), names=NAMES)


def test_differences_are_exact():
    chunk, center = np.float32([[1e8, 1]]), np.float32([1, 1e-8])
    np.testing.assert_array_equal(differences(chunk, center), [[1e8 - 1, 1 - float(center[1])]])


@pytest.mark.parametrize(
    ("n_vectors", "n_weights"), [(300, 25_000_000), (2, 100), (1000, 10**9), (3, 272_474)]
)
def test_a_chunk_is_neither_too_large_nor_too_small(n_vectors, n_weights):
    length = chunk_length(n_vectors, n_weights)
    assert 1 <= length <= n_weights
    assert n_vectors * length <= CHUNK_VALUES
    assert n_weights / length >= min(60, n_weights // 4096)


def test_the_number_of_threads_is_put_back():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
