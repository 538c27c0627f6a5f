"""Oracle: logarithms by hand."""

import numpy as np
import pytest

from landscape_mpi.errors import InputError
from landscape_mpi.views.heights import Heights, check_ends, choose_heights

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
