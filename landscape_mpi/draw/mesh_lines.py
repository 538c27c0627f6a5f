"""Write lines on a mesh to separate files: levels, trajectories, curves between solutions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from landscape_mpi.errors import InputError
from landscape_mpi.output import check_output

if TYPE_CHECKING:
    from landscape_mpi.store.reader import Surface
    from landscape_mpi.views.heights import Heights
    from landscape_mpi.views.mesh import Mesh

LINES = {
    "contours": "lines of equal value",
    "path": "the trajectories of training runs",
    "curve": "a curve between solutions, the straight line, and the control points of the curve",
}


def build_lines(
    surface: Surface,
    mesh: Mesh,
    out: Path,
    options: argparse.Namespace,
    shown: dict[str, Any],
) -> dict[str, Mesh]:
    """Build the lines on a mesh, by their names in LINES.

    Args:
        surface: The surface.
        mesh: Its mesh.
        out: File of the mesh; the lines are written beside it.
        options: Options of vtp.
        shown: Heights, scale and lid of the mesh, the arguments of build_mesh.

    Raises:
        InputError: If one cannot be built, or cannot be written.
    """
    from landscape_mpi.views.mesh_path import build_paths

    levels = build_levels(surface, mesh, options, shown["heights"])
    found = {} if levels is None else {"contours": levels}
    found |= build_paths(surface, options.quantity, **shown)
    for what in found:
        check_output(place_beside(out, what), inputs=[surface.path])
    return found


def build_levels(
    surface: Surface, mesh: Mesh, options: argparse.Namespace, heights: Heights
) -> Mesh | None:
    """Build the lines of --contours; return None without this option.

    Raises:
        InputError: If the surface is a line, or no level is in its range.
    """
    if options.contours is None:
        return None
    from landscape_mpi.views.height_scale import levels_on
    from landscape_mpi.views.isolines import build_isolines

    if surface.is_line:
        raise InputError(
            f"{surface.path}: --contours needs a plane, but this file holds a line. Leave it out."
        )
    where = f"{surface.path}: {options.quantity}"
    scale = levels_on(heights, mesh.values[options.quantity], options.contours, where=where)
    lines = None if scale is None else build_isolines(mesh, options.quantity, scale)
    if lines is None:
        raise InputError(
            f"{where}: --contours: the value is the same everywhere, so there are no lines of "
            "equal value. Leave out --contours."
        )
    return lines


def write_lines(lines: dict[str, Mesh], out: Path) -> None:
    """Write lines into separate files beside a .vtp, and print their names."""
    from landscape_mpi.views.mesh import write_vtp

    if out.suffix.lower() != ".vtp":
        return
    for what, beside in lines.items():
        write_vtp(beside, place_beside(out, what))
        print(f"{place_beside(out, what)}: {LINES[what]}, on the surface")


def place_beside(out: Path, what: str) -> Path:
    """Return the file beside a mesh for its lines of a name in LINES."""
    return out.with_name(f"{out.stem}_{what}.vtp")
