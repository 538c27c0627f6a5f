"""Oracles: closed forms whose median and band are known; a bilinear interpolation written here.

The latter goes in directions that are drawn at random. On the surfaces that the method's authors
published, it is the points of the grid on both sides of a circle, without any interpolation.
"""

import math

import numpy as np
import pytest

from landscape_mpi.analysis.rings import find_rings
from landscape_mpi.store.reader import read_surface

AXIS = np.linspace(-1.0, 1.0, 51)
OUTER = math.cos(0.05 * math.pi)  # of a cosine, what 5 % of all angles are above


def paraboloid(alpha, beta, least=0.1):
    return least + 2.0 * alpha[:, None] ** 2 + 6.0 * beta**2


def by_hand(alpha, beta, values, radius, *, n=40_000, logarithmic):
    """Return 5 %, 50 % and 95 % of bilinear values at random places of a circle around (0, 0)."""
    angles = np.random.default_rng(5).random(n) * 2 * np.pi
    heights = np.log(values) if logarithmic else values
    corners = []
    for axis, place in ((alpha, np.cos(angles)), (beta, np.sin(angles))):
        rising = np.argsort(axis)
        left = np.searchsorted(axis[rising], radius * place).clip(1, len(axis) - 1) - 1
        first, second = rising[left], rising[left + 1]
        corners.append(
            (first, second, (radius * place - axis[first]) / (axis[second] - axis[first]))
        )
    (i, k, x), (j, m, y) = corners
    found = (1 - x) * ((1 - y) * heights[i, j] + y * heights[i, m])
    found += x * ((1 - y) * heights[k, j] + y * heights[k, m])
    return np.quantile(np.exp(found) if logarithmic else found, (0.05, 0.5, 0.95))


def test_a_cone_is_as_high_as_the_circle_is_wide():
    rings = find_rings(AXIS, AXIS, 1.0 + np.hypot(AXIS[:, None], AXIS))
    assert rings.center == (0.0, 0.0)
    np.testing.assert_allclose(rings.radius, np.linspace(0, 1, 51), atol=1e-12)
    for numbers in (rings.low, rings.median, rings.high):
        np.testing.assert_allclose(numbers[5:], 1.0 + rings.radius[5:], atol=2e-3)
        assert numbers[0] == 1.0
    assert rings.reach(1.5) == pytest.approx(0.5, abs=1e-3)
    assert rings.reach(1.0) == 0.0
    assert math.isnan(rings.reach(2.1))


@pytest.mark.parametrize("least", [0.1, -3.0], ids=["positive", "with negative values"])
def test_a_paraboloid_has_a_band_as_its_curvatures_say(least):
    """On a circle of radius r it is least + r^2 (4 - 2 cos 2 angle)."""
    rings = find_rings(AXIS, AXIS, paraboloid(AXIS, AXIS, least))
    square = rings.radius**2
    away = rings.radius > 0.1
    for numbers, bend in (
        (rings.low, 4 - 2 * OUTER),
        (rings.median, 4),
        (rings.high, 4 + 2 * OUTER),
    ):
        np.testing.assert_allclose(numbers[away], least + bend * square[away], atol=6e-3)
    assert rings.reach(least + 1.0) == pytest.approx(0.5, abs=2e-3)
    assert rings.at(0.5) == pytest.approx(
        (least + 1 - 0.5 * OUTER, least + 1, least + 1 + 0.5 * OUTER), abs=6e-3
    )


def test_between_points_the_logarithm_is_interpolated():
    """The logarithm of exp(g alpha) is linear, so only the counting of directions is left."""
    coarse = np.linspace(-1.0, 1.0, 5)
    rings = find_rings(coarse, coarse, np.exp(8 * coarse)[:, None] * np.ones(5))
    np.testing.assert_allclose(rings.median, 1.0, atol=1e-12)
    np.testing.assert_allclose(rings.high, np.exp(8 * OUTER * rings.radius), rtol=2e-2)
    np.testing.assert_allclose(rings.low, np.exp(-8 * OUTER * rings.radius), rtol=2e-2)


@pytest.mark.parametrize("logarithmic", [True, False])
def test_uneven_and_falling_axes_of_a_rough_plane_that_is_not_square(logarithmic):
    random = np.random.default_rng(3)
    alpha = np.sort(np.append(random.uniform(-0.7, 0.9, 40), [-0.8, 0.0, 1.0]))[::-1]
    beta = np.sort(np.append(random.uniform(-1.5, 1.4, 25), [-1.6, 0.0, 1.5]))
    values = np.exp(random.normal(size=(len(alpha), len(beta)))) - (0 if logarithmic else 2)
    rings = find_rings(alpha, beta, values)
    assert rings.radius[-1] <= 0.8 < rings.radius[-1] + rings.radius[1]
    for radius in rings.radius[[1, 7, -1]]:
        wanted = by_hand(alpha, beta, values, radius, logarithmic=logarithmic)
        assert rings.at(float(radius)) == pytest.approx(tuple(wanted), rel=0.03, abs=0.01)


def test_values_of_any_size():
    square = AXIS[:, None] ** 2 + AXIS**2
    huge = find_rings(AXIS, AXIS, 1e36 * (1 + square))
    plain = find_rings(AXIS, AXIS, 1 + square)
    np.testing.assert_allclose(huge.median, 1e36 * plain.median)
    assert huge.reach(1.25e36) == pytest.approx(0.5, abs=1e-3)
    steep = find_rings(AXIS, AXIS, np.where(square > 0.6**2, 1e36, 0.001))
    assert 0.56 <= steep.reach(2.3) <= 0.62
    assert steep.median[-1] == pytest.approx(1e36)
    same = find_rings(AXIS, AXIS, np.full((51, 51), 2.5))
    np.testing.assert_allclose([same.low, same.median, same.high], 2.5)
    zero = find_rings(AXIS, AXIS, np.zeros((51, 51)))
    assert (zero.median == 0).all()


