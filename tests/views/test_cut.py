"""Oracle: the area of a polygon by hand, and VTK's clipping of the same faces."""

import numpy as np
import pytest
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkPlane
from vtkmodules.vtkFiltersCore import vtkClipPolyData, vtkTriangleFilter

from landscape_mpi.views.cut import cut_above, cut_between, triangles_of
from landscape_mpi.views.mesh import Mesh, to_polydata
from landscape_mpi.views.mesh_faces import connect


def grid(n, function):
    axis = np.linspace(-1.0, 1.0, n)
    a, b = np.meshgrid(axis, axis, indexing="ij")
    points = np.stack([a, b, function(a, b)], axis=2).reshape(-1, 3)
    everywhere = np.ones((n, n), bool)
    return points, connect(everywhere, everywhere).faces


def area_of(points, faces):
    """Return the area seen from above."""
    total = 0.0
    for k in range(1, faces.shape[1] - 1):
        a, b, c = (points[faces[:, j], :2] for j in (0, k, k + 1))
        (x, y), (u, v) = (b - a).T, (c - a).T
        total += np.abs(x * v - y * u).sum() / 2
    return total


def area_by_vtk(points, faces, level):
    plane = vtkPlane()
    plane.SetOrigin(0.0, 0.0, level)
    plane.SetNormal(0.0, 0.0, -1.0)
    clip = vtkClipPolyData()
    clip.SetInputData(to_polydata(Mesh(points, triangles_of(faces), [], {}, {}, "", 0, 0)))
    clip.SetClipFunction(plane)
    flat = vtkTriangleFilter()
    flat.SetInputConnection(clip.GetOutputPort())
    flat.Update()
    found = flat.GetOutput()
    corners = vtk_to_numpy(found.GetPolys().GetConnectivityArray()).reshape(-1, 3)
    return area_of(vtk_to_numpy(found.GetPoints().GetData()), corners)


def test_a_tilted_plane_is_cut_along_a_straight_line_with_all_its_values():
    points, faces = grid(5, lambda a, b: a + 0 * b)
    cut = cut_above(points[:, 2], faces, 0.3)
    whole = cut.extend(points)
    new = whole[len(points) :]
    np.testing.assert_allclose(new[:, [0, 2]], 0.3)
    assert len({tuple(point) for point in new.round(9)}) == len(new)  # each point once
    assert area_of(whole, cut.kept) == pytest.approx(2 * 1.3)
    assert area_of(whole, cut.beyond) == pytest.approx(2 * 0.7)
    np.testing.assert_allclose(cut.extend(10 * points[:, 0]), 10 * whole[:, 0])


@pytest.mark.parametrize("level", [-0.4, 0.0, 0.35])
def test_the_area_is_that_of_vtk(level):
    points, faces = grid(12, lambda a, b: np.sin(5 * a) * np.cos(4 * b))
    kept_points, kept = cut_between(points, faces, -np.inf, level)
    assert area_of(kept_points, kept) == pytest.approx(area_by_vtk(points, faces, level), rel=1e-6)
    assert kept_points[kept, 2].max() <= level + 1e-12


def test_the_faces_keep_looking_up_and_a_lid_closes_the_plane():
    points, faces = grid(9, lambda a, b: a * a + b * b)
    cut_points, kept = cut_between(points, faces, 0.1, 0.5)
    a, b, c = (cut_points[kept[:, k]] for k in range(3))
    assert (np.cross(b - a, c - a)[:, 2] > -1e-15).all()
    assert cut_points[kept, 2].min() >= 0.1 - 1e-12
    with_lid, both = cut_between(points, faces, 0.1, 0.5, lid=True)
    assert area_of(with_lid, both) == pytest.approx(4.0)
    assert (with_lid[:, 2].min(), with_lid[:, 2].max()) == (0.1, 0.5)


def test_the_border_of_a_cut_bowl_is_smooth():
    """By hand: it is a circle; cells cut along their edges would be off by a spacing."""
    points, faces = grid(41, lambda a, b: a * a + b * b)
    cut = cut_above(points[:, 2], faces, 0.5)
    border = cut.extend(points)[len(points) :]
    assert np.abs(np.hypot(*border[:, :2].T) - np.sqrt(0.5)).max() < 0.02 * 0.05


def test_nothing_to_cut_leaves_the_faces_as_they_are():
    points, faces = grid(4, lambda a, b: a + b)
    same_points, same = cut_between(points, faces, -np.inf, 2.0)
    assert same_points is points
    assert same is faces
