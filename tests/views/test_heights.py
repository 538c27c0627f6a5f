"""Oracle: logarithms by hand."""

import numpy as np
import pytest

from landscape_mpi.errors import InputError
from landscape_mpi.views.heights import Heights, check_ends, choose_heights, log_start_of

LOSSES = np.array([0.0, 0.9, 9.9, 99.9, np.nan])


def test_a_loss_in_nat_gets_a_tenth_added_before_its_logarithm():
    heights = choose_heights([LOSSES], "nat")
    np.testing.assert_allclose(heights.of(LOSSES), [-1, 0, 1, 2, np.nan], atol=1e-12)
    np.testing.assert_allclose(heights.values(np.array([-1.0, 0, 2])), [0, 0.9, 99.9], atol=1e-12)
    assert heights.word("train_loss", "nat") == "log10(train_loss + 0.1 nat)"


@pytest.mark.parametrize(
    ("values", "unit", "kind", "wanted"),
    [
        ([1.0, 100.0], "percent", None, "linear"),
        ([-1.0, 2.0], "nat", None, "linear"),
        ([-1.0, 1.0, 2.0, 1e4], "nat", None, "symlog"),
        ([1.0, 100.0], "nat", "linear", "linear"),
        ([-1.0, -2.0], "nat", "log", "symlog"),
        ([np.nan], "nat", None, "linear"),
    ],
)
def test_other_values_and_what_is_asked(values, unit, kind, wanted):
    heights = choose_heights([np.array(values)], unit, kind=kind)
    assert (heights.kind, heights.floor) == (wanted, 0.0)


def test_one_surface_with_a_negative_loss_gives_all_the_same_heights():
    assert choose_heights([np.array([1.0, 2.0]), np.array([-1.0])], "nat").kind == "linear"


def test_the_ends_are_heights_of_values():
    assert Heights("log", 0.1, None, 9.9).ends == (-np.inf, pytest.approx(1.0))
    assert Heights("linear", 0.0, 2.0, None).ends == (2.0, np.inf)
    assert Heights("log", 0.0, 0.0, 100.0).ends == (-np.inf, pytest.approx(2.0))


def test_a_range_beside_the_values_is_refused_with_both():
    values = np.array([2.0, np.inf, 5.0])
    check_ends(Heights(high=2.5), values, "a.h5: loss")
    for ends, text in (({"high": 2.0}, ":2"), ({"low": 5.0, "high": 9.0}, "5:9")):
        with pytest.raises(InputError, match=rf"a.h5: loss: --range {text} .* from 2 to 5"):
            check_ends(Heights(**ends), values, "a.h5: loss")


WELL = np.geomspace(1.0, 1000.0, 400).reshape(20, 20)  # median 32
DEEP = np.where(np.arange(400).reshape(20, 20) == 210, 1e-5, WELL)


def test_another_positive_loss_has_a_floor_below_its_median_and_no_needle():
    heights = choose_heights([DEEP], "1")
    assert (heights.kind, heights.floor, heights.word("train_loss")) == (
        "log",
        1.0,
        "log10(train_loss + 1)",
    )
    np.testing.assert_allclose(heights.of(DEEP), np.log10(DEEP + 1.0), rtol=1e-15)
    assert np.ptp(heights.of(DEEP)) < 3.01


@pytest.mark.parametrize(
    ("values", "unit", "wanted"),
    [
        (WELL, "1", ("log", 0.0)),  # no value lies below a power of ten under the median
        (DEEP, "percent", ("linear", 0.0)),
        (DEEP - 1e-4, "1", ("linear", 0.0)),  # one value is negative
        (np.clip(DEEP, 40.0, None), "1", ("linear", 0.0)),  # from 40 to 1000
        (np.full((3, 3), 2.0), "1", ("linear", 0.0)),
    ],
)
def test_other_positive_values_get_a_logarithm_where_their_flat_picture_does(values, unit, wanted):
    heights = choose_heights([values], unit)
    assert (heights.kind, heights.floor) == wanted


def test_a_log_scale_starts_where_one_point_in_a_hundred_lies_below():
    assert log_start_of([DEEP]) == 1.0  # five of eight decades lay below
    assert log_start_of([WELL]) is None
    deep = np.where(np.arange(400).reshape(20, 20) < 40, 1e-5, WELL)
    assert log_start_of([deep]) is None  # a tenth of the points
    assert log_start_of([np.full((2, 2), np.nan), DEEP]) == 1.0
    assert log_start_of([np.full((2, 2), -1.0)]) is None
    assert log_start_of([np.array([1e-5, 2.0, 300.0, 900.0])]) == 1.0  # a single point
    assert log_start_of([np.array([3.0])]) is None