@pytest.mark.parametrize("hole", [np.nan, np.inf, -np.inf])
def test_a_circle_beside_a_point_that_is_not_finite_has_no_numbers(hole):
    """By hand: the cells around the hole lie from 0.56 to 0.64 along alpha, 0.04 to each side."""
    values = paraboloid(AXIS, AXIS)
    whole = find_rings(AXIS, AXIS, values)
    values[40, 25] = hole  # at (0.6, 0)
    rings = find_rings(AXIS, AXIS, values)
    broken = (rings.radius > 0.56 - 1e-9) & (rings.radius < math.hypot(0.64, 0.04))
    assert set(rings.radius[~rings.is_known].round(2)) <= set(rings.radius[broken].round(2))
    assert not rings.is_known[(rings.radius > 0.565) & (rings.radius < 0.635)].any()
    for name in ("low", "median", "high"):
        found, wanted = getattr(rings, name), getattr(whole, name)
        np.testing.assert_array_equal(found[rings.is_known], wanted[rings.is_known])
    assert rings.known_up_to == pytest.approx(0.54, abs=0.021)
    assert rings.reach(0.1 + 4 * 0.5**2) == pytest.approx(0.5, abs=2e-3)
    assert math.isnan(rings.reach(0.1 + 4 * 0.8**2))  # it may have been there before
    assert all(map(math.isnan, rings.at(0.6)))
    assert rings.at(0.8) == whole.at(0.8)


def test_a_center_that_is_not_known():
    values = paraboloid(AXIS, AXIS)
    values[25, 25] = np.nan
    rings = find_rings(AXIS, AXIS, values)
    assert math.isnan(rings.median[0])
    assert rings.is_known[5:].all()
    assert math.isnan(rings.known_up_to)
    assert math.isnan(rings.reach(1.0))
    nothing = find_rings(AXIS, AXIS, np.full((51, 51), np.nan))
    assert not nothing.is_known.any()


def test_without_a_point_at_0_the_nearest_one_is_the_center():
    alpha, beta = AXIS + 0.013, AXIS[:-1]
    rings = find_rings(alpha, beta, paraboloid(alpha - 0.013, beta))
    assert rings.center == pytest.approx((0.013, 0.0))
    assert rings.median[0] == pytest.approx(0.1)
    assert rings.at(0.5)[1] == pytest.approx(1.1, abs=6e-3)
    assert rings.radius[-1] == pytest.approx(0.96)  # as far as beta reaches


@pytest.mark.parametrize(
    ("alpha", "beta"),
    [(AXIS + 1.0, AXIS), (AXIS, AXIS + 3.0), (np.array([-1.0, 1.0]), AXIS), (np.zeros(1), AXIS)],
)
def test_a_center_on_the_border_has_no_circle(alpha, beta):
    rings = find_rings(alpha, beta, paraboloid(alpha, beta))
    assert rings.radius.tolist() == [0.0]
    assert all(map(math.isnan, rings.at(0.5)))


@pytest.mark.parametrize(
    ("n", "ends", "step"),
    [(51, 1.0, 0.02), (201, 1.0, 0.005), (25, 1.0, 0.025), (256, 1.0, 0.0025), (11, 3e-7, 2.5e-8)],
)
def test_circles_lie_at_round_distances_two_or_more_for_each_step(n, ends, step):
    axis = np.linspace(-ends, ends, n)
    radius = find_rings(axis, axis, np.ones((n, n))).radius
    np.testing.assert_allclose(np.diff(radius), step)
    center = np.abs(axis).min()
    assert radius[-1] <= ends - center * (1 - 1e-6)
    assert radius[-1] + step > (ends - center) * (1 - 1e-6)


# From the points of the grid beside the circles: the distance at which their median is ln 10, and
# their median with its band at 0.5, as far as they are known.
PUBLISHED = {
    "resnet20": (0.38, None),
    "resnet20_noshort": (0.42, None),
    "resnet56": (0.53, (1.2, 1.85, 2.4)),
    "resnet56_noshort_201": (0.10, (4.0, None, 12.6)),
    "resnet110": (0.48, None),
    "resnet110_noshort": (0.21, None),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_surfaces(name, data_dir):
    path = data_dir / "li2018" / "surfaces" / f"{name}.h5"
    if not path.exists():
        pytest.skip("LANDSCAPE_DATA has no li2018/surfaces")
    surface = read_surface(path)
    losses = surface.values["train_loss"]
    rings = find_rings(surface.alpha, surface.beta, losses)
    reached, band = PUBLISHED[name]
    assert rings.reach(math.log(10)) == pytest.approx(reached, abs=0.01)
    for found, wanted in zip(rings.at(0.5), band or (None, None, None), strict=True):
        assert wanted is None or found == pytest.approx(wanted, rel=0.06)
    away = np.hypot(surface.alpha[:, None], surface.beta)
    for radius in (0.3, 0.5, 0.7, 0.9):
        for found, share in zip(rings.at(radius), (0.05, 0.5, 0.95), strict=True):
            beside = [np.abs(away - radius + side) < 0.02 for side in (0.02, -0.02)]
            ends = [np.quantile(losses[points], share) for points in beside]
            assert 0.95 * min(ends) <= found <= 1.05 * max(ends)
