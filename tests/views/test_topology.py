"""Oracles: union-find over sorted points, written here; closed forms; counts of neighbours.

Maxima are found as minima of the other sign: what water does not cover is joined by the other kind
of neighbours, and the world outside the grid is the first to be dry. Nothing of gudhi is in that.
"""

import itertools
import sys

import numpy as np
import pytest
import surface_files
from libraries import needs_gudhi

from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.levels import ScaleRequest
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.topology import (
    NONE,
    coordinates_of,
    find_topology,
    keep_persistent,
    on_border,
)

pytestmark = needs_gudhi

STEPS = {4: [(1, 0), (0, 1)], 8: [(1, 0), (0, 1), (1, 1), (1, -1)]}
RANDOM = np.random.default_rng(7)
OUTSIDE = (NONE, NONE)


@pytest.fixture
def panel_of(tmp_path):
    def make(values, alpha=None, beta=None, *, done=None, kind="linear"):
        values = np.asarray(values, float)
        alpha = np.arange(values.shape[0]) if alpha is None else alpha
        beta = np.arange(values.shape[1]) if beta is None else beta
        path = tmp_path / "net.h5"
        surface_files.write_surface(path, alpha, beta, {"train_loss": values}, done=done)
        return make_panel(read_surface(path), "train_loss", ScaleRequest(kind))

    return make


def around(point, count):
    for step in STEPS[count]:
        for sign in (1, -1):
            yield point[0] + sign * step[0], point[1] + sign * step[1]


def elder_rule(levels, near):
    """Return the pairs (where a pool begins, where it ends or None, into which it flows).

    Args:
        levels: The points, mapped to what they are sorted by.
        near: Returns the neighbours of a point.
    """
    pool_of, pairs = {}, []
    for point in sorted(levels, key=levels.get):
        meeting = {find(pool_of, other) for other in near(point) if other in pool_of}
        pool_of[point] = point
        for pool in meeting:
            pool_of[pool] = min(meeting, key=levels.get)
        if meeting:
            pool_of[point] = min(meeting, key=levels.get)
        for pool in meeting - {pool_of[point]}:
            pairs.append((pool, point, pool_of[point]))
    return pairs + [(pool, None, None) for pool in pool_of if find(pool_of, pool) == pool]


def find(pool_of, point):
    while pool_of[point] != point:
        point = pool_of[point]
    return point


def minima_by_hand(values, count):
    levels = {p: (v, p) for p, v in np.ndenumerate(values) if np.isfinite(v)}
    return elder_rule(levels, lambda point: around(point, count))


def islands_by_hand(values, count):
    """Return pairs of (maximum or hole, saddle): the pools of the dual neighbours, upside down."""
    other = 12 - count
    levels = {
        p: (-v, -p[0], -p[1]) if np.isfinite(v) else (-np.inf, -p[0], -p[1])
        for p, v in np.ndenumerate(values)
    }
    levels[OUTSIDE] = (-np.inf, -np.inf, 0)

    def near(point):
        if point == OUTSIDE:
            return [p for p in levels if p != OUTSIDE and is_outer(p)]
        return [*around(point, other), *([OUTSIDE] if is_outer(point) else [])]

    def is_outer(point):
        return any(
            not 0 <= k < n for p in around(point, 4) for k, n in zip(p, values.shape, strict=True)
        )

    pairs = elder_rule(levels, near)
    return [(top, saddle) for top, saddle, _ in pairs if saddle is not None]


def rough(shape=(13, 9), holes=0):
    values = RANDOM.random(shape) + 1.0
    for hole in RANDOM.permutation(values.size)[:holes]:
        values.ravel()[hole] = RANDOM.choice([np.nan, np.inf])
    return values


@pytest.mark.parametrize("count", [4, 8])
@pytest.mark.parametrize("holes", [0, 6, 40])
def test_pairs_and_tree_are_those_of_union_find(panel_of, count, holes):
    values = rough(holes=holes)
    panel = panel_of(values)
    found = find_topology(panel, neighbours=count)
    number = {
        point: index for index, point in np.ndenumerate(np.arange(values.size).reshape(13, 9))
    }
    minima = {
        (p, None if s == NONE else number[s], None if k == NONE else number[found.minima.point[k]])
        for p, s, k in zip(
            (number[p] for p in found.minima.point), found.minima.saddle, found.into, strict=True
        )
    }
    assert minima == set(minima_by_hand(values, count))
    pairs = islands_by_hand(values, count)
    islands = zip(found.maxima.point, found.maxima.saddle, strict=True)
    assert {(number[top], number[saddle]) for top, saddle in islands} == {
        (top, saddle) for top, saddle in pairs if np.isfinite(values[top])
    }
    rings = [saddle for top, saddle in pairs if not np.isfinite(values[top])]
    # A saddle that joins a hole to another one is no ring of its own unless a point closed it.
    assert sorted(number[ring] for ring in found.rings) == sorted(
        saddle for saddle in rings if np.isfinite(values[saddle])
    )


