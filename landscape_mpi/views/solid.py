"""A surface as triangles for printers and modellers: STL and OBJ, open or closed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from vtkmodules.vtkCommonCore import vtkObject
from vtkmodules.vtkCommonDataModel import vtkPolyData
from vtkmodules.vtkIOGeometry import vtkOBJWriter, vtkSTLWriter

from landscape_mpi.errors import InputError
from landscape_mpi.output import whole_file
from landscape_mpi.views.cut import triangles_of
from landscape_mpi.views.mesh import Mesh, to_polydata

SUFFIXES = (".stl", ".obj")
FAR = 300.0  # times their range along an axis: points farther from 0 are moved to 0
BASE = 0.1  # thickness under the lowest point, as a share of the longest side


def close(points: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Close a surface to a solid, with walls along every border and a flat base.

    Args:
        points: Points of the surface, float64 [n, 3].
        triangles: Faces, int64 [m, 3], counterclockwise seen from above.

    Returns:
        Points, float64 [2 n, 3], and triangles, int64 [k, 3], counterclockwise seen from outside.
        Every edge belongs to two triangles, or to four where holes touch in a corner.
    """
    floor = points[:, 2].min() - BASE * np.ptp(points, axis=0).max()
    below = points.copy()
    below[:, 2] = floor
    n = len(points)
    edges = np.concatenate([triangles[:, [k, (k + 1) % 3]] for k in range(3)])
    # An edge is on a border if no neighbour has it in the other direction.
    number = edges[:, 0] * n + edges[:, 1]
    border = edges[~np.isin(number, edges[:, 1] * n + edges[:, 0])]
    a, b = border.T
    walls = [np.stack([b, a, a + n], axis=1), np.stack([b, a + n, b + n], axis=1)]
    faces = np.concatenate([triangles, triangles[:, ::-1] + n, *walls])
    return np.concatenate([points, below]), faces


def near_zero(points: np.ndarray) -> np.ndarray:
    """Return points, moved to 0 along each axis on which float32 would blur them.

    Args:
        points: Points of a surface, float64 [n, 3].

    Returns:
        Points whose 7 digits tell neighbours apart, float64 [n, 3].
    """
    low, high = points.min(axis=0), points.max(axis=0)
    is_far = np.maximum(np.abs(low), np.abs(high)) > FAR * (high - low)
    return points - np.where(is_far & (high > low), (low + high) / 2, 0.0)


def write_solid(mesh: Mesh, path: Path, *, watertight: bool = False) -> None:
    """Write the faces of a mesh as binary STL or as OBJ, by the suffix of the file.

    Numbers of these formats have 7 digits or fewer, so a mesh very far from 0 is moved to 0.

    Args:
        mesh: A mesh with faces.
        path: File to write, with one of SUFFIXES.
        watertight: Add walls and a base.

    Raises:
        InputError: If there are no faces, or the file cannot be written.
    """
    if not len(mesh.polygons):
        raise InputError(
            f"{path}: the surface has no faces, but {path.suffix} holds only faces. Write .vtp, "
            "or name a plane."
        )
    points, faces = near_zero(mesh.points), triangles_of(mesh.polygons)
    if watertight:
        points, faces = close(points, faces)
    used, inverse = np.unique(faces, return_inverse=True)
    bare = Mesh(points[used], inverse.reshape(faces.shape), [], {}, {}, mesh.height, 0, 0)
    polydata = vtkPolyData()
    whole = to_polydata(bare)
    polydata.SetPoints(whole.GetPoints())
    polydata.SetPolys(whole.GetPolys())
    writer = vtkSTLWriter() if path.suffix.lower() == ".stl" else vtkOBJWriter()
    writer.SetInputData(polydata)
    if isinstance(writer, vtkSTLWriter):
        writer.SetFileTypeToBinary()
    vtkObject.GlobalWarningDisplayOff()  # VTK would print a page itself
    with whole_file(path) as partial:
        writer.SetFileName(str(partial))
        if writer.Write() != 1:
            raise InputError(
                f"{path}: cannot be written by VTK, which gives no reason. Check the free space "
                "and the permissions of the folder, or name another --out."
            )
