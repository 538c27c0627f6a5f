"""Oracle: coordinates and orders written out by hand, and counting."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape_mpi.engine.grid import check_number_of_points, coarse_to_fine, parse_axis
from landscape_mpi.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0:1:3", [0.0, 0.5, 1.0]),
        ("-1:1:2", [-1.0, 1.0]),
        ("0:0:1", [0.0]),
        ("0.25", [0.25]),
        ("-1e-1:1e-1:3", [-0.1, 0.0, 0.1]),
    ],
)
def test_axes(text, expected):
    assert parse_axis(text, option="--x").tolist() == expected


@pytest.mark.parametrize("n", [3, 31, 51, 101, 251, 401])
def test_the_middle_of_a_symmetric_axis_is_exactly_zero(n):
    assert parse_axis(f"-1:1:{n}", option="--x")[n // 2] == 0.0
    assert parse_axis(f"-0.7:0.7:{n}", option="--x")[n // 2] == 0.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1:1:0", "--x: '1:1:0' requests 0 points. An axis needs at least 1."),
        ("-1:1", "--x: '-1:1' is not an axis. Pass --x=MIN:MAX:N"),
        ("a:b:3", "'a:b:3' is not an axis"),
        ("0:1:2:3", "'0:1:2:3' is not an axis"),
        ("0:1:2.5", "'0:1:2.5' is not an axis"),
        ("nan:1:3", "'nan:1:3' is not an axis"),
        ("0:inf:3", "'0:inf:3' is not an axis"),
        ("", "'' is not an axis"),
        ("0:1:1", "requests 1 point between 0 and 1"),
        ("-1e308:1e308:3", "requests points that float64 cannot distinguish or represent"),
        ("1:1.0000000000000002:5", "requests points that float64 cannot distinguish or represent"),
        ("0:1:1000000000", "requests 1,000,000,000 points. An axis takes at most 100,000."),
        ("1:1:5", "runs from 1 to 1 in 5 points, but an axis must rise"),
        ("1:-1:5", "runs from 1 to -1 in 5 points, but an axis must rise"),
    ],
)
def test_what_is_no_axis(text, words):
    with pytest.raises(InputError) as problem:
        parse_axis(text, option="--x")
    assert words in str(problem.value)


def test_order_of_a_line_of_five():
    assert coarse_to_fine(5, 1).tolist() == [0, 4, 2, 1, 3]


def test_order_of_a_rectangle_starts_at_its_corners():
    assert coarse_to_fine(5, 3)[:4].tolist() == [0, 2, 12, 14]


@given(st.integers(1, 40), st.integers(1, 40))
def test_every_point_comes_once(n_alpha, n_beta):
    order = coarse_to_fine(n_alpha, n_beta)
    assert sorted(order.tolist()) == list(range(n_alpha * n_beta))


def test_a_few_percent_of_the_run_cover_the_plane():
    """After 5 % of a 51 x 51 grid every point has a computed one within a fifth of the side."""
    order = coarse_to_fine(51, 51)
    rows, columns = np.divmod(order[: 51 * 51 // 20], 51)
    everywhere = np.arange(51 * 51)
    distance = np.maximum(
        np.abs(everywhere[:, None] // 51 - rows), np.abs(everywhere[:, None] % 51 - columns)
    ).min(axis=1)
    assert distance.max() <= 10


def test_axes_that_make_too_many_points_together_are_refused():
    check_number_of_points(100, 100_000, option="--x, --y")
    with pytest.raises(InputError) as caught:
        check_number_of_points(101, 100_000, option="--points")
    assert str(caught.value) == (
        "--points: 101 x 100,000 are 10,100,000 points, but a file takes at most 10,000,000. "
        "Request fewer."
    )