@pytest.mark.parametrize("count", [4, 8])
def test_what_lies_below_all_its_neighbours_is_a_minimum(panel_of, count):
    values = rough((20, 30))
    found = find_topology(panel_of(values), neighbours=count)
    padded = np.pad(values, 1, constant_values=np.nan)
    inner = (slice(1, -1), slice(1, -1))

    def beyond(n, compare):
        shifts = [(s * i, s * j) for i, j in STEPS[n] for s in (1, -1)]
        moved = [np.roll(padded, shift, axis=(0, 1))[inner] for shift in shifts]
        return np.all([compare(values, other) | np.isnan(other) for other in moved], axis=0)

    assert set(found.minima.point) == set(np.flatnonzero(beyond(count, np.less)))
    tops = beyond(12 - count, np.greater)
    tops[[0, -1]] = tops[:, [0, -1]] = False
    assert set(found.maxima.point) == set(np.flatnonzero(tops))
    assert len(found.minima) - len(found.saddles) + len(found.maxima) == 1


@pytest.mark.parametrize("count", [4, 8])
def test_cosines_have_the_critical_points_that_one_can_count(panel_of, count):
    """cos(x) cos(y) from -2 pi to 2 pi, in units of pi: tops where both are whole, their sum even.

    Of these, 5 lie inside; 4 bottoms do, where the sum is odd, and 8 more lie on the border, at
    (+-2, +-1) and (+-1, +-2). The sum of all with signs, 1, gives the saddles.
    """
    axis = np.linspace(-2, 2, 41) * np.pi
    found = find_topology(
        panel_of(np.cos(axis)[:, None] * np.cos(axis), axis, axis), neighbours=count
    )
    alpha, beta = coordinates_of(found.panel, found.maxima.point)
    inside = {(round(a), round(b)) for a, b in zip(alpha / np.pi, beta / np.pi, strict=True)}
    even = {(a, b) for a, b in itertools.product((-1, 0, 1), repeat=2) if (a + b) % 2 == 0}
    assert inside == even
    assert len(found.maxima) == len(even)
    border = on_border(found.panel, found.minima.point)
    assert (int((~border).sum()), int(border.sum())) == (4, 8)
    assert len(found.saddles) == 4 + 8 + 5 - 1
    # Between two bottoms one climbs to 0, and from there it is 1 to each end.
    np.testing.assert_allclose(found.others, 1.0, atol=1e-12)
    np.testing.assert_allclose(found.maxima.persistence, 1.0, atol=1e-12)


def test_two_wells_of_known_depth(panel_of):
    """(x^2 - 1)^2 + x / 4 + y^2: along y = 0 lie both bottoms and the saddle between them."""
    x = np.linspace(-1.6, 1.6, 161)
    y = np.linspace(-0.5, 0.5, 21)
    line = (x**2 - 1) ** 2 + x / 4
    found = find_topology(panel_of(line[:, None] + y**2, x, y))
    saddle, second, first = np.sort(np.roots([4, 0, -4, 0.25]).real)[[1, 2, 0]]
    alpha, beta = coordinates_of(found.panel, np.append(found.minima.point, found.minima.saddle[1]))
    np.testing.assert_allclose(alpha, [first, second, saddle], atol=0.01)
    np.testing.assert_allclose(beta, 0, atol=1e-12)
    heights = [(z**2 - 1) ** 2 + z / 4 for z in (second, saddle)]
    assert found.others == pytest.approx(heights[1] - heights[0], abs=1e-3)
    assert list(found.into) == [NONE, 0]
    assert found.minima.saddle[0] == NONE
    assert found.minima.persistence[0] == pytest.approx(np.ptp(found.panel.values))
    # One descends to the left from whatever lies to the left of the ridge at the saddle.
    assert found.share == pytest.approx([np.mean(x < saddle), np.mean(x > saddle)], abs=0.02)


def test_the_oldest_of_three_pools_is_the_deepest(panel_of):
    line = [3.0, 0.0, 5.0, 1.0, 4.0, 2.0, 9.0]
    found = find_topology(panel_of(np.array([line]).T))
    assert list(found.minima.point) == [1, 3, 5]
    assert list(found.minima.saddle) == [NONE, 2, 4]
    assert list(found.minima.persistence) == [9.0, 4.0, 2.0]
    assert list(found.into) == [NONE, 0, 1]
    assert len(found.maxima) == 0
    merged = keep_persistent(found, 3.0)
    assert list(merged.minima.point) == [1, 3]
    assert list(merged.share) == pytest.approx([3 / 7, 4 / 7])


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (5, 1), (2, 2)])
def test_the_same_everywhere_is_one_minimum(panel_of, shape):
    found = find_topology(panel_of(np.full(shape, 2.0)))
    assert (len(found.minima), len(found.saddles), len(found.maxima)) == (1, 0, 0)
    assert found.minima.persistence == [0.0]
    assert found.share == [1.0]


