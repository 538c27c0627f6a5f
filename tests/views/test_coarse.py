"""Oracle: the rows and columns that the flags were written from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from landscape_mpi.store.reader import Surface
from landscape_mpi.views.coarse import on_its_own_grid
from landscape_mpi.views.panel import make_panel, summarize

ALPHA, BETA = np.linspace(-1, 1, 9), np.linspace(-2, 2, 7)


def surface(flags):
    values = np.where(flags, ALPHA[:, None] + 10 * BETA, np.nan)
    everywhere = np.ones(flags.shape, bool)
    return Surface(
        path=Path("s.h5"),
        alpha=ALPHA,
        beta=BETA,
        values={"train_loss": np.ones(flags.shape), "hessian_min": values},
        done=everywhere,
        done_of={"train_loss": everywhere, "hessian_min": flags},
        units={},
        long_names={},
        attributes={},
    )


def every_second():
    flags = np.zeros((9, 7), bool)
    flags[::2, 1::2] = True
    return flags


def test_every_second_point_is_a_grid_of_its_own():
    found = on_its_own_grid(surface(every_second()), "hessian_min")
    np.testing.assert_array_equal(found.alpha, ALPHA[::2])
    np.testing.assert_array_equal(found.beta, BETA[1::2])
    expected = ALPHA[::2, None] + 10 * BETA[1::2]
    np.testing.assert_array_equal(found.values["hessian_min"], expected)
    panel = make_panel(surface(every_second()), "hessian_min")
    assert panel.cells.faces.shape == (4 * 2, 4)  # quads, no hole and no triangle
    assert "15 of 15 points" in summarize(panel)
    assert make_panel(surface(every_second()), "train_loss").values.shape == (9, 7)


def unfinished():
    flags = every_second()
    flags[4, 3] = False
    return flags


def uneven():
    flags = np.zeros((9, 7), bool)
    flags[np.ix_([0, 1, 4], [0, 2])] = True
    return flags


@pytest.mark.parametrize("flags", [unfinished(), uneven(), np.eye(9, 7, dtype=bool)])
def test_other_points_are_part_of_the_surfaces_grid(flags):
    given = surface(flags)
    assert on_its_own_grid(given, "hessian_min") is given


def test_a_surface_that_is_being_computed_coarse_to_fine_stays_partial():
    given = surface(every_second())
    partial = replace(given, done=every_second(), done_of={"train_loss": every_second()})
    assert on_its_own_grid(partial, "train_loss") is partial
