"""Oracle: faces listed by hand, and areas: the faces of a plane must tile its rectangle."""

import numpy as np
import pytest

from landscape_mpi.views.mesh_faces import connect


def area(faces, shape):
    """Sum the signed areas of polygons by the shoelace formula, in grid units."""
    x, y = np.unravel_index(faces, shape)
    following = np.roll(x, -1, axis=1), np.roll(y, -1, axis=1)
    return 0.5 * (x * following[1] - y * following[0]).sum()


def everywhere(shape):
    return np.ones(shape, dtype=bool)


def test_two_by_three_by_hand():
    cells = connect(everywhere((2, 3)), everywhere((2, 3)))
    # flat indices: alpha 0 holds 0 1 2, alpha 1 holds 3 4 5
    assert cells.faces.tolist() == [[0, 3, 4, 1], [1, 4, 5, 2]]
    assert cells.holes.size == cells.loose.size == cells.loose_holes.size == 0


def test_quads_are_counterclockwise_and_tile_the_rectangle():
    shape = (3, 5)
    assert area(connect(everywhere(shape), everywhere(shape)).faces, shape) == 2 * 4


def test_a_point_that_is_not_finite_takes_its_four_quads():
    finite = everywhere((4, 4))
    finite[1, 1] = False
    cells = connect(everywhere((4, 4)), finite)
    assert len(cells.faces) == 5
    assert len(cells.holes) == 4
    assert all(5 in face for face in cells.holes.tolist())
    assert cells.loose_holes.size == 0


def test_finite_points_between_holes_are_loose():
    finite = np.indices((3, 3)).sum(axis=0) % 2 == 0
    cells = connect(everywhere((3, 3)), finite)
    assert len(cells.faces) == 0
    assert cells.loose.tolist() == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("stride", [1, 2, 3, 6])
def test_coarse_subgrids_tile_the_whole_plane(stride):
    computed = np.zeros((7, 13), dtype=bool)
    computed[::stride, ::stride] = True
    assert area(connect(computed, computed).faces, computed.shape) == 6 * 12


def test_any_pattern_with_its_corners_tiles_the_plane():
    computed = np.random.default_rng(4).random((9, 6)) < 0.4
    computed[[0, 0, -1, -1], [0, -1, 0, -1]] = True
    cells = connect(computed, computed)
    assert area(cells.faces, computed.shape) == pytest.approx(8 * 5)
    assert set(cells.faces.ravel()) == set(np.flatnonzero(computed))


def test_triangles_do_not_bridge_a_point_that_is_not_finite():
    computed = np.zeros((5, 5), dtype=bool)
    computed[::2, ::2] = True
    finite = computed.copy()
    finite[2, 2] = False
    cells = connect(computed, finite)
    assert 12 not in cells.faces
    assert area(cells.faces, (5, 5)) + area(cells.holes, (5, 5)) == 16


@pytest.mark.parametrize("points", [[], [7], [7, 8], [0, 6, 12, 18], [5, 6, 8]])
def test_too_few_points_or_points_in_a_row_are_loose(points):
    computed = np.zeros(25, dtype=bool)
    computed[points] = True
    computed = computed.reshape(5, 5)
    cells = connect(computed, computed)
    assert cells.faces.shape == (0, 3)
    assert cells.loose.tolist() == points


def test_nothing_finite_in_a_row():
    computed = np.zeros((5, 5), dtype=bool)
    computed[2, 1:3] = True
    assert connect(computed, ~everywhere((5, 5))).loose_holes.tolist() == [11, 12]


def test_a_line_has_no_faces():
    cells = connect(everywhere((4, 1)), everywhere((4, 1)))
    assert cells.faces.shape == (0, 4)
    assert cells.loose.tolist() == [0, 1, 2, 3]
