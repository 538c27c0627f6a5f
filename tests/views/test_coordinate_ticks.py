"""Oracle: the coordinates themselves, which the texts of a drawn figure must give back."""

import numpy as np
import pytest
import surface_files

from landscape_mpi.registry import PICTURES
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.panel import make_panel

TIMES = ((r"\times", ""), ("$", ""), ("{", ""), ("}", ""), (" ", ""), ("\N{MINUS SIGN}", "-"))


def number_of(text):
    for old, new in TIMES:
        text = text.replace(old, new)
    mantissa, _, exponent = text.partition("10^")
    mantissa = {"": "1", "-": "-1"}.get(mantissa, mantissa)
    return float(mantissa) * 10.0 ** int(exponent) if exponent else float(text)


@pytest.mark.parametrize("kind", ["contour", "heatmap", "surface"])
@pytest.mark.parametrize(
    ("alpha", "beta"),
    [((0.5, 0.50001), (-3, -2.99999)), ((-1e6, 1e6), (-1e7, 1e7)), ((-1, 1), (-1, 1))],
)
def test_labels_are_the_coordinates_and_no_axis_has_another_number(tmp_path, kind, alpha, beta):
    axes_of = [np.linspace(*ends, 11) for ends in (alpha, beta)]
    loss = np.add.outer(np.arange(11.0), np.arange(11.0))
    path = surface_files.write_surface(tmp_path / "net.h5", *axes_of, {"train_loss": loss})
    figure = PICTURES[kind](make_panel(read_surface(path), "train_loss"))
    figure.draw_without_rendering()
    axes = figure.axes[0]
    for axis, ends in ((axes.xaxis, alpha), (axes.yaxis, beta)):
        assert axis.get_offset_text().get_text() == ""
        ticks = [(tick.get_loc(), tick.label1.get_text()) for tick in axis.get_major_ticks()]
        slack = 1e-6 * (ends[1] - ends[0])
        inside = [(at, text) for at, text in ticks if ends[0] - slack <= at <= ends[1] + slack]
        shown = [(at, text) for at, text in inside if text]
        assert len(shown) >= 2
        step = np.diff([place for place, _ in shown]).min()
        for place, text in shown:
            assert number_of(text) == pytest.approx(place, abs=0.05 * step)
