"""Oracle: properties a reader of a picture relies on, and labels written by hand.

Levels rise, lie inside the range, are some, and their labels read back as themselves.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape_mpi.errors import InputError
from landscape_mpi.views.levels import format_levels, make_scale, suits_log, without_clipping


def scale_of(*values, **options):
    return make_scale(np.array(values, float), where="a.h5: train_loss", **options)


magnitudes = st.floats(-1e30, 1e30, allow_nan=False).filter(lambda v: v == 0 or abs(v) > 1e-30)


@given(st.lists(magnitudes, min_size=2, max_size=20), st.integers(1, 40))
def test_levels_are_never_empty_and_bands_hold_every_value(values, n):
    scale = scale_of(*values, levels=n)
    assert np.all(np.diff(scale.bands) > 0)
    assert scale.bands[0] <= min(values)
    assert max(values) <= scale.bands[-1]
    if max(values) - min(values) > 1e-11 * max(map(abs, values)):
        assert len(scale.levels) > 0
        assert scale.low < scale.levels[0]
        assert scale.levels[-1] < scale.high
        assert len(scale.levels) <= 2.5 * n + 3


@given(st.lists(magnitudes, min_size=2, max_size=20))
def test_labels_tell_levels_apart(values):
    levels = scale_of(*values).bands
    labels = format_levels(levels)
    assert len(set(labels)) == len(levels)


def test_log_is_chosen_where_positive_values_span_more_than_thirty():
    assert suits_log(np.array([0.1, 3.1]))
    assert not suits_log(np.array([0.1, 2.9]))
    assert not suits_log(np.array([0.0, 100.0]))
    assert not suits_log(np.array([-1.0, 100.0]))
    assert suits_log(np.array([1e-300, 1e300]))


def test_round_levels():
    assert scale_of(0.0, 90.0).levels.tolist() == [10, 20, 30, 40, 50, 60, 70, 80]
    assert scale_of(0.02, 60.0).levels.tolist() == [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]
    assert scale_of(0.02, 60.0, kind="linear").levels.tolist() == [5 * k for k in range(1, 12)]


def test_labels_are_short():
    assert format_levels(np.array([0.05, 0.1, 20.0])) == ["0.05", "0.1", "20"]
    assert format_levels(np.array([1e-8, 1.0, 5e30])) == ["$10^{-8}$", "1", r"$5\times 10^{30}$"]
    assert format_levels(np.array([-2e6, 0.0])) == [r"$-2\times 10^{6}$", "0"]
    assert format_levels(np.array([2.302585])) == ["2.30259"]
    assert format_levels(np.array([1e-9])) == ["$10^{-9}$"]


def test_constant_has_no_levels_but_a_band():
    scale = scale_of(2.5, 2.5, 2.5)
    assert scale.is_constant
    assert scale.bands[0] < 2.5 < scale.bands[-1]
    zero = scale_of(0.0, 0.0)
    assert zero.bands.tolist() == [-1.0, 1.0]


def test_nothing_finite_has_no_scale():
    assert scale_of(np.nan, np.inf) is None
    assert scale_of(np.nan, 3.0, -np.inf).high == 3.0


def test_log_asked_for_counts_what_it_cannot_show():
    scale = scale_of(0.0, -1.0, 0.5, 2.0, kind="log")
    assert (scale.n_floored, scale.low, scale.high) == (2, 0.5, 2.0)


def test_log_without_a_positive_value():
    with pytest.raises(InputError, match=r"--log needs positive values; the largest is -0\.5"):
        scale_of(-0.5, -2.0, kind="log")


def test_colors_end_at_given_levels_whatever_the_values():
    levels = [0.1, 0.5, 1.0, 5.0]
    for values in ([0.3, 4.0], [0.0, 326.0], [-90.0, 0.2]):
        scale = scale_of(*values, kind="linear", levels=levels)
        assert (scale.levels.tolist(), scale.clipped) == (levels, (0.1, 5.0))
    assert scale_of(0.01, 326.0, kind="log", levels=[0.0, 0.1, 5.0]).clipped == (0.1, 5.0)
    assert scale_of(0.0, 326.0, kind="linear", levels=[5.0]).clipped is None
    assert scale_of(0.0, 326.0, kind="linear", levels=12).clipped is None


def test_a_clipped_scale_opened_again_is_the_usual_one():
    clipped = scale_of(0.0, 326.0, kind="linear", levels=[1.0, 2.0])
    usual, opened = scale_of(0.0, 326.0, kind="linear"), without_clipping(clipped)
    assert opened.levels.tolist() == usual.levels.tolist()
    assert opened.bands.tolist() == usual.bands.tolist()
    assert (opened.low, opened.high, opened.clipped) == (0.0, 326.0, None)


def test_colors_end_at_given_ends_with_round_levels_between_and_a_line_at_each():
    ended = scale_of(0.0, 326.0, kind="linear", ends=(2.0, 10.0), levels=4)
    assert (ended.clipped, ended.levels.tolist()) == ((2.0, 10.0), [2, 4, 6, 8, 10])
    assert (ended.low, ended.high) == (0.0, 326.0)
    assert scale_of(0.5, 326.0, kind="linear", ends=(None, 10.0)).clipped == (0.5, 10.0)
    assert scale_of(0.5, 326.0, kind="log", ends=(1.0, None), levels=3).levels.tolist() == [
        *(1, 10, 100),
    ]
    both = scale_of(0.0, 326.0, kind="linear", ends=(None, 10.0), levels=[1.0, 5.0])
    assert (both.clipped, both.levels.tolist()) == ((1.0, 10.0), [1, 5])


@pytest.mark.parametrize(
    ("ends", "kind", "words"),
    [
        (
            (400.0, None),
            "linear",
            "--range 400: contains none of its values, 0.5 to 326. Pass both",
        ),
        ((None, 0.5), "linear", "--range :0.5 contains none of its values"),
        ((-1.0, 10.0), "log", "--range -1:10 reaches -1, but a logarithmic scale has only values"),
    ],
)
def test_ends_that_leave_nothing_to_be_seen(ends, kind, words):
    with pytest.raises(InputError, match=words):
        scale_of(0.5, 326.0, kind=kind, ends=ends)


def test_given_levels_outside_the_range():
    with pytest.raises(InputError, match=r"no level of --levels 0.1, 10 .* range, 12 to 90"):
        scale_of(12.0, 90.0, levels=[0.1, 10.0])
    assert scale_of(12.0, 12.0, levels=[0.1, 10.0]).is_constant


def test_symmetric_log_is_chosen_where_not_all_are_positive_and_most_are_small():
    wide = scale_of(-1e6, -10.0, -1.0, 0.0, 1.0, 20.0, 1e4)
    assert (wide.kind, wide.threshold) == ("symlog", 1.0)
    assert scale_of(-1.0, 0.5, 20.0).kind == "linear"
    assert scale_of(0.0, 100.0).kind == "linear"
    assert scale_of(0.0, 1e-3, 2e-3, 1e12).kind == "symlog"
    assert scale_of(-1e6, 1.0, 2.0, kind="linear").kind == "linear"


def test_levels_of_a_symmetric_log_scale_are_powers_of_ten_on_both_sides_and_zero():
    scale = scale_of(-2e3, -1.0, 0.0, 1.0, 2e5, kind="symlog")
    assert scale.levels.tolist() == [-1e3, -1e2, -10, -1, 0, 1, 10, 1e2, 1e3, 1e4, 1e5]
    # By hand: linear up to the threshold, 1; then one step a decade.
    wanted = [-4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(scale.height(scale.levels), wanted)
    assert scale.height(np.array([0.5])).tolist() == [0.5]


@given(st.lists(magnitudes, min_size=2, max_size=20), st.sampled_from(["linear", "symlog"]))
def test_heights_rise_with_the_values_and_lead_back_to_them(values, kind):
    scale = scale_of(*values, kind=kind)
    rising = np.unique(values)
    heights = scale.height(rising)
    assert np.all(np.diff(heights) >= 0)
    np.testing.assert_allclose(scale.value(heights), rising, rtol=1e-9)
    assert np.all(np.diff(scale.bands) > 0)
