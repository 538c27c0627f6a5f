"""Lines of equal value on the mesh of a surface, as polylines."""

from __future__ import annotations

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
from vtkmodules.vtkCommonDataModel import vtkDataObject
from vtkmodules.vtkFiltersCore import vtkContourFilter, vtkStripper

from landscape_mpi.views.levels import Scale
from landscape_mpi.views.mesh import NO_FACES, Mesh, to_polydata

LEVEL = "level"
LONGEST = 10**7  # points of one polyline; VTK's own limit would cut lines into pieces


def build_isolines(mesh: Mesh, quantity: str, scale: Scale) -> Mesh | None:
    """Build the lines on which a quantity has the values of a scale's levels.

    The heights of the scale are linear between points, as in ``views.flat_pictures``.

    Args:
        mesh: The mesh of a plane.
        quantity: The quantity.
        scale: Its scale, with the levels.

    Returns:
        Polylines on the mesh with the array ``level``, or None if no level is reached.
    """
    polydata = to_polydata(mesh)
    heights = numpy_to_vtk(np.ascontiguousarray(scale.height(mesh.values[quantity])), deep=True)
    heights.SetName("isoline_of")
    polydata.GetPointData().AddArray(heights)
    points: list[np.ndarray] = []
    lines: list[np.ndarray] = []
    values: list[np.ndarray] = []
    start = 0
    for level in scale.levels:
        found, parts = _cut(polydata, float(scale.height(np.array([level]))[0]))
        points.append(found)
        lines += [start + part for part in parts]
        values.append(np.full(len(found), level))
        start += len(found)
    if not start:
        return None
    arrays = {LEVEL: np.concatenate(values)}
    units = {LEVEL: mesh.units[quantity]}
    return Mesh(
        np.concatenate(points), NO_FACES, lines, arrays, units, mesh.height, 0, mesh.n_left_out
    )


def _cut(polydata: object, height: float) -> tuple[np.ndarray, list[np.ndarray]]:
    """Return the points of one level, float64 [n, 3], and its polylines as indices of them."""
    contour = vtkContourFilter()
    contour.SetInputData(polydata)
    contour.SetInputArrayToProcess(0, 0, 0, vtkDataObject.FIELD_ASSOCIATION_POINTS, "isoline_of")
    contour.SetValue(0, height)
    joined = vtkStripper()
    joined.SetMaximumLength(LONGEST)
    joined.SetInputConnection(contour.GetOutputPort())
    joined.Update()
    output = joined.GetOutput()
    if not output.GetNumberOfLines():
        return np.empty((0, 3)), []
    ends = vtk_to_numpy(output.GetLines().GetOffsetsArray())
    corners = vtk_to_numpy(output.GetLines().GetConnectivityArray()).astype(np.int64)
    points = vtk_to_numpy(output.GetPoints().GetData()).astype(np.float64)
    return points, np.split(corners, ends[1:-1])
