"""A picture of a mesh by VTK, off screen: light, camera, colours and a bar."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import vtkmodules.vtkRenderingOpenGL2  # noqa: F401 - the classes that draw register themselves
from matplotlib import colormaps
from PIL import Image
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonCore import vtkLogger, vtkLookupTable, vtkObject, vtkPoints
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkRenderingCore import (
    vtkActor,
    vtkLight,
    vtkPolyDataMapper,
    vtkRenderer,
    vtkRenderWindow,
    vtkWindowToImageFilter,
)

from landscape_mpi.errors import InputError
from landscape_mpi.invocation import typed
from landscape_mpi.output import whole_file
from landscape_mpi.views.mesh import HEIGHT, Mesh, to_cells, to_polygons
from landscape_mpi.views.mesh_arrays import normals_of
from landscape_mpi.views.mesh_view import MeshView
from landscape_mpi.views.occlusion import add_occlusion
from landscape_mpi.views.render_look import Look

WIDTH = 1600  # pixels, if no size is requested
FLATTEST, TALLEST = 0.4, 1.2  # height of a picture over its width, if no size is requested
BAR = 1 / 6  # of the picture's width
FILLED = 0.95  # of the rest of the picture, along the side that is filled first
LINE = 1.6  # width of a line in pixels
LINE_COLOR = 0.1
# Pixels drawn for each one of the picture, along a side: their mean has smooth edges. More are
# drawn without shade, since each is cheaper then.
FINER, FINER_WITH_SHADE = 2.0, 1.4
QUICKLY = 3  # PNG's level of compression: a third of the time of the usual one, 15 % larger
ABOVE = 0.001  # of the longer side: height of lines over the faces that would hide them


def render_mesh(mesh: Mesh, path: Path, view: MeshView, *, lines: Mesh | None = None) -> None:
    """Draw a mesh coloured by its height into a PNG, with a bar if requested.

    Args:
        mesh: The mesh.
        path: File to write.
        view: Colours, relief and camera.
        lines: Polylines on the mesh, drawn dark: isolines or paths.

    Raises:
        InputError: If the mesh has no faces, or nothing can be drawn or written here.
    """
    if not len(mesh.polygons):
        raise InputError(
            f"{path}: the surface has no faces to render. Draw it: {typed('plot')} FILE."
        )
    vtkObject.GlobalWarningDisplayOff()  # messages about missing screens
    vtkLogger.SetStderrVerbosity(vtkLogger.VERBOSITY_OFF)
    renderer, look = vtkRenderer(), view.look
    points, origin = _near_zero(mesh.points * [1.0, 1.0, view.stretch])
    side = float(np.ptp(points[:, :2], axis=0).max())
    renderer.AddActor(_surface_actor(mesh, points, view))
    if lines is not None:
        laid = lines.points * [1.0, 1.0, view.stretch] - origin
        laid[:, 2] += ABOVE * side
        renderer.AddActor(_line_actor(lines, laid))
    _add_lamps(renderer, view)
    if look.occlusion:
        add_occlusion(renderer, side)
    width, height = size_of(points, view)
    strip = round(BAR * width) if look.bar else 0
    place_camera(renderer, points, view, (width - strip) / height)
    pixels = _pixels_of(renderer, (width - strip, height), look)
    if not pixels[:, :, 3].any():
        raise InputError(
            f"{path}: VTK drew nothing: it found no way to draw without a screen. Install OSMesa "
            "or EGL, or open the .vtp in ParaView."
        )
    if look.bar:
        from landscape_mpi.views.render_bar import draw_bar  # imports all of matplotlib

        pixels = np.concatenate([pixels, draw_bar(view, strip, height)], axis=1)
    with whole_file(path) as partial:
        shown = Image.fromarray(pixels if look.transparent else on_white(pixels))
        shown.save(partial, format="png", compress_level=QUICKLY)


def size_of(points: np.ndarray, view: MeshView) -> tuple[int, int]:
    """Return width and height of the picture: as requested, or such that the surface fills it.

    Args:
        points: Points of the drawn surface, float64 [n, 3].
        view: The view, with its look and camera.
    """
    if view.look.size is not None:
        return view.look.size
    renderer = vtkRenderer()
    seen = place_camera(renderer, points, view, 1.0)
    across, upright = np.ptp(seen, axis=0)
    taken = WIDTH * (1.0 - (BAR if view.look.bar else 0.0)) * upright / across
    return WIDTH, round(float(np.clip(taken, FLATTEST * WIDTH, TALLEST * WIDTH)))


def on_white(pixels: np.ndarray) -> np.ndarray:
    """Return a picture [rows, columns, 4] on a white ground, uint8 [rows, columns, 3]."""
    share = pixels[:, :, 3:].astype(np.float32) / 255.0
    return np.rint(255.0 + (pixels[:, :, :3] - np.float32(255.0)) * share).astype(np.uint8)


def _surface_actor(mesh: Mesh, points: np.ndarray, view: MeshView) -> Any:
    polydata = _polydata_of(points)
    polydata.SetPolys(to_polygons(mesh.polygons))
    data = polydata.GetPointData()
    data.SetNormals(numpy_to_vtk(normals_of(points, mesh.polygons).astype(np.float32), deep=True))
    low, high = view.colors_from_to
    data.SetScalars(numpy_to_vtk((mesh.derived[HEIGHT] - low).astype(np.float32), deep=True))
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(polydata)
    mapper.SetScalarRange(0.0, high - low)
    mapper.SetLookupTable(_colors(view.look.colors))
    mapper.InterpolateScalarsBeforeMappingOn()
    actor = vtkActor()
    actor.SetMapper(mapper)
    surface = actor.GetProperty()
    surface.SetInterpolationToPhong()
    surface.SetAmbient(view.look.ambient)
    surface.SetDiffuse(view.look.diffuse)
    surface.SetSpecular(view.look.specular)
    surface.SetSpecularPower(25.0)
    return actor


def _line_actor(lines: Mesh, points: np.ndarray) -> Any:
    polydata = _polydata_of(points)
    polydata.SetLines(to_cells(lines.polylines))
    mapper = vtkPolyDataMapper()
    mapper.SetInputData(polydata)
    mapper.ScalarVisibilityOff()
    actor = vtkActor()
    actor.SetMapper(mapper)
    actor.GetProperty().SetColor(LINE_COLOR, LINE_COLOR, LINE_COLOR)
    actor.GetProperty().LightingOff()
    actor.GetProperty().SetLineWidth(LINE * FINER)
    return actor


def _near_zero(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return points around their middle, and the middle.

    VTK draws in float32, whose numbers near 4e6 are a quarter apart.
    """
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    return points - middle, middle


