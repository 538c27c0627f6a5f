"""Oracle: a real Chromium, which answers or stands still, and the values where they are finite."""

import numpy as np
import pytest
from open_page import choose, complaints, heights, trace
from surface_files import write_surface

from landscape_mpi import report

CLASSES = {"model": "net", "n_classes": 10}
ALPHA, BETA = np.linspace(-1, 1, 21), np.linspace(-1, 1, 17)


def stripes():
    """Return waves with many separate holes: plotly.js takes half a minute for their lines."""
    a, b = np.meshgrid(ALPHA, BETA, indexing="ij")
    square = a**2 + b**2
    waves = 0.1 + 5 * square * (1 + 0.3 * np.sin(7 * a) * np.cos(5 * b))
    waves[square > 1.2] = np.nan
    return waves.reshape(17, 21).T  # so that the plane is cut into stripes


@pytest.mark.parametrize("hole", [np.nan, np.inf])
def test_a_surface_with_many_holes_does_not_hold_up_the_browser(browser, tmp_path, hole):
    values = np.where(np.isnan(stripes()), hole, stripes())
    path = write_surface(
        tmp_path / "holes.h5", ALPHA, BETA, {"train_loss": values}, attributes=CLASSES
    )
    report.main([str(path)])
    browser.open(tmp_path / "holes.html", width=700, height=640)
    drawn = heights(browser, "space-0", "surface")
    there = np.isfinite(values)
    assert (np.isfinite(drawn) == there).all()
    np.testing.assert_allclose(drawn[there], np.log10(values[there] + 0.1), rtol=1e-5, atol=1e-6)
    assert not trace(browser, "space-0", "surface")["contours"]["z"]["show"]
    assert complaints(browser) == []


def test_a_surface_without_holes_has_lines_of_equal_height(browser, tmp_path):
    path = write_surface(
        tmp_path / "whole.h5", ALPHA, BETA, {"train_loss": np.nan_to_num(stripes(), nan=7.0)}
    )
    report.main([str(path)])
    browser.open(tmp_path / "whole.html", width=700, height=640)
    assert trace(browser, "space-0", "surface")["contours"]["z"]["show"]


def test_another_quantity_leaves_none_of_the_lines_of_the_last_one(browser, tmp_path):
    """Wires and back draw the surface from the beginning, in the same picture."""
    whole = np.nan_to_num(stripes(), nan=7.0)
    holed = whole.copy()
    holed[3, 4] = np.nan
    values = {"train_loss": whole, "train_error": holed}
    report.main([str(write_surface(tmp_path / "two.h5", ALPHA, BETA, values)), "--linear"])
    browser.open(tmp_path / "two.html", width=700, height=640)
    choose(browser, "quantity", "e.value = 'train_error'")
    picture = browser.picture("#space-0").astype(int)
    choose(browser, "wires", "e.checked = true")
    choose(browser, "wires", "e.checked = false")
    differs = np.abs(browser.picture("#space-0").astype(int) - picture).sum(axis=2) > 30
    assert differs.sum() < 50
