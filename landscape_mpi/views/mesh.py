"""A surface as a mesh for ParaView: points at (alpha, beta, height), quantities on the points.

A complete plane gives quads; a partial one the triangles of ``views.mesh_faces``; a line gives
polylines. Points that are not computed or have no finite height are left out together with their
cells, and a polyline ends before such a point.

The points also carry ``height``, the third coordinate before its factor, and log10 of every
quantity that has one. The cells carry the averages of their corners.
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
from landscape_mpi.store.sampling_fields import N_SAMPLES, STANDARD_ERROR
from landscape_mpi.store.schema import ESTIMATE
from landscape_mpi.store.sums import with_sum
from landscape_mpi.views.cut import cut_between
from landscape_mpi.views.heights import LINEAR, Heights, check_ends
from landscape_mpi.views.mesh_arrays import averages_of, logarithm_of, normals_of, texture_of
from landscape_mpi.views.mesh_faces import connect

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
    height: str  # the formula of the third coordinate
    n_clipped: int  # number of points beyond a cut
    n_left_out: int  # number of computed points without a finite height
    derived: dict[str, np.ndarray] = field(default_factory=dict)  # float64 [n_points], see below
    dots: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))  # points in no cell

    @property
    def n_cells(self) -> int:
        """Return the number of polygons, polylines and single points."""
        return len(self.polygons) + len(self.polylines) + len(self.dots)


def build_mesh(
    surface: Surface,
    quantity: str,
    *,
    heights: Heights = LINEAR,
    scale: float = 1.0,
    lid: bool = False,
) -> Mesh:
    """Build the mesh of a surface, with a quantity as its height.

    Args:
        surface: The surface, complete or partial.
        quantity: Name of the quantity that is the height.
        heights: The map from its values to heights, and the cuts.
        scale: Factor on the heights.
        lid: Keep the parts beyond a cut, flat.

    Raises:
        InputError: If the quantity is not there, has no finite value or has no logarithm, or if the
            whole surface lies beyond a cut.
    """
    surface = with_sum(surface, quantity)
    computed = _computed(surface, quantity)
    height = _raise_values(surface, quantity, heights)
    finite = computed & np.isfinite(height)
    if not finite.any():
        raise InputError(
            f"{surface.path}: none of the {int(computed.sum())} computed points of {quantity} is "
            "finite, so the mesh would be empty. Choose another --quantity."
        )
    check_ends(heights, surface.values[quantity][finite], f"{surface.path}: {quantity}")
    beyond = finite & _are_beyond(height, heights)
    shown = finite & ~beyond if surface.is_line and not lid else finite
    estimates = _of_estimates(surface)
    columns = [height, *surface.values.values(), *estimates.values()]
    table, faces = _lay_points(surface, columns, computed, shown)
    if not surface.is_line:
        column = 3 + list(surface.values).index(quantity)
        table, faces = _cut(table, faces, heights, column, lid=lid)
    arrays = iter(table.T[3:])
    values = {name: next(arrays) for name in surface.values}
    derived, units = _derive(surface, values, heights, surface.units[quantity])
    derived = {HEIGHT: np.clip(table[:, 2], *heights.ends)} | derived
    derived |= dict(zip(estimates, arrays, strict=True))
    return Mesh(
        points=np.column_stack([table[:, :2], scale * derived[HEIGHT]]),
        polygons=faces,
        polylines=_lines_of(computed, shown) if surface.is_line else [],
        values=values,
        units=units,
        height=describe_height(quantity, heights, surface.units[quantity], scale=scale),
        n_clipped=int(beyond.sum()),
        n_left_out=int((computed & ~finite).sum()),
        derived=derived,
    )


def _derive(
    surface: Surface, values: dict[str, np.ndarray], heights: Heights, unit: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the logarithms of quantities that have one, and the units of all arrays of a mesh."""
    units = surface.units | {HEIGHT: log10_unit(unit) if heights.kind == "log" else unit}
    units |= {name: _unit_of_estimate(surface, name) for name in _of_estimates(surface)}
    logarithms = {name: logarithm_of(array) for name, array in values.items()}
    derived = {f"log10_{name}": array for name, array in logarithms.items() if array is not None}
    units |= {name: log10_unit(surface.units[name.removeprefix("log10_")]) for name in derived}
    return derived, units


