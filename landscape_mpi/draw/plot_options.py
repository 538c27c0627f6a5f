"""The options of plot, and their checks before any file is read."""

from __future__ import annotations

import argparse

from landscape_mpi.command import CommandParser, SayAndEnd
from landscape_mpi.draw.film import add_film_options
from landscape_mpi.draw.labels import add_label, check_labels
from landscape_mpi.draw.listing import say_kinds
from landscape_mpi.draw.space_options import add_camera, add_lid
from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.options import (
    add_list_option,
    color_map,
    file_path,
    levels,
    list_of_names,
    number_from_0,
    pixel_density,
    value_range,
)
from landscape_mpi.registry import COLOR_MAPS, PICTURES, REVERSED

MOST_TIMES = 16
DPI = 300


def make_plot_parser(text: str | None) -> CommandParser:
    """Return the options of plot.

    Args:
        text: Docstring of the command.
    """
    parser = CommandParser.of_command("plot", text)
    parser.add_argument(
        "surfaces", nargs="*", type=file_path, metavar="surface.h5", help="surface files to draw"
    )
    _add_contents(parser.add_argument_group("contents"))
    _add_scale(parser.add_argument_group("scale and colours"))
    space = parser.add_argument_group("three dimensions")
    add_camera(space)
    add_lid(space)
    add_film_options(parser.add_argument_group("film"))
    _add_other_files(parser.add_argument_group("other files"))
    _add_output(parser.add_argument_group("output"))
    return parser


def _add_contents(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--quantity",
        type=list_of_names,
        metavar="NAME[,NAME]",
        help="quantities to draw, e.g. train_loss,test_loss, or a sum, e.g. "
        "train_loss+weight_decay_term (default: all in the file)",
    )
    group.add_argument(
        "--kind",
        type=list_of_names,
        metavar="KIND[,KIND]",
        help=f"kinds of picture: {', '.join(PICTURES)}; a line always gives a single figure "
        "(default: all)",
    )
    lists = {"kinds": "what each kind of picture shows"}
    add_list_option(group, SayAndEnd, say_kinds, lists=lists)
    _add_what_is_drawn(group)


def _add_other_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--weights",
        nargs="+",
        type=file_path,
        metavar="RUN",
        help="draw the weights of these training runs instead: the folders of train --run",
    )
    group.add_argument(
        "--spectrum",
        nargs="+",
        type=file_path,
        metavar="FILE",
        help="draw the density of eigenvalues instead: the files of hessian --spectrum",
    )
    group.add_argument(
        "--ensemble",
        nargs="+",
        type=file_path,
        metavar="RUN",
        help="draw learning rate, error and distance of ensembles instead: the folders of "
        "ensemble --run",
    )


def _add_scale(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--levels",
        type=levels,
        metavar="N|A,B,...",
        help="approximate number of contour levels, or the levels themselves, in which case the "
        "colours end at the first and the last level (default: 12; for a cross-entropy 0.1, 0.5, "
        "1, 2 and so on)",
    )
    scales = {
        "log": "logarithmic scale",
        "symlog": "symmetric logarithmic scale: linear around zero, logarithmic beyond on both "
        "sides",
        "linear": "linear scale (default: a cross-entropy is linear from 0 to 4.34 times the loss "
        "of guessing, 10 nat for 10 classes, or logarithmic if less than 30 %% of the plane lies "
        "below that; other quantities are logarithmic if all values are positive and span more "
        "than a factor of 30, --symlog if some are not positive and the largest is more than 300 "
        "times the median, and linear otherwise)",
    }
    scale = group.add_mutually_exclusive_group()
    for kind, words in scales.items():
        scale.add_argument(f"--{kind}", action="store_const", const=kind, dest="scale", help=words)
    group.add_argument(
        "--range",
        type=value_range,
        metavar="LOW:HIGH",
        help="range of the colours; the picture says how much lies beyond; either end may be left "
        "out, e.g. :10",
    )
    group.add_argument(
        "--cmap",
        type=color_map,
        metavar="NAME",
        help=f"colour map: {', '.join(COLOR_MAPS)}, or one of these followed by {REVERSED}, which "
        "reverses it (default: viridis)",
    )


