"""Oracle: differences written by hand, beside the sizes by which they count."""

from types import SimpleNamespace

import pytest

from landscape_mpi.engine.step_choice import check_center
from landscape_mpi.errors import InputError

PLAN = SimpleNamespace(out="a.h5", subject=SimpleNamespace(what_changed=lambda *_: "another loss"))


@pytest.mark.parametrize(
    ("stored", "found", "scale"),
    [([2.0], [2.001], 0.0), ([1e-7, -2e-7], [3e-7, 2e-7], 4.0), ([], [2.0], 0.0)],
)
def test_rounding_is_not_another_network(stored, found, scale):
    check_center(PLAN, stored, found, scale)


@pytest.mark.parametrize(
    ("stored", "found", "scale"),
    [([2.0], [2.01], 0.0), ([1e-7, -2e-7], [1e-2, 0.0], 4.0), ([2.0, 1.0], [2.0], 9.0)],
)
def test_a_larger_difference_is(stored, found, scale):
    with pytest.raises(InputError, match="a.h5: was started with another loss"):
        check_center(PLAN, stored, found, scale)
