"""The numbers of circles in words and rows.

Oracle: on a circle of radius r, 0.1 + 2 alpha^2 + 6 beta^2 has the median 0.1 + 4 r^2.
"""

import csv
import math

import numpy as np
import pytest
import surface_files

from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.ring_table import describe, list_circles, list_numbers, measure_rings
from landscape_mpi.views.summary import describe as describe_surface
from landscape_mpi.views.table_file import write_rows

AXIS = np.linspace(-1.0, 1.0, 51)
KNOWN = {"model": "net", "data": "digits", "n_classes": 4}
GUESSING = math.log(4)


def bowl(a, b):
    return 0.1 + 2 * a * a + 6 * b * b


@pytest.fixture
def numbers_of(tmp_path):
    def make(function, alpha=AXIS, beta=AXIS, *, name="train_loss", attributes=KNOWN, **options):
        path = tmp_path / "net.h5"
        values = {name: surface_files.plane(alpha, beta, function)}
        surface_files.write_surface(path, alpha, beta, values, attributes=attributes, **options)
        return measure_rings(read_surface(path), name)

    return make


def test_where_the_median_reaches_guessing_and_the_band_at_half_the_unit(numbers_of):
    """By hand: at sqrt((ln 4 - 0.1) / 4) = 0.567; from 1.1 - cos(9 degrees) / 2 to 1.1 + that."""
    assert describe(numbers_of(bowl)) == (
        "on circles around the center, the median reaches guessing (1.386 nat) at radius 0.567; at "
        "radius 0.5 the median is 1.1 nat, and 90 % of the directions lie between 0.606 and 1.59 "
        "nat"
    )


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (
            lambda a, b: 0.1,
            "the median stays below guessing (1.386 nat) up to radius 1, the largest",
        ),
        (lambda a, b: 2.0, "the median reaches guessing (1.386 nat) already at the center"),
        (
            lambda a, b: math.nan if math.hypot(a, b) > 0.41 else bowl(a, b),
            "the median stays below guessing (1.386 nat) up to radius 0.34, beyond which values "
            "are missing; at radius 0.34 the median is",
        ),
        (
            lambda a, b: math.nan if a == b == 0 else bowl(a, b),
            "it is unknown where the median reaches guessing (1.386 nat), because the center has "
            "no value; at radius 0.5 the median is 1.1 nat",
        ),
        (
            lambda a, b: math.inf,
            "points without a finite value lie beside every circle around the center",
        ),
    ],
)
def test_where_guessing_is_not_reached_it_says_why(numbers_of, function, words):
    assert words in describe(numbers_of(function))


def test_what_is_no_cross_entropy_has_no_guessing(numbers_of):
    error = numbers_of(lambda a, b: 10 * bowl(a, b), name="train_error")
    assert describe(error) == (
        "on circles around the center, at radius 0.5 the median is 11 %, and 90 % of the "
        "directions lie between 6.06 and 15.9 %"
    )
    assert "guessing" not in describe(numbers_of(bowl, attributes={"model": "a", "data": "b"}))


def test_the_nearest_point_stands_in_for_the_center_and_is_named(numbers_of):
    found = numbers_of(bowl, AXIS + 0.013, AXIS[:-1])
    assert describe(found).startswith(
        "on circles around (0.013, 0), the point nearest to (0, 0), the median reaches guessing"
    )
    beside = numbers_of(bowl, AXIS + 1.5)
    assert describe(beside) == (
        "no circle lies within the plane around (0.5, 0), the point nearest to (0, 0)"
    )


def test_points_that_are_left_between_strides_are_no_holes(numbers_of):
    done = np.zeros((51, 51))
    done[::5, ::5] = 1
    partial = numbers_of(bowl, done=done)
    assert not partial.rings.is_known[1:].any()
    surface = partial.surface
    surface.done[...] = True  # complete, but for this quantity
    found = measure_rings(surface, "train_loss")
    assert found.rings.is_known.all()
    assert found.rings.at(0.5)[1] == pytest.approx(1.1, abs=0.05)


def test_the_rows_are_read_back(numbers_of, tmp_path):
    hole = math.hypot(0.6, 0.8)
    first = numbers_of(lambda a, b: math.nan if math.hypot(a, b) > hole - 1e-9 else bowl(a, b))
    second = numbers_of(bowl, attributes={"model": "a", "data": "b"})
    tables = []
    for rows in (list_circles([first, second]), list_numbers([first, second])):
        write_rows(rows, tmp_path / "table.csv")
        with (tmp_path / "table.csv").open(newline="") as file:
            tables.append(list(csv.DictReader(file)))
    circles, (one, other) = tables
    assert {row["surface"] for row in circles} == {str(tmp_path / "net.h5")}
    radius = np.array([float(row["radius"]) for row in circles])
    ends = np.flatnonzero(np.diff(radius) < 0)
    assert radius[ends].tolist() == [pytest.approx(0.94)]  # the first surface has no more
    assert radius[-1] == 1.0
    median = np.array([float(row["median"]) for row in circles])
    np.testing.assert_allclose(median, 0.1 + 4 * radius**2, atol=5e-3)
    for row in circles:
        assert float(row["percentile_5"]) <= float(row["median"]) <= float(row["percentile_95"])
    assert float(one["radius_of_guessing"]) == pytest.approx(math.sqrt((GUESSING - 0.1) / 4), 2e-3)
    assert float(one["guessing"]) == pytest.approx(GUESSING)
    assert float(one["largest_radius"]) == pytest.approx(0.94)
    assert float(one["percentile_95_at_0.5"]) == pytest.approx(1.1 + 0.49384, abs=6e-3)
    assert (one["quantity"], one["unit"], one["center_alpha"]) == ("train_loss", "nat", "0")
    assert (other["guessing"], other["radius_of_guessing"]) == ("", "")
    assert float(other["median_at_0.5"]) == pytest.approx(1.1, abs=6e-3)


def test_a_summary_has_the_circles_of_planes_around_a_center(numbers_of):
    def told(*axes, **options):
        lines = describe_surface(numbers_of(bowl, *axes, **options).surface)
        return [line.strip() for line in lines if "on circles" in line]

    assert told() == [describe(numbers_of(bowl))]
    assert told(attributes={"model": "a", "data": "b"}) == []
    assert told(AXIS, [0.0]) == []
    assert told(AXIS + 0.01) == []


def test_a_table_that_cannot_be_written(tmp_path):
    with pytest.raises(InputError, match=r"table.csv: cannot be written \(No such file"):
        write_rows([["a"]], tmp_path / "none" / "table.csv")
