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


def make_vtp_parser(text: str | None) -> CommandParser:
    """Return the options of vtp.

    Args:
        text: Docstring of the command.
    """
    parser = CommandParser.of_command("vtp", text)
    parser.add_argument(
        "surfaces",
        nargs="+",
        type=file_path,
        metavar="surface.h5",
        help="surface file to turn into a mesh, or several with --series",
    )
    _add_heights(parser.add_argument_group("height"))
    _add_look(parser.add_argument_group("look of the picture"))
    _add_files(parser.add_argument_group("output"))
    return parser


def _add_heights(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--quantity",
        default="train_loss",
        metavar="NAME",
        help="quantity shown as height, or a sum such as train_loss+weight_decay_term (default: "
        "train_loss)",
    )
    kinds = {
        "log": "use log10 of the quantity as height (default for a loss in nat: log10 of the loss "
        "+ 0.1 nat; for widely spread positive values in another unit: log10 of the value + a "
        "power of ten)",
        "symlog": "use a symmetric logarithmic height: linear around zero, logarithmic beyond on "
        "both sides",
        "linear": "use the quantity itself as height",
    }
    scale = group.add_mutually_exclusive_group()
    for kind, words in kinds.items():
        scale.add_argument(f"--{kind}", action="store_const", const=kind, dest="kind", help=words)
    group.add_argument(
        "--range",
        type=value_range,
        metavar="LOW:HIGH",
        help="cut the surface where the quantity is below LOW or above HIGH; one end may be left "
        "out, e.g. :10",
    )
    add_lid(group)
    group.add_argument(
        "--scale",
        type=_positive,
        metavar="S",
        help="factor for the height; the arrays keep their values (default: makes the mesh half "
        "as high as its plane is wide)",
    )


def _add_look(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--look",
        choices=["plain", "paper"],
        default="plain",
        help="look of --render and --paraview: plain, or paper, as in the figure of the method's "
        "paper: colours from cool to warm, shade in narrow places, soft light from two sides, a "
        "transparent background, neither bar nor box (default: plain)",
    )
    add_camera(group)
    group.add_argument(
        "--relief",
        type=_positive,
        metavar="R",
        help="height of the drawn surface, as a fraction of the width of its plane (default: 0.6; "
        "with --look paper 0.85)",
    )
    group.add_argument(
        "--cmap",
        type=color_map,
        metavar="NAME",
        help="colour map, by matplotlib's name (default: viridis; with --look paper coolwarm)",
    )
    group.add_argument(
        "--size",
        type=picture_size,
        metavar="WxH",
        help="size of the picture in pixels (default: 1600 wide, as high as the surface needs)",
    )
    group.add_argument(
        "--bar",
        action=argparse.BooleanOptionalAction,
        help="draw the scalar bar or leave it out (default: --bar; with --look paper --no-bar)",
    )


def _add_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--contours",
        type=levels,
        nargs="?",
        const=12,
        metavar="N|A,B,...",
        help="also write lines of equal value to <stem>_contours.vtp: about N of them, or at "
        "these values (default: 12)",
    )
    group.add_argument(
        "--out",
        type=file_path,
        metavar="FILE",
        help="mesh file to write; .stl and .obj hold only triangles (default: the surface's name, "
        "with .vtp)",
    )
    group.add_argument(
        "--series",
        type=file_path,
        metavar="FILE.pvd",
        help="write several meshes, and this file, which lets ParaView step through them: one mesh "
        "for each surface, e.g. epochs of a training run, or for each line of a file with "
        "--repeats; the time step of a mesh is the number at the end of its name, or its position",
    )
    group.add_argument(
        "--paraview",
        action="store_true",
        help="also write NAME_paraview.py, a script that opens the mesh or the series in ParaView "
        "with its lines, colours, scalar bar and camera: paraview --script=NAME_paraview.py, or "
        "pvpython NAME_paraview.py OUT.png",
    )
    group.add_argument(
        "--watertight",
        action="store_true",
        help="close the .stl or .obj with walls and a base for 3-D printing",
    )
    group.add_argument(
        "--render",
        type=file_path,
        metavar="FILE.png",
        help="also draw the mesh with VTK, which needs no screen, with the lines of --contours; "
        "see --look, --camera, --relief, --cmap, --size and --bar",
    )


def the_only(paths: Sequence[Path]) -> Path:
    """Return the one named file.

    Raises:
        InputError: If several are named.
    """
    if len(paths) > 1:
        raise InputError(
            f"{len(paths)} surface files are named, but a mesh holds only one. Name one file, or "
            "pass --series NAME.pvd, with which ParaView steps through all of them."
        )
    return paths[0]


def check_series(options: argparse.Namespace) -> None:
    """Check the options that go with --series.

    Raises:
        InputError: If the file does not end in .pvd, or an option is only for a single mesh.
    """
    if options.series.suffix.lower() != ".pvd":
        raise InputError(
            f"--series: {options.series} does not end in .pvd, by which ParaView recognises a "
            "series. Name it NAME.pvd."
        )
    for option in ("out", "contours", "render", "watertight"):
        if getattr(options, option):
            raise InputError(
                f"--{option} applies to a single mesh, but --series writes several. Leave out one "
                "of the two."
            )


def check_look(options: argparse.Namespace) -> None:
    """Check that options for a picture come with a picture.

    Raises:
        InputError: If there is neither --render nor --paraview.
    """
    if options.render is not None or options.paraview:
        return
    for option in ("camera", "relief", "cmap", "size", "bar"):
        if getattr(options, option) is not None:
            raise InputError(
                f"--{option} applies only to a picture of the mesh. Pass --render NAME.png or "
                f"--paraview, or leave out --{option}."
            )
    if options.look != "plain":
        raise InputError(
            f"--look {options.look} applies only to a picture of the mesh. Pass --render NAME.png "
            "or --paraview, or leave out --look."
        )


def check_mesh_name(out: Path, *, watertight: bool = False) -> None:
    """Refuse to write a mesh to a file with the suffix of another format.

    Raises:
        InputError: If the name does not end in .vtp, .stl or .obj, or a .vtp should be a solid.
    """
    if out.suffix.lower() not in MESHES:
        raise InputError(
            f"--out: {out} does not end in .vtp, by which ParaView recognises a mesh, nor in .stl "
            "or .obj. Choose one of these."
        )
    if watertight and out.suffix.lower() == ".vtp":
        raise InputError(
            f"--watertight makes a solid for printing, but {out} holds a surface. Pass --out "
            "NAME.stl or NAME.obj."
        )


def check_picture_name(picture: Path | None, out: Path, source: Path) -> None:
    """Check that the picture of --render can be written, as a PNG beside the mesh.

    Raises:
        InputError: If its name does not end in .png, or it cannot be written.
    """
    if picture is None:
        return
    if picture.suffix.lower() != ".png":
        raise InputError(
            f"--render: {picture} does not end in .png, but the picture is a PNG. Name it NAME.png."
        )
    check_output(picture, inputs=[source, out])


def _finite(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is not a finite number.")
    return value


def _positive(text: str) -> float:
    value = _finite(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"{text} is not above zero.")
    return value
