"""Oracle: shadows by hand, and VTK's depth buffer for a rough surface.

For the real surface without shortcuts the points are those that VTK's own selection finds in a
rendering, which knows nothing of the rays here.
"""

import numpy as np
import pytest
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401 - the classes that draw register themselves
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkRenderingCore import (
    vtkActor,
    vtkPolyDataMapper,
    vtkRenderer,
    vtkRenderWindow,
    vtkSelectVisiblePoints,
)

from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.box import basin_in, ranges_of, sides_of_box, visible_heights
from landscape_mpi.views.camera import AZIMUTHS, Basin, Camera, choose_camera, share_seen
from landscape_mpi.views.mesh import Mesh, to_polydata
from landscape_mpi.views.mesh_faces import connect
from landscape_mpi.views.panel import make_panel
from landscape_mpi.views.space import Space, stand_up
from landscape_mpi.views.visibility import are_seen, clearances, make_terrain

BEFORE = Camera(-58.0, 32.0)  # the camera that did not look


def wall(n=101):
    """A plane of 1 x 1 with a wall of height 0.2 along beta at alpha = 0.5."""
    axis = np.linspace(0.0, 1.0, n)
    heights = np.zeros((n, n))
    heights[n // 2] = 0.2
    return make_terrain(axis, axis, heights, np.ones(2))


def test_the_shadow_of_a_wall_is_as_long_as_its_height_over_the_tangent():
    terrain, camera = wall(), Camera(0.0, 30.0)  # beyond the largest alpha
    index = np.column_stack([np.arange(101), np.full(101, 50)])
    seen = are_seen(terrain, index, camera.towards)
    length = 0.2 / np.tan(np.radians(30.0))
    hidden = (index[:, 0] / 100 < 0.495) & (index[:, 0] / 100 > 0.5 - length)
    clear = (index[:, 0] / 100 < 0.5 - length - 0.01) | (index[:, 0] >= 50)
    assert not seen[hidden].any()
    assert seen[clear].all()
    assert are_seen(terrain, index[51:], Camera(180.0, 30.0).towards)[36:].all()


def test_what_stands_behind_the_wall_must_be_so_high_to_be_seen():
    needed = clearances(wall(), np.array([[0.4, 0.5]]), Camera(0.0, 30.0).towards)
    assert needed[0] == pytest.approx(0.2 - 0.1 * np.tan(np.radians(30.0)), abs=2e-3)
    assert clearances(wall(), np.array([[0.4, 0.5]]), Camera(0.0, 90.0).towards)[0] < 0


def test_falling_axes_and_uneven_ones_lie_where_they_are():
    axis = np.array([3.0, 1.0, 0.0])
    terrain = make_terrain(axis, axis[::-1], np.outer(axis, np.ones(3)), np.ones(2))
    np.testing.assert_allclose(terrain.heights[:, 0], [0.0, 1.5, 3.0])


@pytest.mark.parametrize("azimuth", AZIMUTHS)
def test_a_valley_is_looked_into_from_its_open_end(azimuth):
    """The valley runs from the middle towards an azimuth, as deep as its walls are high."""
    axis = np.linspace(-1.0, 1.0, 81)
    a, b = np.meshgrid(axis, axis, indexing="ij")
    turn = np.radians(azimuth)
    along, across = a * np.cos(turn) + b * np.sin(turn), b * np.cos(turn) - a * np.sin(turn)
    floor = (along > 0) & (np.abs(across) < 0.15)
    terrain = make_terrain(axis, axis, np.where(floor, 0.0, 0.6), np.full(2, 2.0))
    basin = Basin(terrain, np.argwhere(floor))
    chosen = choose_camera([basin])
    shares = [share_seen(basin, Camera(other)) for other in AZIMUTHS]
    assert share_seen(basin, chosen) >= 0.9 * max(shares)
    assert abs((chosen.azimuth - azimuth + 180) % 360 - 180) <= 30


def test_no_camera_looks_along_an_axis_where_labels_overlap():
    assert len(set(AZIMUTHS)) == 12
    assert min(min(azimuth % 90, -azimuth % 90) for azimuth in AZIMUTHS) > 10


def seen_by_vtk(heights, sides, camera, asked):
    """Return which of the points [n, 2] a rendering shows in its depth buffer."""
    n = heights.shape
    grid = np.meshgrid(*(np.linspace(0, side, k) for side, k in zip(sides, n, strict=True)))
    points = np.stack([grid[0].T, grid[1].T, heights], axis=2).reshape(-1, 3)
    everywhere = np.ones(n, bool)
    faces = connect(everywhere, everywhere).faces
    renderer, window = vtkRenderer(), vtkRenderWindow()
    mapper, actor = vtkPolyDataMapper(), vtkActor()
    mapper.SetInputData(to_polydata(Mesh(points, faces, [], {}, {}, "", 0, 0)))
    actor.SetMapper(mapper)
    renderer.AddActor(actor)
    view = renderer.GetActiveCamera()
    view.ParallelProjectionOn()
    middle = points.mean(axis=0)
    view.SetFocalPoint(*middle)
    view.SetPosition(*(middle + camera.towards))
    view.SetViewUp(0, 0, 1)
    renderer.ResetCamera()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(1500, 1500)
    window.AddRenderer(renderer)
    window.Render()
    chosen = points.reshape(*n, 3)[asked[:, 0], asked[:, 1]] + [0, 0, 1e-3]
    select = vtkSelectVisiblePoints()
    cloud = Mesh(
        chosen,
        np.empty((0, 4), int),
        [],
        {"id": np.arange(len(chosen)) * 1.0},
        {"id": "1"},
        "",
        0,
        0,
    )
    select.SetInputData(to_polydata(cloud))
    select.SetRenderer(renderer)
    select.SetTolerance(1e-3)
    select.Update()
    found = vtk_to_numpy(select.GetOutput().GetPointData().GetArray("id")).astype(int)
    return np.isin(np.arange(len(chosen)), found)


def rough(n=101):
    rng = np.random.default_rng(3)
    coarse = rng.random((9, 9))
    axis = np.linspace(0, 1, n)
    terrain = make_terrain(np.linspace(0, 1, 9), np.linspace(0, 1, 9), coarse, np.ones(2))
    place = axis * 8
    low = np.clip(place.astype(int), 0, 7)
    share = place - low
    rows = terrain.heights[low] * (1 - share)[:, None] + terrain.heights[low + 1] * share[:, None]
    both = rows[:, low] * (1 - share) + rows[:, low + 1] * share
    return make_terrain(axis, axis, 0.5 * both, np.ones(2))


def test_the_points_seen_are_those_of_a_depth_buffer():
    terrain = rough()
    index = np.argwhere(np.ones((101, 101), bool))[::7]
    camera = Camera(32.0, 30.0)
    ours = are_seen(terrain, index, camera.towards)
    theirs = seen_by_vtk(terrain.heights, terrain.sides, camera, index)
    assert 0.2 < theirs.mean() < 0.95
    assert (ours == theirs).mean() > 0.95


@pytest.mark.parametrize("name", ["resnet56_noshort_201"])
def test_the_basin_without_shortcuts_is_seen_twice_as_well_as_from_the_fixed_camera(name, data_dir):
    path = data_dir / "li2018" / "surfaces" / f"{name}.h5"
    if not path.exists():
        pytest.skip("LANDSCAPE_DATA has no li2018/surfaces")
    (panel,) = stand_up([make_panel(read_surface(path), "train_loss")], Space())
    basin = basin_in(panel, ranges_of(panel))
    assert share_seen(basin, panel.standing.camera) > 2 * share_seen(basin, BEFORE)
    drawn = visible_heights(panel)
    sides = sides_of_box(ranges_of(panel))
    heights = (drawn - drawn.min()) / np.ptp(drawn) * sides[2]
    below = np.argwhere(panel.values < np.log(10))
    new, old = (
        seen_by_vtk(heights, sides[:2], camera, below).mean()
        for camera in (panel.standing.camera, BEFORE)
    )
    assert new > 0.3
    assert new > 2 * old
