"""Turn a surface file into a mesh for ParaView (.vtp, VTK XML PolyData).

Points lie at (alpha, beta, height); every quantity of the file is an array on them. Points that
are not computed, or whose height is NaN or infinite, are left out with their cells. A partial
surface gives the triangles of its computed points, a line gives a polyline. The paths of training
runs go into a second file, <stem>_path.vtp, as polylines on the surface, a curve between solutions
into <stem>_curve.vtp, lines of equal value (--contours) into <stem>_contours.vtp. Beside the
quantities stand their log10 and the height as arrays, with normals, averages over the cells, and
alpha and beta as texture coordinates.

  python -m landscape_mpi.vtp resnet56.h5
  python -m landscape_mpi.vtp resnet56.h5 --quantity test_loss --log --zmax 1 --scale 0.3
  python -m landscape_mpi.vtp resnet56.h5 --log --contours --render resnet56.png
  python -m landscape_mpi.vtp resnet56.h5 --log --out resnet56.stl --watertight
  python -m landscape_mpi.vtp epoch_*.h5 --log --series training.pvd --paraview
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landscape_mpi.command import CommandParser, run_alone
from landscape_mpi.errors import InputError
from landscape_mpi.options import file_path, levels
from landscape_mpi.output import check_output

if TYPE_CHECKING:
    from landscape_mpi.store.reader import Surface
    from landscape_mpi.views.mesh import Mesh

MESHES = (".vtp", ".stl", ".obj")
LINES = {
    "contours": "lines of equal value",
    "path": "the paths of training runs",
    "curve": "a curve between solutions, the straight line, and the points that make it",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the surface, build its mesh and its lines, write them, print what they are."""
    options = make_parser().parse_args(arguments)
    if options.series is not None:
        write_all(options)
        return 0
    # After parsing, so that --help does not wait for VTK.
    from landscape_mpi.store.reader import check_computed, read_surface
    from landscape_mpi.views.mesh import build_mesh

    source = the_only(options.surfaces)
    surface = read_surface(source)
    check_computed(surface)
    check_is_surface(surface)
    shown = {"log": options.log, "zmax": options.zmax, "scale": options.scale}
    mesh = build_mesh(surface, options.quantity, **shown)
    out = options.out or source.with_suffix(".vtp")
    check_mesh_name(out, watertight=options.watertight)
    check_output(out, inputs=[source])
    check_picture_name(options.render, out, surface.path)
    check_scene(options, out)
    lines = build_lines(surface, mesh, out, options)
    write_mesh(mesh, out, watertight=options.watertight)
    print(out)
    print("\n".join(describe(mesh)))
    write_lines(lines, out)
    if options.paraview:
        write_scene(out, [mesh], lines)
    if options.render is not None:
        from landscape_mpi.views.render import render_mesh

        render_mesh(mesh, options.render, lines=lines.get("contours"))
        print(options.render)
    return 0


def the_only(paths: Sequence[Path]) -> Path:
    """Return the one file that is named.

    Raises:
        InputError: If there are several.
    """
    if len(paths) > 1:
        raise InputError(
            f"{len(paths)} surface files are named, and a mesh is of one. Name one, or pass "
            "--series NAME.pvd to have ParaView step through all of them."
        )
    return paths[0]


def write_all(options: argparse.Namespace) -> None:
    """Write a mesh for each surface, or for each line of --repeats, and the .pvd of all.

    Raises:
        InputError: If a surface cannot be a mesh, or an option is for one alone.
    """
    from landscape_mpi.store.reader import check_computed, read_surface
    from landscape_mpi.views.mesh import build_mesh, write_vtp
    from landscape_mpi.views.series import split_repeats, times_of, word_of, write_series

    check_series(options)
    read = [read_surface(path) for path in options.surfaces]
    parts = split_repeats(read[0]) if len(read) == 1 else read
    for surface in parts:
        check_computed(surface)
        check_is_surface(surface)
    repeats = len(read) == 1
    times = [float(k) for k in range(len(parts))] if repeats else times_of(options.surfaces)
    shown = {"log": options.log, "zmax": options.zmax, "scale": options.scale}
    meshes = [build_mesh(surface, options.quantity, **shown) for surface in parts]
    width = len(str(len(parts) - 1))
    names = [f"{options.series.stem}_{k:0{width}}.vtp" for k in range(len(parts))]
    places = [options.series.with_name(name) for name in names]
    for place in (*places, options.series):
        check_output(place, inputs=options.surfaces)
    check_scene(options, options.series)
    for surface, mesh, place, time in zip(parts, meshes, places, times, strict=True):
        write_vtp(mesh, place)
        print(f"{place}: time {time:g}, {surface.path}, {len(mesh.points)} points")
    write_series(places, times, options.series)
    print(options.series)
    if options.paraview:
        write_scene(
            options.series, meshes, {}, time="line" if repeats else word_of(options.surfaces)
        )