def _unit_of_estimate(surface: Surface, name: str) -> str:
    return surface.units.get(name.removesuffix(STANDARD_ERROR).removesuffix(ESTIMATE), "1")


def _are_beyond(height: np.ndarray, heights: Heights) -> np.ndarray:
    low, high = heights.ends
    return (height < low) | (height > high)


def _lay_points(
    surface: Surface, columns: list[np.ndarray], computed: np.ndarray, shown: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the points with their columns beside them, and the faces that join them."""
    grid = np.meshgrid(surface.alpha, surface.beta, indexing="ij")
    table = np.stack([column[shown] for column in (*grid, *columns)], axis=1)
    if surface.is_line:
        return table, NO_FACES
    number = np.cumsum(shown.ravel()) - 1  # number of a kept point, by its place in the grid
    return table, number[connect(computed, shown).faces]


def _cut(
    table: np.ndarray, faces: np.ndarray, heights: Heights, column: int, *, lid: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a surface at its ends, and leave out the points beyond."""
    if not _are_beyond(table[:, 2], heights).any():
        return table, faces
    n_computed = len(table)
    table, faces = cut_between(table, faces, *heights.ends, lid=lid)
    # The height is linear between points: on the cut, the quantity has the value of the cut.
    table[n_computed:, column] = heights.values(table[n_computed:, 2])
    if lid:
        return table, faces
    used, number = np.unique(faces, return_inverse=True)
    return table[used], number.reshape(faces.shape)


def _lines_of(computed: np.ndarray, shown: np.ndarray) -> list[np.ndarray]:
    number = np.cumsum(shown.ravel()) - 1
    return [number[run] for run in runs_of(computed, shown)]


def _of_estimates(surface: Surface) -> dict[str, np.ndarray]:
    """Return how far values may be off that are interpolated, or from a part of the samples."""
    return _of_interpolation(surface) | _of_sampling(surface)


def _of_interpolation(surface: Surface) -> dict[str, np.ndarray]:
    """Return 1 for interpolated points, 0 for others, and the estimated errors of their losses."""
    found = surface.interpolation
    if found is None or found.points.shape != surface.shape:
        return {}
    errors = {f"{name}{ESTIMATE}": values for name, values in found.errors.items()}
    return {"interpolated": found.points.astype(float), **errors}


def _of_sampling(surface: Surface) -> dict[str, np.ndarray]:
    """Return the numbers of samples taken, and the standard errors of the estimates."""
    found = surface.sampling
    if found is None or found.computed.shape != surface.shape:
        return {}
    taken = {f"{split}_{N_SAMPLES}": n.astype(float) for split, n in found.n_samples.items()}
    return taken | {f"{name}{STANDARD_ERROR}": values for name, values in found.errors.items()}


def log10_unit(unit: str) -> str:
    """Return the unit of the decimal logarithm of a quantity."""
    return "log10" if unit in {"", "1"} else f"log10({unit})"


def shown_heights(
    surface: Surface, quantity: str, heights: Heights = LINEAR, *, lid: bool = False
) -> np.ndarray:
    """Return the height of every point of the mesh before its factor.

    Args:
        surface: The surface.
        quantity: Name of the quantity that is the height.
        heights: The map from its values to heights, and the cuts.
        lid: Keep the parts beyond a cut, flat.

    Returns:
        Float64 [n_alpha, n_beta], NaN where the mesh has no point.

    Raises:
        InputError: If the quantity is not there, or has no logarithm.
    """
    surface = with_sum(surface, quantity)
    computed = _computed(surface, quantity)
    height = _raise_values(surface, quantity, heights)
    shown = computed & np.isfinite(height)
    if not lid:
        shown &= ~_are_beyond(height, heights)
    return np.where(shown, np.clip(height, *heights.ends), np.nan)


def write_vtp(mesh: Mesh, path: Path) -> None:
    """Write the mesh as VTK XML PolyData: binary, base64, uncompressed.

    Raises:
        InputError: If the file cannot be written.
    """
    writer = vtkXMLPolyDataWriter()
    writer.SetInputData(to_polydata(mesh))
    writer.SetDataModeToAppended()
    writer.EncodeAppendedDataOn()
    # Without compression, other readers than VTK's find plain numbers; a mesh is a few megabytes.
    writer.SetCompressorTypeToNone()
    vtkObject.GlobalWarningDisplayOff()  # VTK would print a page itself
    with whole_file(path) as partial:
        writer.SetFileName(str(partial))
        if writer.Write() != 1:
            reason = vtkErrorCode.GetStringFromErrorCode(writer.GetErrorCode())
            raise InputError(f"{path}: cannot be written ({reason}). Name another --out.")


def _computed(surface: Surface, quantity: str) -> np.ndarray:
    if quantity not in surface.values:
        raise unknown_name(f"{surface.path}: --quantity", quantity, surface.values)
    return surface.done_of[quantity]


def _raise_values(surface: Surface, quantity: str, heights: Heights) -> np.ndarray:
    values = surface.values[quantity]
    finite = np.isfinite(values)
    without = finite & (values <= -heights.floor)
    if heights.kind == "log" and without.any():
        i, j = np.unravel_index(np.argmin(np.where(finite, values, np.inf)), values.shape)
        raise InputError(
            f"{surface.path}: --log: {quantity} is zero or negative at {int(without.sum())} of "
            f"{int(finite.sum())} points (smallest {values[i, j]:g} at alpha "
            f"{surface.alpha[i]:g}, beta {surface.beta[j]:g}), which have no logarithm; leaving "
            "them out would tear holes. Leave out --log, or choose another --quantity."
        )
    return np.where(finite, heights.of(values), np.nan)


def describe_height(quantity: str, heights: Heights, unit: str, *, scale: float = 1.0) -> str:
    """Return the third coordinate of a mesh in words."""
    text = heights.word(quantity, unit)
    return text if scale == 1.0 else f"{scale:g} * {text}"


def runs_of(computed: np.ndarray, finite: np.ndarray) -> list[np.ndarray]:
    """Return the flat indices of each run of finite points along a line, at least two each."""
    order = np.flatnonzero(computed)
    good = finite.ravel()[order]
    breaks = np.flatnonzero(np.diff(good.astype(int))) + 1
    runs = zip(np.split(order, breaks), np.split(good, breaks), strict=True)
    return [run for run, whole in runs if len(run) > 1 and whole[0]]


def to_polydata(mesh: Mesh) -> vtkPolyData:
    """Return the mesh as VTK's class, with all arrays, shared if possible."""
    points = vtkPoints()
    points.SetDataTypeToDouble()
    points.SetData(numpy_to_vtk(np.ascontiguousarray(mesh.points)))
    polydata = vtkPolyData()
    polydata.SetPoints(points)
    polydata.SetPolys(to_polygons(mesh.polygons))
    polydata.SetLines(to_cells(mesh.polylines))
    polydata.SetVerts(to_cells(list(mesh.dots[:, None])))
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


def to_polygons(polygons: np.ndarray) -> vtkCellArray:
    """Return polygons [n, 3 or 4] as VTK's class."""
    n, corners = polygons.shape
    array = vtkCellArray()
    array.SetData(_to_ids(corners * np.arange(n + 1)), _to_ids(polygons.ravel()))
    return array


def to_cells(cells: list[np.ndarray]) -> vtkCellArray:
    """Return cells with any number of corners as VTK's class."""
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
