"""A picture of a mesh by VTK, off screen: light, camera, colours and a scalar bar."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import vtkmodules.vtkRenderingFreeType  # noqa: F401 - letters
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401 - the classes that draw register themselves
from matplotlib import colormaps
from matplotlib.image import imsave
from matplotlib.ticker import MaxNLocator
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkLogger, vtkLookupTable, vtkObject
from vtkmodules.vtkFiltersCore import vtkTubeFilter
from vtkmodules.vtkRenderingAnnotation import vtkScalarBarActor
from vtkmodules.vtkRenderingCore import (
    vtkActor,
    vtkPolyDataMapper,
    vtkRenderer,
    vtkRenderWindow,
    vtkWindowToImageFilter,
)

from landscape_mpi.errors import InputError
from landscape_mpi.output import whole_file
from landscape_mpi.views.mesh import HEIGHT, Mesh, to_polydata

SIZE = (1600, 1200)  # pixels
RELIEF = 0.6  # height of the picture's box, as a share of its longer side
AZIMUTH, ELEVATION = -58.0, 32.0  # degrees: as the 3-D pictures of plot have them
TUBE = 0.004  # radius of a line, as a share of the longer side
COLORS = "viridis"
# What the mesh fills of the picture, from -1 to 1 along each side: the scalar bar is right of it.
ACROSS, UPRIGHT = (-0.95, 0.64), (-0.92, 0.92)


def render_mesh(mesh: Mesh, path: Path, *, lines: Mesh | None = None) -> None:
    """Draw a mesh coloured by its height, with its scalar bar, into a PNG.

    Args:
        mesh: The mesh; its box is drawn as high as RELIEF says, whatever the factor on it.
        path: File to write.
        lines: Polylines on the mesh, drawn dark: isolines or paths.

    Raises:
        InputError: If the mesh has no faces, or nothing can be drawn or written here.
    """
    if not len(mesh.polygons):
        raise InputError(
            f"{path}: the surface has no faces to render. Draw it with landscape_mpi.plot."
        )
    vtkObject.GlobalWarningDisplayOff()  # about the screens that are not there
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    renderer, stretch = vtkRenderer(), stretch_of([mesh])
    renderer.SetBackground(1.0, 1.0, 1.0)
    surface = _surface_actor(mesh, stretch)
    renderer.AddActor(surface)
    if lines is not None:
        renderer.AddActor(_line_actor(lines, stretch))
    renderer.AddViewProp(_scalar_bar(surface, title_of(mesh), ticks_of(*range_of([mesh]))))
    _place_camera(renderer, mesh.points * [1.0, 1.0, stretch])
    pixels = _pixels_of(renderer)
    if pixels.std() == 0:
        raise InputError(
            f"{path}: VTK drew nothing: it found no way to draw without a screen. Install OSMesa "
            "or EGL, or open the .vtp in ParaView."
        )
    with whole_file(path) as partial:
        imsave(partial, pixels, format="png")


def box_of(meshes: Sequence[Mesh]) -> np.ndarray:
    """Return the box around meshes, float64 [3, 2]: from and to, along each axis."""
    low = np.min([mesh.points.min(axis=0) for mesh in meshes], axis=0)
    high = np.max([mesh.points.max(axis=0) for mesh in meshes], axis=0)
    return np.stack([low, high], axis=1)


def stretch_of(meshes: Sequence[Mesh]) -> float:
    """Return the factor on the third coordinate that gives the box around meshes its relief."""
    width, depth, height = np.ptp(box_of(meshes), axis=1)
    return float(RELIEF * max(width, depth) / height) if height > 0 else 1.0


def range_of(meshes: Sequence[Mesh]) -> tuple[float, float]:
    """Return the range of the colours of meshes, wider than nothing."""
    low = min(float(mesh.derived[HEIGHT].min()) for mesh in meshes)
    high = max(float(mesh.derived[HEIGHT].max()) for mesh in meshes)
    return low, high if high > low else low + 1.0


def ticks_of(low: float, high: float) -> list[float]:
    """Return round values within the range, for the labels of the scalar bar."""
    ticks = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(f"{tick:.6g}") for tick in ticks if low <= tick <= high]


def _surface_actor(mesh: Mesh, stretch: float) -> Any:
    polydata = to_polydata(mesh)
    # The shading is that of the stretched surface: VTK turns normals with the actor.
    polydata.GetPointData().SetActiveScalars(HEIGHT)
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(polydata)
    mapper.SetScalarModeToUsePointFieldData()
    mapper.SelectColorArray(HEIGHT)
    mapper.SetScalarRange(*range_of([mesh]))
    mapper.SetLookupTable(_colors())
    mapper.InterpolateScalarsBeforeMappingOn()
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.SetScale(1.0, 1.0, stretch)
    look = actor.GetProperty()
    look.SetInterpolationToPhong()
    look.SetAmbient(0.25)
    look.SetDiffuse(0.8)
    look.SetSpecular(0.15)
    look.SetSpecularPower(20.0)
    return actor


def _line_actor(lines: Mesh, stretch: float) -> Any:
    stretched = Mesh(
        lines.points * [1.0, 1.0, stretch], lines.polygons, lines.polylines, {}, {}, "", 0, 0
    )
    tube = vtkTubeFilter()
    tube.SetInputData(to_polydata(stretched))
    tube.SetRadius(TUBE * float(np.ptp(lines.points[:, :2], axis=0).max()))
    tube.SetNumberOfSides(8)
    mapper = vtkPolyDataMapper()
    mapper.SetInputConnection(tube.GetOutputPort())
    mapper.ScalarVisibilityOff()
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(0.08, 0.08, 0.08)
    return actor


def _colors() -> Any:
    table = vtkLookupTable()
    table.SetNumberOfTableValues(256)
    for k, color in enumerate(colormaps[COLORS](np.linspace(0.0, 1.0, 256))):
        table.SetTableValue(k, *map(float, color))
    return table


def title_of(mesh: Mesh) -> str:
    """Return what the height is and its unit, in short lines: VTK would cut long ones."""
    words = mesh.height.replace("_", " ").replace("+", " + ")
    unit = mesh.units[HEIGHT].removeprefix("log10").strip("()")  # the words say log10 already
    return textwrap.fill(words, 18) + (f"\n({unit})" if unit not in {"", "1"} else "")


def _scalar_bar(actor: Any, title: str, ticks: list[float]) -> Any:
    bar = vtkScalarBarActor()
    bar.SetLookupTable(actor.GetMapper().GetLookupTable())
    bar.SetTitle(title)
    bar.UseCustomLabelsOn()
    bar.SetCustomLabels(numpy_to_vtk(np.array(ticks), deep=True))
    bar.SetLabelFormat("%g")
    bar.SetVerticalTitleSeparation(16)
    bar.UnconstrainedFontSizeOn()
    for text, size in ((bar.GetTitleTextProperty(), 26), (bar.GetLabelTextProperty(), 24)):
        text.SetColor(0.0, 0.0, 0.0)
        text.SetFontSize(size)
        text.BoldOff()
        text.ItalicOff()
        text.ShadowOff()
    bar.SetPosition(0.86, 0.25)
    bar.SetWidth(0.1)
    bar.SetHeight(0.5)
    return bar


def _place_camera(renderer: Any, points: np.ndarray) -> None:
    """Look at points [n, 3] from above, so near that they fill their part of the picture."""
    turn, rise = np.radians(AZIMUTH), np.radians(ELEVATION)
    towards = np.array([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)])
    camera = renderer.GetActiveCamera()
    camera.SetFocalPoint(0.0, 0.0, 0.0)
    camera.SetPosition(*map(float, towards))
    camera.SetViewUp(0.0, 0.0, 1.0)
    renderer.ResetCamera()
    seen = _project(camera, points)
    low, high = seen.min(axis=0), seen.max(axis=0)
    place = np.array([ACROSS, UPRIGHT])
    larger = float((np.ptp(place, axis=1) / (high - low)).min())
    half_angle = np.radians(camera.GetViewAngle() / 2)
    camera.SetViewAngle(2 * np.degrees(np.arctan(np.tan(half_angle) / larger)))
    camera.SetWindowCenter(*map(float, larger * (low + high) / 2 - place.mean(axis=1)))
    renderer.ResetCameraClippingRange()


def _project(camera: Any, points: np.ndarray) -> np.ndarray:
    """Return where a camera sees points [n, 3] in the picture, from -1 to 1, float64 [n, 2]."""
    matrix = camera.GetCompositeProjectionTransformMatrix(SIZE[0] / SIZE[1], -1.0, 1.0)
    rows = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
    seen = np.column_stack([points, np.ones(len(points))]) @ rows.T
    return np.asarray(seen[:, :2] / seen[:, 3:], dtype=np.float64)


def _pixels_of(renderer: Any) -> np.ndarray:
    """Return the picture, uint8 [rows, columns, 3], from the top."""
    window = vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(8)
    window.SetSize(*SIZE)
    window.AddRenderer(renderer)
    window.Render()
    grab = vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    image = grab.GetOutput()
    width, height, _ = image.GetDimensions()
    flat = vtk_to_numpy(image.GetPointData().GetScalars())
    return np.ascontiguousarray(flat.reshape(height, width, -1)[::-1, :, :3])