def check_series(options: argparse.Namespace) -> None:
    """Check the options that go with --series.

    Raises:
        InputError: If the file does not end in .pvd, or an option is for a single mesh.
    """
    if options.series.suffix.lower() != ".pvd":
        raise InputError(
            f"--series: {options.series} does not end in .pvd, by which ParaView knows a series."
        )
    for option in ("out", "contours", "render", "watertight"):
        if getattr(options, option):
            raise InputError(
                f"--{option}: is for a single mesh, and --series writes several. Leave one out."
            )


def build_lines(
    surface: Surface, mesh: Mesh, out: Path, options: argparse.Namespace
) -> dict[str, Mesh]:
    """Build the lines on a mesh, by their names in LINES.

    Raises:
        InputError: If one cannot be built, or cannot be written.
    """
    from landscape_mpi.views.mesh_path import build_curve, build_path

    shown = {"log": options.log, "zmax": options.zmax, "scale": options.scale}
    lines = {
        "contours": build_levels(surface, mesh, options),
        "path": build_path(surface, options.quantity, **shown),
        "curve": build_curve(surface, options.quantity, **shown),
    }
    found = {what: beside for what, beside in lines.items() if beside is not None}
    for what in found:
        check_output(place_beside(out, what), inputs=[surface.path])
    return found


def write_lines(lines: dict[str, Mesh], out: Path) -> None:
    """Write lines into files of their own beside a .vtp, and print their names."""
    from landscape_mpi.views.mesh import write_vtp

    if out.suffix.lower() != ".vtp":
        return
    for what, beside in lines.items():
        write_vtp(beside, place_beside(out, what))
        print(f"{place_beside(out, what)}: {LINES[what]}, on the surface")


def place_beside(out: Path, what: str) -> Path:
    """Return the file beside a mesh that holds lines on it, named as in LINES."""
    return out.with_name(f"{out.stem}_{what}.vtp")


def build_levels(surface: Surface, mesh: Mesh, options: argparse.Namespace) -> Mesh | None:
    """Build the lines that --contours asks for, None where it is not given.

    Raises:
        InputError: If the surface is a line, or no level is in its range.
    """
    if options.contours is None:
        return None
    from landscape_mpi.views.isolines import build_isolines
    from landscape_mpi.views.levels import make_scale

    if surface.is_line:
        raise InputError(
            f"{surface.path}: --contours: this is a line, which has none. Leave it out."
        )
    where = f"{surface.path}: {options.quantity}"
    kind = "log" if options.log else None
    values = mesh.values[options.quantity]
    scale = make_scale(values, where=where, kind=kind, levels=options.contours)
    lines = None if scale is None else build_isolines(mesh, options.quantity, scale)
    if lines is None:
        raise InputError(
            f"{where}: --contours: it is the same everywhere, so no line of equal value exists. "
            "Leave --contours out."
        )
    return lines


def write_mesh(mesh: Mesh, out: Path, *, watertight: bool) -> None:
    """Write a mesh as the ending of its file says."""
    from landscape_mpi.views.mesh import write_vtp
    from landscape_mpi.views.solid import write_solid

    if out.suffix.lower() == ".vtp":
        write_vtp(mesh, out)
    else:
        write_solid(mesh, out, watertight=watertight)