def _add_what_is_drawn(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--no-path", action="store_true", help="do not draw trajectories and curves")
    group.add_argument(
        "--critical",
        type=number_from_0,
        nargs="?",
        const=0.0,
        metavar="X",
        help="mark on flat pictures the minima, saddles and maxima of the grid: those with a "
        "persistence of at least X (in the quantity's unit, or in decades on a logarithmic scale), "
        "or without X all of them; needs gudhi, as the command topology does",
    )
    group.add_argument(
        "--compare",
        action="store_true",
        help="draw up to 12 surfaces in a grid, with the same ranges, levels and colours; if "
        "their values differ by more than a factor of 100, each has its own colours, and the "
        "picture says so",
    )
    add_label(group)
    group.add_argument("--title", metavar="TEXT", help="title of a picture of --compare")
    group.add_argument(
        "--smooth",
        type=_times,
        default=1,
        metavar="K",
        help="draw contours and 3-D surfaces K times finer than computed, by a cubic spline that "
        "stays within the range of the neighbouring points; the picture says so (default: 1, as "
        "computed)",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--out-dir",
        type=file_path,
        metavar="DIR",
        help="folder for the pictures (default: the folder of the file)",
    )
    group.add_argument(
        "--dpi",
        type=pixel_density,
        metavar="N",
        help=f"resolution of pixel pictures in dots per inch (default: {DPI})",
    )
    group.add_argument(
        "--columns",
        type=int,
        choices=[1, 2],
        help="draw for print, as wide as one column of a two-column page (3.35 inches) or both "
        "columns (6.9 inches), with 8-point letters (default: for the screen)",
    )
    group.add_argument(
        "--format", choices=["png", "pdf", "svg"], help="format of the pictures (default: png)"
    )
    group.add_argument(
        "--watch",
        action="store_true",
        help="redraw after every round of the running job, until the surface is complete; Ctrl-C "
        "ends it earlier",
    )


def check_what(options: argparse.Namespace) -> None:
    """Check that the options name files of exactly one kind.

    Raises:
        InputError: If they name files of several kinds, or none.
    """
    asked = {"surfaces": options.surfaces, "--weights": options.weights}
    asked |= {"--spectrum": options.spectrum, "--ensemble": options.ensemble}
    named = [name for name, files in asked.items() if files]
    if len(named) != 1:
        what = f"{' and '.join(named)} are both named" if named else "no file is named"
        raise InputError(
            f"{what}. Name surface files, or after --weights the folders of training runs, or "
            f"after --spectrum files of hessian --spectrum, or after --ensemble folders of "
            f"landscape_mpi.ensemble."
        )
    if options.watch and options.smooth > 1:
        raise InputError(
            f"--smooth {options.smooth}: needs complete surfaces, but --watch draws incomplete "
            "ones. Leave out one of the two."
        )
    others = {"smooth": options.smooth > 1}
    others["critical"] = options.critical is not None
    check_labels(options)
    if options.title is not None and not options.compare and options.surfaces:
        raise InputError(
            f"--title {options.title} applies only to --compare. For a picture of one surface "
            "pass --label, or add --compare."
        )
    for option in ("watch", "compare", "smooth", "critical", "film", "label", "title", "range"):
        if others.get(option, getattr(options, option)) and not options.surfaces:
            raise InputError(f"--{option} applies to surfaces, not to {named[0]}. Leave it out.")


def fill_in(options: argparse.Namespace) -> None:
    """Fill in missing options; a film shows one kind of picture, by default a surface.

    Raises:
        InputError: If a kind is unknown.
    """
    options.kind = options.kind or (["surface"] if options.film else list(PICTURES))
    options.dpi = options.dpi or DPI
    options.format = options.format or "png"
    _check_kinds(options.kind)


def _check_kinds(kinds: list[str]) -> None:
    for kind in kinds:
        if kind not in PICTURES:
            raise unknown_name("--kind", kind, PICTURES)


def _times(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_TIMES:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 to {MOST_TIMES}.")
    return int(text)
