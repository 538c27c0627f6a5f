"""The options of vtp, and their checks."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from landscape_mpi.command import CommandParser
from landscape_mpi.draw.space_options import add_camera, add_lid
from landscape_mpi.errors import InputError
from landscape_mpi.options import color_map, file_path, levels, picture_size, value_range
from landscape_mpi.output import check_output

MESHES = (".vtp", ".stl", ".obj")


def make_vtp_parser(description: str | None) -> CommandParser:
    """Return the options of vtp.

    Args:
        description: Description of the command for --help.
    """
    parser = CommandParser(prog="python -m landscape_mpi.vtp", description=description)
    parser.add_argument("surfaces", nargs="+", type=file_path, metavar="surface.h5")
    parser.add_argument(
        "--quantity",
        default="train_loss",
        metavar="NAME",
        help="quantity that is the height, or a sum of some with + between them (default: "
        "train_loss)",
    )
    _add_heights(parser)
    _add_files(parser)
    _add_look(parser)
    return parser


def _add_heights(parser: CommandParser) -> None:
    kinds = {
        "log": "height is log10 of the quantity (default for a loss in nat: log10 of the loss + "
        "0.1 nat)",
        "symlog": "height is linear around zero, logarithmic beyond on both sides",
        "linear": "height is the quantity itself",
    }
    group = parser.add_mutually_exclusive_group()
    for kind, words in kinds.items():
        group.add_argument(f"--{kind}", action="store_const", const=kind, dest="kind", help=words)
    parser.add_argument(
        "--range",
        type=value_range,
        metavar="LOW:HIGH",
        help="cut the surface where the quantity is below LOW or above HIGH; one end may be left "
        "out, e.g. :10",
    )
    add_lid(parser)
    parser.add_argument(
        "--scale",
        type=_positive,
        metavar="S",
        help="factor on the height (default: a mesh half as high as its plane is wide); the arrays "
        "keep their values",
    )


def _add_look(parser: CommandParser) -> None:
    parser.add_argument(
        "--look",
        choices=["plain", "paper"],
        default="plain",
        help="of --render and --paraview: plain (default), or paper, that of the figure of the "
        "method's paper: cool to warm colours, shade in narrow places, soft light from two sides, "
        "a transparent ground, neither bar nor box",
    )
    add_camera(parser)
    parser.add_argument(
        "--relief",
        type=_positive,
        metavar="R",
        help="height of the drawn surface, as a share of its plane's width (default: 0.6; with "
        "--look paper 0.85)",
    )
    parser.add_argument(
        "--cmap",
        type=color_map,
        metavar="NAME",
        help="map of colours, by matplotlib's name (default: viridis; with --look paper coolwarm)",
    )
    parser.add_argument(
        "--size",
        type=picture_size,
        metavar="WxH",
        help="of the picture, in pixels (default: 1600 wide, as high as the surface needs)",
    )
    parser.add_argument(
        "--bar",
        action=argparse.BooleanOptionalAction,
        help="draw the scalar bar, or leave it out (default: drawn; with --look paper left out)",
    )


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
        help="also draw the mesh by VTK, without a screen, with the lines of --contours; see "
        "--look, --camera, --relief, --cmap, --size and --bar",
    )


def the_only(paths: Sequence[Path]) -> Path:
    """Return the only file that is named.

    Raises:
        InputError: If several are named.
    """
    if len(paths) > 1:
        raise InputError(
            f"{len(paths)} surface files are named, and a mesh is of one. Name one, or pass "
            "--series NAME.pvd to have ParaView step through all of them."
        )
    return paths[0]


def check_series(options: argparse.Namespace) -> None:
    """Check the options that go with --series.

    Raises:
        InputError: If the file does not end in .pvd, or an option is only for a single mesh.
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


def check_look(options: argparse.Namespace) -> None:
    """Check that options of a picture come with a picture.

    Raises:
        InputError: If there is neither --render nor --paraview.
    """
    if options.render is not None or options.paraview:
        return
    for option in ("camera", "relief", "cmap", "size", "bar"):
        if getattr(options, option) is not None:
            raise InputError(
                f"--{option}: is for a picture of the mesh, and none is asked for. Pass --render "
                f"NAME.png or --paraview, or leave --{option} out."
            )
    if options.look != "plain":
        raise InputError(
            f"--look {options.look}: is for a picture of the mesh, and none is asked for. Pass "
            "--render NAME.png or --paraview, or leave --look out."
        )


def check_mesh_name(out: Path, *, watertight: bool = False) -> None:
    """Refuse to write a mesh into a file with the suffix of something else.

    Raises:
        InputError: If the name does not end in .vtp, .stl or .obj, or a .vtp should be a solid.
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
        raise InputError(f"--render: {picture} does not end in .png, and the picture is a PNG.")
    check_output(picture, inputs=[source, out])


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
