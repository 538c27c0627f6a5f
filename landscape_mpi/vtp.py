"""Turn a surface file into a mesh for ParaView (.vtp, VTK XML PolyData).

Points lie at (alpha, beta, height); every quantity of the file is an array on them. Points that
are not computed, or whose height is NaN or infinite, are left out with their cells. A partial
surface gives the triangles of its computed points, a line gives a polyline. The paths of training
runs go into a second file, <stem>_path.vtp, as polylines on the surface.

  python -m landscape_mpi.vtp resnet56.h5
  python -m landscape_mpi.vtp resnet56.h5 --quantity test_loss --log --zmax 1 --scale 0.3
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landscape_mpi.command import CommandParser, run_alone
from landscape_mpi.errors import InputError
from landscape_mpi.options import file_path
from landscape_mpi.output import check_output

if TYPE_CHECKING:
    from landscape_mpi.store.reader import Surface
    from landscape_mpi.views.mesh import Mesh


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the surface, build its mesh, write it, print what it is."""
    options = make_parser().parse_args(arguments)
    # After parsing, so that --help does not wait for VTK.
    from landscape_mpi.store.reader import check_computed, read_surface
    from landscape_mpi.views.mesh import build_mesh, build_path, write_vtp

    surface = read_surface(options.surface)
    check_computed(surface)
    check_is_surface(surface)
    mesh = build_mesh(
        surface, options.quantity, log=options.log, zmax=options.zmax, scale=options.scale
    )
    out = options.out or options.surface.with_suffix(".vtp")
    check_mesh_name(out)
    check_output(out, inputs=[options.surface])
    write_vtp(mesh, out)
    print(out)
    print("\n".join(describe(mesh)))
    shown = {"log": options.log, "zmax": options.zmax, "scale": options.scale}
    path = build_path(surface, options.quantity, **shown)
    if path is not None:
        beside = out.with_name(f"{out.stem}_path.vtp")
        check_output(beside, inputs=[options.surface])
        write_vtp(path, beside)
        print(f"{beside}: the paths of training runs, on the surface")
    return 0


def check_is_surface(surface: Surface) -> None:
    """Check that a mesh can be made.

    Raises:
        InputError: If the file holds lines that lie in no common plane.
    """
    if surface.has_repeats:
        raise InputError(
            f"{surface.path}: holds {surface.shape[1]} lines along directions of their own, and "
            f"they make no surface. Draw them: python -m landscape_mpi.plot {surface.path}"
        )


def make_parser() -> CommandParser:
    """Return the command's options."""
    parser = CommandParser(prog="python -m landscape_mpi.vtp", description=__doc__)
    parser.add_argument("surface", type=file_path, metavar="surface.h5")
    parser.add_argument(
        "--quantity",
        default="train_loss",
        metavar="NAME",
        help="quantity that is the height, or a sum of some with + between them (default: "
        "train_loss)",
    )
    parser.add_argument("--log", action="store_true", help="height is log10 of the quantity")
    parser.add_argument(
        "--zmax",
        type=_finite,
        metavar="Z",
        help="clip the height here, before the scale and in the unit of the height: that of the "
        "quantity, or decades with --log",
    )
    parser.add_argument(
        "--scale",
        type=_positive,
        default=1.0,
        metavar="S",
        help="factor on the height (default: 1); the arrays keep their values",
    )
    parser.add_argument(
        "--out", type=file_path, metavar="FILE", help="default: the surface's name, with .vtp"
    )
    return parser


def check_mesh_name(out: Path) -> None:
    """Refuse to write a mesh into a file that is named as something else.

    Raises:
        InputError: If the name does not end in .vtp.
    """
    if out.suffix.lower() != ".vtp":
        raise InputError(f"--out: {out} does not end in .vtp, by which ParaView knows a mesh.")


def describe(mesh: Mesh) -> list[str]:
    """Return what is in the mesh: sizes, height and ranges."""
    import numpy as np

    z = mesh.points[:, 2]
    lines = [
        f"{len(mesh.points)} points, {mesh.n_cells} cells",
        f"height: {mesh.height}, {z.min():.4g} to {z.max():.4g}",
    ]
    if mesh.n_clipped:
        lines.append(f"points clipped at --zmax: {mesh.n_clipped}")
    if mesh.n_left_out:
        lines.append(f"points left out with their cells, as not finite: {mesh.n_left_out}")
    for name, values in mesh.values.items():
        finite = values[np.isfinite(values)]
        span = f"{finite.min():.4g} to {finite.max():.4g}" if len(finite) else "nothing finite"
        lines.append(f"{name} ({mesh.units[name]}): {span}")
    return lines


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no finite number.")
    return value


def _positive(text: str) -> float:
    value = _finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above zero.")
    return value


if __name__ == "__main__":
    run_alone(main)