def check_scene(options: argparse.Namespace, out: Path) -> None:
    """Check that the script of --paraview can be written beside what it shows.

    Raises:
        InputError: If it shows a .stl or .obj, or cannot be written.
    """
    if not options.paraview:
        return
    if out.suffix.lower() not in {".vtp", ".pvd"}:
        raise InputError(
            f"--paraview: is for a .vtp, and {out} has no quantities to colour by. Leave one out."
        )
    check_output(scene_of(out), inputs=options.surfaces)


def scene_of(out: Path) -> Path:
    """Return the script beside a mesh; NAME.py may well be the network's own."""
    return out.with_name(f"{out.stem}_paraview.py")


def write_scene(
    out: Path, meshes: Sequence[Mesh], lines: dict[str, Mesh], *, time: str | None = None
) -> None:
    """Write the script that opens what was written in ParaView, and print its name."""
    from landscape_mpi.views.paraview import write_script

    script = scene_of(out)
    places = {what: place_beside(out, what) for what in lines}
    write_script(script, out, meshes, places, time=time)
    print(f"{script}: opens it with paraview --script={script}")


def check_is_surface(surface: Surface) -> None:
    """Check that a mesh can be made.

    Raises:
        InputError: If the file holds lines that lie in no common plane.
    """
    if surface.has_repeats:
        raise InputError(
            f"{surface.path}: holds {surface.shape[1]} lines along directions of their own, and "
            f"they make no surface. Draw them: python -m landscape_mpi.plot {surface.path}; or "
            "pass --series NAME.pvd for a mesh of each line of --repeats."
        )


def make_parser() -> CommandParser:
    """Return the command's options."""
    parser = CommandParser(prog="python -m landscape_mpi.vtp", description=__doc__)
    parser.add_argument("surfaces", nargs="+", type=file_path, metavar="surface.h5")
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
    _add_files(parser)
    return parser


def _add_files(parser: CommandParser) -> None:
    parser.add_argument(
        "--contours",
        type=levels,
        nargs="?",
        const=12,
        metavar="N|A,B,...",
        help="also write lines of equal value into <stem>_contours.vtp: about so many (12), or at "
        "these values",
    )
    parser.add_argument(
        "--out",
        type=file_path,
        metavar="FILE",
        help="default: the surface's name, with .vtp; .stl and .obj hold its triangles alone",
    )
    parser.add_argument(
        "--series",
        type=file_path,
        metavar="FILE.pvd",
        help="write a mesh for each of several surfaces, as of the epochs of a training, or for "
        "each line of one with --repeats, and this file, by which ParaView steps through them; the "
        "time of each is the number its name ends in, or its place",
    )
    parser.add_argument(
        "--paraview",
        action="store_true",
        help="also write NAME_paraview.py, by which ParaView opens the mesh or the series with its "
        "lines, colours, scalar bar and camera: paraview --script=NAME_paraview.py; or pvpython "
        "NAME_paraview.py OUT.png",
    )
    parser.add_argument(
        "--watertight",
        action="store_true",
        help="close the .stl or .obj with walls and a base, to print it",
    )
    parser.add_argument(
        "--render",
        type=file_path,
        metavar="FILE.png",
        help="also draw the mesh by VTK, without a screen: light, scalar bar, the lines of "
        "--contours; the relief is that of the 3-D pictures of landscape_mpi.plot",
    )


def check_mesh_name(out: Path, *, watertight: bool = False) -> None:
    """Refuse to write a mesh into a file that is named as something else.

    Raises:
        InputError: If the name does not end in .vtp, .stl or .obj, or a .vtp is to be a solid.
    """
    if out.suffix.lower() not in MESHES:
        raise InputError(
            f"--out: {out} does not end in .vtp, by which ParaView knows a mesh, nor in .stl or "
            ".obj."
        )
    if watertight and out.suffix.lower() == ".vtp":
        raise InputError(
            f"--watertight: is for solids to print, and {out} holds a surface. Pass --out NAME.stl "
            "or NAME.obj."
        )


def check_picture_name(picture: Path | None, out: Path, source: Path) -> None:
    """Check that the picture of --render can be written, as a PNG beside the mesh.

    Raises:
        InputError: If its name does not end in .png, or it cannot be written.
    """
    if picture is None:
        return
    if picture.suffix.lower() != ".png":
        raise InputError(f"--render: {picture} does not end in .png, and it is one.")
    check_output(picture, inputs=[source, out])


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
