"""Oracle: numpy's dense eigenvalues of matrices that are made from known ones."""

import numpy as np
import pytest
import torch

from landscape_mpi.compute.spectrum import density, leading_pairs, trace
from landscape_mpi.errors import InputError

N = 120
RANDOM = np.random.default_rng(0)
# As of a network: many small ones, some negative, a few that stand out.
VALUES = np.concatenate([RANDOM.normal(0, 0.05, N - 5), [0.5, 1.0, 2.0, 4.0, 9.0]])


def matrix(values=VALUES):
    basis = np.linalg.qr(RANDOM.standard_normal((len(values), len(values))))[0]
    return torch.from_numpy(basis @ np.diag(values) @ basis.T)


def draw(i, n=N):
    return torch.from_numpy(np.random.default_rng(i).standard_normal(n)).float()


def test_the_leading_pairs():
    dense = matrix()
    found = leading_pairs(
        lambda v: dense @ v.double(), draw(0), k=4, tolerance=1e-6, max_products=50
    )
    np.testing.assert_allclose(found.values, [9, 4, 2, 1], rtol=1e-5)
    assert found.residuals.max() < 1e-5
    for value, vector in zip(found.values, found.vectors, strict=True):
        assert np.linalg.norm(vector) == pytest.approx(1, rel=1e-6)
        np.testing.assert_allclose(dense.numpy() @ vector.astype(float), value * vector, atol=1e-5)


def test_more_pairs_than_there_are():
    with pytest.raises(InputError, match="--top 120: there are only 120 eigenvalues"):
        leading_pairs(lambda v: v.double(), draw(0), k=N, tolerance=1e-3, max_products=5)


def test_the_trace_is_within_its_error_and_exact_for_a_small_matrix():
    dense = matrix()
    found = trace(lambda v: dense @ v.double(), N, n_products=60, draw=draw)
    assert 0 < found.deviation < 0.3
    assert abs(found.value - VALUES.sum()) < 4 * found.deviation
    small = matrix(np.array([-3.0, 0.5, 2.0]))
    exact = trace(lambda v: small @ v.double(), 3, n_products=12, draw=lambda i: draw(i, 3))
    assert (exact.value, exact.deviation) == (pytest.approx(-0.5, rel=1e-6), 0)


def test_the_density_has_the_moments_of_the_eigenvalues():
    dense = matrix()
    found = density(lambda v: dense @ v.double(), n_vectors=40, n_steps=30, draw=draw)
    step = found.places[1] - found.places[0]
    moments = [float((found.density * found.places**k).sum() * step) for k in range(3)]
    assert moments[0] == pytest.approx(1, rel=1e-3)
    assert moments[1] == pytest.approx(VALUES.mean(), abs=0.05)
    assert moments[2] == pytest.approx((VALUES**2).mean(), rel=0.2)
    beyond = found.density[(found.places > 5) & (found.places < 8)].max()
    bulk = found.density[np.abs(found.places) < 0.05].max()
    assert beyond < 1e-3 < 1 < bulk  # between the largest ones is nothing


def test_one_eigenvalue_has_a_narrow_density():
    found = density(lambda v: 3 * v.double(), n_vectors=2, n_steps=5, draw=draw)
    assert found.places[found.density.argmax()] == pytest.approx(3)