def test_a_plateau_is_one_point(panel_of):
    values = np.full((7, 7), 5.0)
    values[1:3, 1:6] = 1.0
    values[4:6, 2:5] = 2.0
    found = find_topology(panel_of(values))
    assert list(found.panel.values.ravel()[found.minima.point]) == [1.0, 2.0]
    assert list(found.minima.persistence) == [4.0, 3.0]
    assert len(found.maxima) == 0
    assert found.share.sum() == pytest.approx(1.0)


def ladder(panel, found):
    values = panel.values.ravel()
    return sorted(zip(values[found.minima.point], found.minima.persistence, strict=True))


def test_ties_do_not_change_the_values_of_the_pairs(panel_of):
    values = RANDOM.integers(0, 5, (15, 15)).astype(float)
    panels = [panel_of(values), panel_of(values.T), panel_of(values[::-1])]
    first, *others = [ladder(panel, find_topology(panel)) for panel in panels]
    assert all(other == first for other in others)


def test_a_rising_map_keeps_the_pairs_and_transposing_turns_them(panel_of):
    values = rough((12, 17))
    found, mapped, turned = (
        find_topology(panel_of(v)) for v in (values, np.exp(3 * values), values.T)
    )
    logarithmic = find_topology(panel_of(values, kind="log"))
    by_point = np.argsort(found.minima.point)
    for other in (mapped, logarithmic):
        same = np.argsort(other.minima.point)
        assert np.array_equal(found.minima.point[by_point], other.minima.point[same])
        assert np.array_equal(found.minima.saddle[by_point], other.minima.saddle[same])
    index = np.arange(values.size).reshape(values.shape).T.ravel()
    assert np.array_equal(index[turned.minima.point], found.minima.point)
    assert np.array_equal(index[turned.maxima.saddle], found.maxima.saddle)
    np.testing.assert_allclose(turned.minima.persistence, found.minima.persistence)
    kept = logarithmic.minima
    rise = np.log10(values.ravel()[kept.saddle[1:]] / values.ravel()[kept.point[1:]])
    np.testing.assert_allclose(kept.persistence[1:], rise)


def test_the_spacing_does_not_count_and_places_are_told_in_coordinates(panel_of):
    values = np.ones((5, 4))
    values[3, 1], values[3, 2] = 0.0, 0.5
    alpha, beta = np.array([5.0, 1.0, 0.0, -4.0, -30.0]), np.array([0.0, 0.1, 7.0, 8.0])
    found = find_topology(panel_of(values, alpha, beta))
    assert [float(x[0]) for x in coordinates_of(found.panel, found.minima.point)] == [-4.0, 0.1]
    even = find_topology(panel_of(values))
    assert np.array_equal(even.minima.point, found.minima.point)


def test_a_slanting_valley_is_one_pool_with_eight_neighbours_alone(panel_of):
    """(x - y)^2 + (x + y) / 100 falls all along its diagonal."""
    axis = np.linspace(-1, 1, 9)
    values = (axis[:, None] - axis) ** 2 + (axis[:, None] + axis) / 100
    assert len(find_topology(panel_of(values), neighbours=8).minima) == 1
    assert len(find_topology(panel_of(values), neighbours=4).minima) == 9


def test_a_partial_surface_has_the_neighbours_of_its_triangles(panel_of):
    """Every second row and column, and some points between them: union-find over the triangles."""
    values = rough((13, 9))
    done = np.zeros(values.shape)
    done[::2, ::2] = 1
    done.ravel()[RANDOM.permutation(done.size)[:20]] = 1
    values[4, 4] = np.nan
    panel = panel_of(values, done=done)
    found = find_topology(panel)
    near = {}
    for face in np.concatenate([panel.cells.faces, panel.cells.holes]):
        for a, b in itertools.permutations((int(corner) for corner in face), 2):
            near.setdefault(a, set()).add(b)
    levels = {p: panel.values.ravel()[p] for p in near if panel.finite.ravel()[p]}
    by_hand = elder_rule(levels, lambda point: near[point])
    pairs = zip(found.minima.point, found.minima.saddle, strict=True)
    assert {(p, s) for p, s, _ in by_hand} == {(p, None if s == NONE else s) for p, s in pairs}
    assert len(found.minima) - len(found.saddles) + len(found.maxima) == 1 - len(found.rings)


def test_a_line_that_is_not_complete_joins_what_is_there(panel_of):
    done = np.array([[1], [0], [1], [1], [1], [0]])
    found = find_topology(panel_of(np.array([[1.0, 0.0, 3.0, 2.0, 5.0, 0.0]]).T, done=done))
    assert list(found.minima.point) == [0, 3]
    assert list(found.minima.saddle) == [NONE, 2]


def test_too_few_points(panel_of):
    done = np.zeros((4, 4))
    done[:2, 0] = 1
    with pytest.raises(InputError, match="2 of 16 points of train_loss are computed, which is not"):
        find_topology(panel_of(rough((4, 4)), done=done))


def test_without_gudhi_the_message_says_how_to_get_it(panel_of, monkeypatch):
    monkeypatch.setitem(sys.modules, "gudhi", None)
    with pytest.raises(InputError, match=r"needs gudhi, .*pip install 'landscape_mpi\[topology\]'"):
        find_topology(panel_of(rough()))
