"""Oracle: where matplotlib has put the texts of the ticks, in pixels."""

import pytest
from surface_files import plane, write_surface

from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.camera import AZIMUTHS
from landscape_mpi.views.canvas import house_style
from landscape_mpi.views.page import page_for
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.shaded import SURFACE

AXIS = (-1, 0, 1)
ASIDE = 1.5  # points between two texts, at the least


def drawn(tmp_path):
    path = tmp_path / "net.h5"
    write_surface(path, AXIS, AXIS, {"train_loss": plane(AXIS, AXIS, lambda a, b: 1 + a + b)})
    return SURFACE(make_panel(read_surface(path), "train_loss"))


def texts_of(axes):
    """Return the texts of the ticks of alpha and of beta, and their places in pixels."""
    axes.figure.draw_without_rendering()
    return [
        {
            label.get_text(): label.get_window_extent()
            for label in axis.get_majorticklabels()
            if label.get_visible()
        }
        for axis in (axes.xaxis, axes.yaxis)
    ]


@pytest.mark.parametrize("columns", [None, 1, 2])
def test_from_wherever_it_is_seen_no_two_texts_touch_at_a_corner(tmp_path, columns):
    with house_style(page_for(columns)):
        axes = drawn(tmp_path).axes[0]
        for azimuth in AZIMUTHS:
            axes.view_init(elev=axes.elev, azim=azimuth)
            alpha, beta = texts_of(axes)
            assert min(len(alpha), len(beta)) >= 2
            aside = ASIDE * axes.figure.dpi / 72
            for one in alpha.values():
                assert not any(one.padded(aside).overlaps(other) for other in beta.values())


def test_the_corner_in_front_is_left_free_and_the_other_ends_are_not(tmp_path):
    """Seen as it is drawn, that corner is at the largest alpha and the smallest beta."""
    texts = texts_of(drawn(tmp_path).axes[0])
    alpha, beta = ([float(text.replace("\N{MINUS SIGN}", "-")) for text in one] for one in texts)
    assert (min(alpha), max(beta)) == (-1, 1)
    assert max(alpha) < 1
    assert min(beta) > -1
