"""A surface as a mesh for ParaView: points at (alpha, beta, height), quantities on the points.

A complete plane gives quads; a partial one the triangles of ``views.cells``; a line gives
polylines. Points that are not computed, or whose height is not finite, are left out together
with their cells, and a polyline ends before such a height.

Beside the quantities stand ``height``, the third coordinate before its factor, and log10 of every
quantity that has one; on the cells the averages of their corners.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from vtkmodules.util.numpy_support import numpy_to_vtk, numpy_to_vtkIdTypeArray
from vtkmodules.vtkCommonCore import vtkDataArray, vtkObject, vtkPoints, vtkStringArray
from vtkmodules.vtkCommonDataModel import vtkCellArray, vtkPolyData
from vtkmodules.vtkCommonMisc import vtkErrorCode
from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.output import whole_file
from landscape_mpi.store.reader import Surface
from landscape_mpi.store.schema import ESTIMATE
from landscape_mpi.store.sums import with_sum
from landscape_mpi.views.cells import connect
from landscape_mpi.views.mesh_arrays import averages_of, logarithm_of, normals_of, texture_of

HEIGHT = "height"
NO_FACES = np.empty((0, 4), dtype=np.int64)


@dataclass(frozen=True)
class Mesh:
    """Points, the cells that join them, and the values at them."""

    points: np.ndarray  # float64 [n_points, 3]: alpha, beta, height
    polygons: np.ndarray  # int64 [n, 3 or 4], counterclockwise seen from above
    polylines: list[np.ndarray]  # int64 [n] each
    values: dict[str, np.ndarray]  # float64 [n_points] for each quantity of the surface
    units: dict[str, str]
    height: str  # what the third coordinate is
    n_clipped: int  # heights that were above zmax
    n_left_out: int  # computed points whose height is not finite
    derived: dict[str, np.ndarray] = field(default_factory=dict)  # float64 [n_points], see below
    dots: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # points by themselves

    @property
    def n_cells(self) -> int:
        """Return the number of polygons, polylines and points by themselves."""
        return len(self.polygons) + len(self.polylines) + len(self.dots)


def build_mesh(
    surface: Surface,
    quantity: str,
    *,
    log: bool = False,
    zmax: float | None = None,
    scale: float = 1.0,
) -> Mesh:
    """Build the mesh of a surface whose height is a quantity.

    Args:
        surface: The surface, complete or partial.
        quantity: Name of the quantity that is the height.
        log: Take log10 of the quantity as height.
        zmax: Clip heights here, in the unit of the height: decades where log.
        scale: Factor on the heights, after clipping.

    Raises:
        InputError: If the quantity is not there or has no finite value, if it has no logarithm,
            or if zmax lies under the whole surface.
    """
    surface = with_sum(surface, quantity)
    computed = _computed(surface, quantity)
    height = _log10(surface, quantity) if log else surface.values[quantity]
    finite = computed & np.isfinite(height)
    if not finite.any():
        raise InputError(
            f"{surface.path}: none of the {int(computed.sum())} computed points of {quantity} is "
            "finite, so the mesh would be empty. Choose another --quantity."
        )
    if zmax is not None:
        _check_zmax(surface, quantity, height[finite], zmax)
    clipped = height if zmax is None else np.minimum(height, zmax)
    grid = np.meshgrid(surface.alpha, surface.beta, indexing="ij")
    kept = np.flatnonzero(finite)
    number = np.cumsum(finite.ravel()) - 1  # of a kept point, by its place in the grid
    points = np.stack([*grid, clipped * scale], axis=2).reshape(-1, 3)[kept]
    faces = number[connect(computed, finite).faces] if not surface.is_line else NO_FACES
    values = {name: values.ravel()[kept] for name, values in surface.values.items()}
    unit = surface.units[quantity]
    derived = {HEIGHT: clipped.ravel()[kept]}
    units = surface.units | {HEIGHT: log10_unit(unit) if log else unit}
    for name in surface.values:
        logarithm = logarithm_of(values[name])
        if logarithm is not None:
            derived[f"log10_{name}"] = logarithm
            units[f"log10_{name}"] = log10_unit(surface.units[name])
    _add_interpolation(surface, kept, derived, units)
    return Mesh(
        points=points,
        polygons=faces,
        polylines=[number[run] for run in runs_of(computed, finite)] if surface.is_line else [],
        values=values,
        units=units,
        height=describe_height(quantity, log=log, zmax=zmax, scale=scale),
        n_clipped=int((clipped < height)[finite].sum()),
        n_left_out=int((computed & ~finite).sum()),
        derived=derived,
    )


def _add_interpolation(
    surface: Surface, kept: np.ndarray, derived: dict[str, np.ndarray], units: dict[str, str]
) -> None:
    """Add which points are interpolated, 1 or 0, and the estimated errors of their losses."""
    found = surface.interpolation
    if found is None or found.points.shape != surface.shape:
        return
    derived["interpolated"], units["interpolated"] = found.points.ravel()[kept].astype(float), "1"
    for name, errors in found.errors.items():
        derived[f"{name}{ESTIMATE}"] = errors.ravel()[kept]
        units[f"{name}{ESTIMATE}"] = surface.units[name]


def log10_unit(unit: str) -> str:
    """Return the unit of the decimal logarithm of a quantity."""
    return "log10" if unit in {"", "1"} else f"log10({unit})"


def shown_heights(
    surface: Surface, quantity: str, *, log: bool = False, zmax: float | None = None
) -> np.ndarray:
    """Return the height of every point of the mesh before its factor.

    Args:
        surface: The surface.
        quantity: Name of the quantity that is the height.
        log: Take log10 of the quantity as height.
        zmax: Clip heights here.

    Returns:
        Float64 [n_alpha, n_beta], NaN where the mesh has no point.

    Raises:
        InputError: If the quantity is not there, or has no logarithm.
    """
    surface = with_sum(surface, quantity)
    computed = _computed(surface, quantity)
    height = _log10(surface, quantity) if log else surface.values[quantity]
    shown = height if zmax is None else np.minimum(height, zmax)
    return np.where(computed & np.isfinite(height), shown, np.nan)


def write_vtp(mesh: Mesh, path: Path) -> None:
    """Write the mesh as VTK XML PolyData: binary, base64, uncompressed.

    Raises:
        InputError: If the file cannot be written.
    """
    writer = vtkXMLPolyDataWriter()
    writer.SetInputData(to_polydata(mesh))
    writer.SetDataModeToAppended()
    writer.EncodeAppendedDataOn()
    # Readers other than VTK's find plain numbers, and a mesh is a few megabytes at most.
    writer.SetCompressorTypeToNone()
    vtkObject.GlobalWarningDisplayOff()  # VTK would print a page of its own
    with whole_file(path) as partial:
        writer.SetFileName(str(partial))
        if writer.Write() != 1:
            reason = vtkErrorCode.GetStringFromErrorCode(writer.GetErrorCode())
            raise InputError(f"{path}: cannot be written ({reason}). Name another --out.")


def _computed(surface: Surface, quantity: str) -> np.ndarray:
    if quantity not in surface.values:
        raise unknown_name(f"{surface.path}: --quantity", quantity, surface.values)
    return surface.done_of[quantity]


def _log10(surface: Surface, quantity: str) -> np.ndarray:
    values = surface.values[quantity]
    finite = np.isfinite(values)
    without = finite & (values <= 0)
    if without.any():
        i, j = np.unravel_index(np.argmin(np.where(finite, values, np.inf)), values.shape)
        raise InputError(
            f"{surface.path}: --log: {quantity} is zero or negative at {int(without.sum())} of "
            f"{int(finite.sum())} points (smallest {values[i, j]:g} at alpha {surface.alpha[i]:g}, "
            f"beta {surface.beta[j]:g}), and these have no logarithm; leaving them out would tear "
            "holes. Leave out --log, or choose another --quantity."
        )
    return np.log10(values, where=finite, out=np.full(values.shape, np.nan))


def _check_zmax(surface: Surface, quantity: str, height: np.ndarray, zmax: float) -> None:
    if zmax <= height.min():
        raise InputError(
            f"{surface.path}: --zmax {zmax:g} is not above the lowest height, {height.min():g}, so "
            f"the mesh would be flat. Heights of {quantity} go up to {height.max():g}; with --log "
            "they are decades."
        )


def describe_height(
    quantity: str, *, log: bool = False, zmax: float | None = None, scale: float = 1.0
) -> str:
    """Return what the third coordinate of a mesh is."""
    text = f"log10({quantity})" if log else quantity
    text = text if zmax is None else f"min({text}, {zmax:g})"
    return text if scale == 1.0 else f"{scale:g} * {text}"


def runs_of(computed: np.ndarray, finite: np.ndarray) -> list[np.ndarray]:
    """Return the flat indices of each run of finite points along a line, at least two each."""
    order = np.flatnonzero(computed)
    good = finite.ravel()[order]
    breaks = np.flatnonzero(np.diff(good.astype(int))) + 1
    runs = zip(np.split(order, breaks), np.split(good, breaks), strict=True)
    return [run for run, whole in runs if len(run) > 1 and whole[0]]


def to_polydata(mesh: Mesh) -> vtkPolyData:
    """Return the mesh as VTK has it, with all arrays, which it shares where it can."""
    points = vtkPoints()
    points.SetDataTypeToDouble()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(mesh.points)))
    polydata = vtkPolyData()
    polydata.SetPoints(points)
    polydata.SetPolys(_to_polygons(mesh.polygons))
    polydata.SetLines(_to_cells(mesh.polylines))
    polydata.SetVerts(_to_cells(list(mesh.dots[:, None])))
    for name, values in (mesh.values | mesh.derived).items():
        polydata.GetPointData().AddArray(_to_array(name, values, mesh.units[name]))
    if len(mesh.polygons):
        _add_arrays_of_faces(polydata, mesh)
    polydata.GetFieldData().AddArray(_to_text("height", mesh.height))
    return polydata


def _add_arrays_of_faces(polydata: vtkPolyData, mesh: Mesh) -> None:
    on_points, on_cells = polydata.GetPointData(), polydata.GetCellData()
    on_points.SetNormals(_to_array("normals", normals_of(mesh.points, mesh.polygons), "1"))
    on_points.SetTCoords(_to_array("alpha_beta", texture_of(mesh.points), "1"))
    for name, values in (mesh.values | mesh.derived).items():
        averages = averages_of(values, mesh.polygons)
        on_cells.AddArray(_to_array(name, averages, mesh.units[name]))


def _to_polygons(polygons: np.ndarray) -> vtkCellArray:
    n, corners = polygons.shape
    array = vtkCellArray()
    array.SetData(_to_ids(corners * np.arange(n + 1)), _to_ids(polygons.ravel()))
    return array


def _to_cells(cells: list[np.ndarray]) -> vtkCellArray:
    offsets = np.cumsum([0, *(len(cell) for cell in cells)])
    corners = np.concatenate(cells) if cells else np.empty(0)
    array = vtkCellArray()
    array.SetData(_to_ids(offsets), _to_ids(corners))
    return array


def _to_ids(numbers: np.ndarray) -> Any:
    return numpy_to_vtkIdTypeArray(np.ascontiguousarray(numbers, np.int64))


def _to_array(name: str, values: np.ndarray, unit: str) -> vtkDataArray:
    array = numpy_to_vtk(np.ascontiguousarray(values))
    array.SetName(name)
    array.GetInformation().Set(vtkDataArray.UNITS_LABEL(), unit)
    return array


def _to_text(name: str, text: str) -> vtkStringArray:
    array = vtkStringArray()
    array.SetName(name)
    array.InsertNextValue(text)
    return array
