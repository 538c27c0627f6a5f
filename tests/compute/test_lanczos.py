"""Oracle: numpy's dense eigenvalues of matrices whose spectrum is chosen here."""

import numpy as np
import pytest
import torch

from landscape_mpi.compute.lanczos import find_ends


def matrix(values, seed=0):
    generator = np.random.default_rng(seed)
    vectors, _ = np.linalg.qr(generator.standard_normal((len(values), len(values))))
    return torch.from_numpy(vectors * values @ vectors.T), vectors


def start(n, seed=1):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(n)).float()


def ends_of(dense, first, **options):
    how = {"tolerance": 1e-3, "max_products": 1000} | options
    return find_ends(lambda v: dense @ v.double(), first, **how)


# Like a trained network's: a bulk around zero, a few large ones, a small negative end.
HESSIAN = np.concatenate([np.linspace(-0.3, 0.3, 280), np.geomspace(1, 30, 20)])


@pytest.mark.parametrize("n_basis", [12, 16, 40, 400])
def test_both_ends_with_and_without_restarts(n_basis):
    dense, _ = matrix(HESSIAN)
    ends = ends_of(dense, start(300), n_basis=n_basis)
    assert ends.converged
    for end, place in ((ends.least, 0), (ends.greatest, -1)):
        exact = np.sort(HESSIAN)[place]
        assert end.value == pytest.approx(exact, rel=1e-3)
        residual = (dense @ end.vector.double() - end.value * end.vector.double()).norm()
        assert float(residual) <= 1.01e-3 * abs(exact)
        assert float(residual) == pytest.approx(end.residual, rel=0.05, abs=1e-5)
        assert float(end.vector.norm()) == pytest.approx(1, rel=1e-5)


def test_every_product_is_counted():
    dense, _ = matrix(HESSIAN)
    calls = []
    ends = find_ends(
        lambda v: (calls.append(1), dense @ v.double())[1],
        start(300),
        tolerance=1e-3,
        max_products=1000,
    )
    assert ends.n_products == len(calls)


def test_a_good_start_saves_products():
    dense, _ = matrix(HESSIAN)
    first = ends_of(dense, start(300))
    near, _ = matrix(HESSIAN * 1.02)
    again = ends_of(near, first.least.vector + first.greatest.vector + 0.01 * start(300, 2) / 300)
    assert again.converged
    assert again.n_products < first.n_products / 2


def test_what_does_not_converge_keeps_its_residual():
    dense, _ = matrix(HESSIAN)
    ends = ends_of(dense, start(300), max_products=7)
    assert not ends.converged
    assert ends.n_products == 7
    end = ends.least
    residual = (dense @ end.vector.double() - end.value * end.vector.double()).norm()
    assert float(residual) == pytest.approx(end.residual, rel=1e-4)


def test_small_matrices_are_solved_exactly():
    for values in ([2.0], [-1.0, 3.0], [-2.0, 0.0, 0.0, 5.0], np.arange(-4.0, 5.0)):
        dense, _ = matrix(np.array(values))
        ends = ends_of(dense, start(len(values)))
        assert ends.converged
        assert ends.least.value == pytest.approx(min(values), abs=1e-6)
        assert ends.greatest.value == pytest.approx(max(values), abs=1e-6)


def test_a_start_inside_an_invariant_subspace_does_not_hide_the_ends():
    dense, vectors = matrix(HESSIAN)
    ends = ends_of(dense, torch.from_numpy(vectors[:, 120]).float(), min_products=5)
    assert ends.least.value == pytest.approx(HESSIAN.min(), rel=1e-3)
    assert ends.greatest.value == pytest.approx(HESSIAN.max(), rel=1e-3)


def test_a_matrix_of_zeros():
    ends = ends_of(torch.zeros(50, 50, dtype=torch.float64), start(50))
    assert (ends.least.value, ends.greatest.value, ends.converged) == (0.0, 0.0, True)


def test_products_that_are_not_finite_are_a_result():
    ends = find_ends(
        lambda v: v.double() * float("nan"), start(50), tolerance=1e-3, max_products=50
    )
    assert np.isnan([ends.least.value, ends.greatest.value]).all()
    assert (ends.n_products, ends.converged) == (1, False)