def _polydata_of(points: np.ndarray) -> vtkPolyData:
    places = vtkPoints()
    places.SetData(numpy_to_vtk(points.astype(np.float32), deep=True))
    polydata = vtkPolyData()
    polydata.SetPoints(places)
    return polydata


def _colors(name: str) -> Any:
    table = vtkLookupTable()
    table.SetNumberOfTableValues(256)
    for k, color in enumerate(colormaps[name](np.linspace(0.0, 1.0, 256))):
        table.SetTableValue(k, *map(float, color))
    return table


def _add_lamps(renderer: Any, view: MeshView) -> None:
    renderer.AutomaticLightCreationOff()
    for lamp in view.look.lamps:
        turn, rise = np.radians([view.camera.azimuth - lamp.azimuth, lamp.elevation])
        light = vtkLight()
        light.SetLightTypeToSceneLight()
        across = np.cos(rise)
        light.SetPosition(across * np.cos(turn), across * np.sin(turn), np.sin(rise))
        light.SetFocalPoint(0.0, 0.0, 0.0)
        light.SetIntensity(lamp.strength)
        renderer.AddLight(light)


def place_camera(renderer: Any, points: np.ndarray, view: MeshView, aspect: float) -> np.ndarray:
    """Place the camera so that points fill the picture along one side.

    Args:
        renderer: A renderer of VTK.
        points: Points to look at, float64 [n, 3].
        view: The view, with its camera.
        aspect: Width of the picture over its height.

    Returns:
        The places of the points, from -1 to 1 before the picture is filled, float64 [n, 2].
    """
    camera = renderer.GetActiveCamera()
    camera.SetFocalPoint(0.0, 0.0, 0.0)
    camera.SetPosition(*map(float, view.camera.towards))
    is_above = abs(view.camera.towards[2]) > 0.999
    turn = np.radians(view.camera.azimuth)
    camera.SetViewUp(*((-np.cos(turn), -np.sin(turn), 0.0) if is_above else (0.0, 0.0, 1.0)))
    low, high = points.min(axis=0), points.max(axis=0)
    renderer.ResetCamera(*np.stack([low, high], axis=1).ravel().tolist())
    seen = _project(camera, points, aspect)
    ends = np.stack([seen.min(axis=0), seen.max(axis=0)])
    larger = float((2.0 * FILLED / np.ptp(ends, axis=0)).min())
    half_angle = np.radians(camera.GetViewAngle() / 2)
    camera.SetViewAngle(2 * np.degrees(np.arctan(np.tan(half_angle) / larger)))
    camera.SetWindowCenter(*map(float, larger * ends.mean(axis=0)))
    return seen


def _project(camera: Any, points: np.ndarray, aspect: float) -> np.ndarray:
    """Return the places in the picture of points [n, 3], from -1 to 1, float64 [n, 2]."""
    matrix = camera.GetCompositeProjectionTransformMatrix(aspect, -1.0, 1.0)
    rows = np.array([[matrix.GetElement(i, j) for j in range(4)] for i in range(4)])
    seen = points @ rows[:, :3].T + rows[:, 3]
    return np.asarray(seen[:, :2] / seen[:, 3:], dtype=np.float64)


def _pixels_of(renderer: Any, size: tuple[int, int], look: Look) -> np.ndarray:
    """Return the picture without its ground, uint8 [rows, columns, 4], from the top."""
    finer = FINER_WITH_SHADE if look.occlusion else FINER
    renderer.SetBackground(1.0, 1.0, 1.0)
    renderer.SetBackgroundAlpha(0.0)
    window = vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetAlphaBitPlanes(1)
    window.SetSize(*(round(finer * side) for side in size))
    window.AddRenderer(renderer)
    renderer.ResetCameraClippingRange()
    window.Render()
    grab = vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.SetInputBufferTypeToRGBA()
    grab.ReadFrontBufferOff()
    grab.ShouldRerenderOff()  # otherwise it would draw everything again
    grab.Update()
    width, height, _ = grab.GetOutput().GetDimensions()
    flat = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars())
    large = np.ascontiguousarray(flat.reshape(height, width, 4)[::-1])
    # The colours are weighted by coverage, so the edges have no rim in the colour of the ground.
    small = Image.fromarray(large, "RGBA").convert("RGBa").resize(size, Image.Resampling.BOX)
    return np.asarray(small.convert("RGBA"))
