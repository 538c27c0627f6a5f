"""Write the script that opens the written files in ParaView."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landscape_mpi.draw.mesh_lines import place_beside
from landscape_mpi.errors import InputError
from landscape_mpi.output import check_output

if TYPE_CHECKING:
    from landscape_mpi.views.mesh import Mesh
    from landscape_mpi.views.mesh_view import MeshView


def check_scene(options: argparse.Namespace, out: Path) -> None:
    """Check that the script of --paraview can be written beside its mesh.

    Raises:
        InputError: If the mesh is a .stl or .obj, or the script cannot be written.
    """
    if not options.paraview:
        return
    if out.suffix.lower() not in {".vtp", ".pvd"}:
        raise InputError(
            f"--paraview needs a .vtp, because {out} has no quantities for the colours. Leave out "
            "--paraview, or pass --out NAME.vtp."
        )
    check_output(scene_of(out), inputs=options.surfaces)


def write_scene(
    out: Path,
    meshes: Sequence[Mesh],
    lines: dict[str, Mesh],
    view: MeshView,
    *,
    time: str | None = None,
) -> None:
    """Write the script that opens the written files in ParaView, and print its name."""
    from landscape_mpi.views.paraview import write_script

    script = scene_of(out)
    places = {what: place_beside(out, what) for what in lines}
    write_script(script, out, meshes, places, view, time=time)
    print(f"{script}: opens it with paraview --script={shlex.quote(str(script))}")


def scene_of(out: Path) -> Path:
    """Return the path of the script beside a mesh, not NAME.py, which may define the network."""
    return out.with_name(f"{out.stem}_paraview.py")
