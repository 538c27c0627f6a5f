"""Oracle: a file whose marks are written down here, and the artists of the figure it gives."""

import h5py
import numpy as np
import pytest
from figure_texts import legend_texts
from surface_files import plane, write_surface

from landscape_mpi.store.reader import read_surface
from landscape_mpi.store.solution_marks import Mark, write_marks
from landscape_mpi.views.flat_pictures import CONTOUR, FILLED, HEATMAP
from landscape_mpi.views.line import draw_line
from landscape_mpi.views.panel import make_panel

AXIS = np.linspace(-0.5, 1.5, 9)
MARKS = [Mark("first", 0.0, 0.0), Mark("second_$run", 1.0, 0.0), Mark("third", 0.31, 1.5)]


def marked_surface(path, values, beta):
    write_surface(path, AXIS, beta, {"train_loss": values})
    with h5py.File(path, "r+") as file:
        write_marks(file, [*MARKS, Mark("far", 9.0, 0.0)])
    return read_surface(path)


@pytest.fixture
def surface(tmp_path):
    return marked_surface(tmp_path / "a.h5", plane(AXIS, AXIS, lambda a, b: 1 + a + b * b), AXIS)


def test_marks_come_back_from_the_file(surface, tmp_path):
    assert surface.marks == (*MARKS, Mark("far", 9.0, 0.0))
    write_surface(tmp_path / "none.h5", AXIS, [0], {"train_loss": AXIS})
    assert read_surface(tmp_path / "none.h5").marks == ()


def test_older_files_whose_marks_have_one_name(tmp_path):
    """They say the paths elsewhere; where they do not, the name stays."""
    path = write_surface(tmp_path / "line.h5", AXIS, [0], {"train_loss": AXIS})
    with h5py.File(path, "r+") as file:
        write_marks(file, [Mark("epoch_0015", 0.0, 0.0), Mark("epoch_0015", 1.0, 0.0)])
    assert [mark.name for mark in read_surface(path).marks] == ["epoch_0015"] * 2
    with h5py.File(path, "r+") as file:
        file["provenance"].attrs["checkpoint"] = "runs/with/epoch_0015.pt"
        file["directions"].attrs["source"] = "to runs/other/epoch_0015.pt"
    assert [mark.name for mark in read_surface(path).marks] == [
        "with/epoch_0015",
        "other/epoch_0015",
    ]


@pytest.mark.parametrize("draw", [CONTOUR, FILLED, HEATMAP])
def test_a_plane_shows_letters_and_the_losses_of_grid_points(surface, draw):
    figure = draw(make_panel(surface, "train_loss"))
    axes = figure.axes[0]
    letters = {text.get_text(): tuple(text.xy) for text in axes.texts if text.get_text() in "ABCD"}
    assert letters == {"A": (0.0, 0.0), "B": (1.0, 0.0), "C": (0.31, 1.5)}
    # The third is between grid points, and the fourth outside.
    assert legend_texts(figure)[:3] == ["A: first, 1", r"B: second_\$run, 2", "C: third"]


def test_a_line_shows_verticals(tmp_path):
    surface = marked_surface(tmp_path / "line.h5", 1 + AXIS, [0])
    figure = draw_line([make_panel(surface, "train_loss")])
    letters = [text for text in figure.axes[0].texts if text.get_text() in "ABCD"]
    assert [(t.get_text(), t.xy[0]) for t in letters] == [("A", 0.0), ("B", 1.0), ("C", 0.31)]
    words = legend_texts(figure)
    assert words[-3:] == ["A: first, 1", r"B: second_\$run, 2", "C: third"]
    assert not any("center" in word for word in words)
