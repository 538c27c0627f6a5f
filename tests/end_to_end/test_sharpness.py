"""Oracle: quadratics, a saddle and a bump, whose numbers follow by hand."""

import numpy as np
import pytest

from landscape_mpi.store.sharpness import (
    barrier,
    box_rise,
    epsilon_sharpness,
    fit_quadratic,
    non_convex_share,
    width,
)

ALPHA, BETA = np.linspace(-1, 1, 21), np.linspace(-2, 2, 21)
A, B = np.meshgrid(ALPHA, BETA, indexing="ij")
BOWL = 0.5 + 3 * A**2 + A * B + B**2  # Hessian [[6, 1], [1, 2]]


def test_a_quadratic_is_found_exactly():
    found = fit_quadratic(ALPHA, BETA, BOWL, (10, 10))
    np.testing.assert_allclose(found.hessian, [[6, 1], [1, 2]], atol=1e-9)
    np.testing.assert_allclose(found.eigenvalues, 4 + np.array([-1, 1]) * np.sqrt(5), atol=1e-9)
    assert found.residual < 1e-12


@pytest.mark.parametrize("axis", [ALPHA, ALPHA[::-1]])
def test_a_line_has_one_curvature(axis):
    loss = 1 + 4 * axis**2
    for shaped, alpha, beta in [
        (loss[:, None], axis, np.zeros(1)),
        (loss[None, :], np.zeros(1), axis),
    ]:
        center = (10, 0) if shaped.shape[1] == 1 else (0, 10)
        assert fit_quadratic(alpha, beta, shaped, center).hessian == pytest.approx(8)
        assert non_convex_share(alpha, beta, shaped) == 0


def test_too_few_points_for_a_quadratic():
    assert fit_quadratic(ALPHA[:1], BETA[:2], BOWL[:1, :2], (0, 0)) is None
    assert fit_quadratic(ALPHA, BETA, np.full_like(BOWL, np.nan), (10, 10)) is None
    assert fit_quadratic(ALPHA[:2], BETA, BOWL[:2], (0, 10)) is None  # no curvature in two points


@pytest.mark.parametrize("axis", [ALPHA, ALPHA[::-1]])
def test_widths_along_an_axis(axis):
    """|axis| on the one side, twice as steep on the other: linear, so exact between points."""
    loss = np.where(axis < 0, -2 * axis, axis)
    center = 10
    found = width(axis, loss, center, 0.55)
    assert (found.below, found.above) == pytest.approx((0.275, 0.55))
    assert found.total == pytest.approx(0.825)


def test_a_level_that_is_not_reached_and_one_beyond_overflow():
    loss = np.array([np.inf, 1.0, 0.0, 1.0, 2.0])
    found = width(np.arange(-2.0, 3.0), loss, 2, 3.0)
    assert (found.below, found.above) == (1.0, np.inf)
    assert found.total == np.inf


def test_epsilon_sharpness():
    # Highest in the box at its corners: 0.5 + 3 / 4 + 1 / 4 + 1 / 4.
    alpha = BETA / 4
    values = 0.5 + 3 * alpha[:, None] ** 2 + alpha[:, None] * alpha + alpha**2
    assert epsilon_sharpness(alpha, alpha, values, 0.5, 0.5) == pytest.approx(100 * 1.25 / 1.5)
    assert epsilon_sharpness(alpha, alpha, values, 0.5, 0.6) is None  # beyond the grid
    assert epsilon_sharpness(alpha, alpha, values, 0.5, 0.01) is None  # the center alone
    line = 0.5 + alpha[:, None] ** 2
    found = epsilon_sharpness(alpha, np.zeros(1), line, 0.5, 0.5)
    assert found == pytest.approx(100 * 0.25 / 1.5)


def test_where_a_surface_is_not_convex():
    assert non_convex_share(ALPHA, BETA, BOWL) == 0
    assert non_convex_share(ALPHA, BETA, A**2 - B**2) == 1
    assert non_convex_share(ALPHA, BETA, A * B) == 1  # seen by the mixed derivative alone
    # A cubic bends down where alpha < 0: 9 of the 19 inner rows.
    assert non_convex_share(ALPHA, BETA, A**3 + 100 * B**2) == pytest.approx(9 / 19)
    assert non_convex_share(ALPHA, BETA, np.full_like(A, np.inf)) is None
    assert non_convex_share(ALPHA, BETA, np.ones_like(A)) == 0


def test_the_barrier_between_two_ends():
    axis = np.linspace(-0.5, 1.5, 9)
    loss = np.where(axis == 0.5, 3.0, 1.0 + axis)
    assert barrier(axis, loss) == pytest.approx(1.5)
    assert barrier(axis, (axis - 0.5) ** 2) == 0
    assert barrier(axis, np.where(axis == 0.25, np.inf, 1.0)) == np.inf
    assert barrier(np.linspace(-1, 0.9, 20), np.ones(20)) is None
    assert barrier(axis, np.where(axis == 1, np.nan, 1.0)) is None


def test_losses_that_are_very_large_or_negative_cost_no_warning(recwarn):
    axis = np.linspace(-1, 1, 5)
    loss = np.add.outer(axis**2, axis**2) * 1e300
    assert fit_quadratic(axis, axis, loss, (2, 2)) is not None
    non_convex_share(axis, axis, loss * 1e5)
    assert epsilon_sharpness(axis, axis, loss - 1, -1.0, 1.0) is None
    assert epsilon_sharpness(axis, axis, loss - 0.9, -0.9, 1.0) is None
    assert box_rise(axis, axis, loss - 1, -1.0, 1.0) == box_rise(axis, axis, loss, 0.0, 1.0) > 0
    assert not recwarn.list
