"""Draw surface files: contour, filled contour, heat map and shaded surface of each quantity.

A plane gives <stem>_<quantity>_<kind>.png for each quantity and kind; a line gives one
figure, <stem>_line.png, with loss and error on two axes, training solid and test dashed. A
surface that is still being computed is drawn as far as it is. Files of the reference
implementation (xcoordinates, train_loss, train_acc) are read as well. Or, with --weights,
training runs: the norm of their weights over the epochs, and the last weights' histograms. Or,
with --ensemble, runs of landscape_mpi.ensemble.

  python -m landscape_mpi.plot resnet56.h5
  python -m landscape_mpi.plot resnet56.h5 --quantity train_loss --levels 0.1,0.5,1,2,5 --format pdf
  python -m landscape_mpi.plot resnet56.h5 --film resnet56.mp4
  python -m landscape_mpi.plot epoch_*.h5 --film training.gif
  python -m landscape_mpi.plot --weights batch128/ batch8192/
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from landscape_mpi.command import CommandParser, run_alone
from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.options import file_path, levels, number_above_0, number_from_0, pixel_density
from landscape_mpi.output import check_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from landscape_mpi.store.reader import Surface
    from landscape_mpi.views.panel import Panel
    from landscape_mpi.views.pictures import Picture

T = TypeVar("T")
KINDS = ("contour", "filled", "heatmap", "surface")
MOST_TIMES = 16
DPI = 300
LONGEST_S = 600.0  # of a film


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the surfaces, draw their pictures, print what was written."""
    options = make_parser().parse_args(arguments)
    check_what(options)
    check_film(options)
    fill_in(options)
    _check_kinds(options.kind)
    if options.weights:
        draw_runs(options)
        return 0
    if options.spectrum:
        draw_spectra(options)
        return 0
    if options.ensemble:
        draw_ensembles(options)
        return 0
    # After parsing, so that --help does not wait for h5py.
    from landscape_mpi.store.follow import follow_surfaces
    from landscape_mpi.store.reader import check_computed, read_surface

    if options.watch:
        with contextlib.suppress(KeyboardInterrupt):  # how one stops watching
            for surfaces in follow_surfaces(options.surfaces):
                draw_pictures(surfaces, options)
        return 0
    surfaces = [read_surface(path) for path in options.surfaces]
    for surface in surfaces:
        check_computed(surface)
    (draw_film if options.film else draw_pictures)(surfaces, options)
    return 0


def check_what(options: argparse.Namespace) -> None:
    """Check that one kind of files is to be drawn.

    Raises:
        InputError: If several are, or none.
    """
    asked = {"surfaces": options.surfaces, "--weights": options.weights}
    asked |= {"--spectrum": options.spectrum, "--ensemble": options.ensemble}
    named = [name for name, files in asked.items() if files]
    if len(named) != 1:
        what = f"both {' and '.join(named)} are named" if named else "nothing is named"
        raise InputError(
            f"{what}. Name surface files, or after --weights the folders of training runs, or "
            f"after --spectrum files of hessian --spectrum, or after --ensemble folders of "
            f"landscape_mpi.ensemble."
        )
    if options.watch and options.smooth > 1:
        raise InputError(
            f"--smooth {options.smooth}: needs complete surfaces, and --watch draws them as far as "
            "they are. Leave out one of them."
        )
    others = {"smooth": options.smooth > 1}
    others["critical"] = options.critical is not None
    for option in ("watch", "compare", "smooth", "critical", "film"):
        if others.get(option, getattr(options, option)) and not options.surfaces:
            raise InputError(f"--{option}: is for surfaces, not for {named[0]}. Leave it out.")


def draw_spectra(options: argparse.Namespace) -> None:
    """Draw the density of eigenvalues of each file, and print the picture's name."""
    from landscape_mpi.store.spectrum import read_spectrum
    from landscape_mpi.views.spectrum import draw_spectrum, picture_of

    draw_each(options, options.spectrum, read_spectrum, draw_spectrum, picture_of)


def draw_ensembles(options: argparse.Namespace) -> None:
    """Draw what happened in the run of each ensemble, and print the picture's name."""
    from landscape_mpi.store.ensemble import read_ensemble
    from landscape_mpi.views.ensemble import draw_ensemble, picture_of

    draw_each(options, options.ensemble, read_ensemble, draw_ensemble, picture_of)


def draw_each(
    options: argparse.Namespace,
    paths: Sequence[Path],
    read: Callable[[Path], T],
    draw: Callable[[T], Figure],
    picture_of: Callable[..., Path],
) -> None:
    """Read all files, then draw a picture of each and print its name."""
    from landscape_mpi.views.canvas import write_figure
    from landscape_mpi.views.page import page_for

    contents = [read(path) for path in paths]
    make_folder(options.out_dir)
    for path, content in zip(paths, contents, strict=True):
        picture = picture_of(path, out_dir=options.out_dir, suffix=options.format)
        page = page_for(options.columns)
        write_figure(partial(draw, content), picture, dpi=options.dpi, page=page)
        print(picture)


def draw_runs(options: argparse.Namespace) -> None:
    """Draw the weights of training runs into one figure, and print its file."""
    from landscape_mpi.store.weights import read_weights
    from landscape_mpi.views.canvas import write_figure
    from landscape_mpi.views.page import page_for
    from landscape_mpi.views.weights import check_number, draw_weights, picture_of

    runs = [read_weights(path) for path in options.weights]
    check_number(runs)
    make_folder(options.out_dir)
    picture = picture_of(runs, out_dir=options.out_dir, suffix=options.format)
    page = page_for(options.columns)
    write_figure(lambda: draw_weights(runs), picture, dpi=options.dpi, page=page)
    print(picture)


def draw_pictures(surfaces: Sequence[Surface], options: argparse.Namespace) -> None:
    """Draw all pictures of surfaces as the options ask, and print what is in them."""
    from landscape_mpi.views.canvas import write_figure
    from landscape_mpi.views.page import page_for
    from landscape_mpi.views.panel import summarize
    from landscape_mpi.views.pictures import check_distinct

    if options.no_path:
        surfaces = [replace(surface, trajectory=None, curve=None) for surface in surfaces]
    check_room(options)
    if options.compare and options.watch and len(surfaces) < len(options.surfaces):
        return  # one of them has no point yet
    plan = plan_comparisons if options.compare else plan_each
    panels, plans = plan(surfaces, options)
    check_distinct([picture for plan in plans for picture in plan])
    make_folder(options.out_dir)

    page = page_for(options.columns)
    for of_surface, pictures in zip(panels, plans, strict=True):
        for panel in of_surface:
            print(f"{panel.surface.path}: {summarize(panel)}")
        for picture in pictures:
            write_figure(picture.draw, picture.path, dpi=options.dpi, page=page)
            print(picture.path, flush=True)


def plan_each(
    surfaces: Sequence[Surface], options: argparse.Namespace
) -> tuple[list[list[Panel]], list[list[Picture]]]:
    """Return for each surface its quantities and their pictures."""
    from landscape_mpi.views.pictures import make_panels, plan_pictures

    scale, place = _scale_and_place(options)
    panels = [make_panels(surface, options.quantity, **scale) for surface in surfaces]
    panels = [_mark_critical(of_surface, options) for of_surface in panels]
    return panels, [plan_pictures(of_surface, **place) for of_surface in panels]


def plan_comparisons(
    surfaces: Sequence[Surface], options: argparse.Namespace
) -> tuple[list[list[Panel]], list[list[Picture]]]:
    """Return, as of one surface, the quantities of all and the pictures that compare them."""
    from landscape_mpi.views.compare import check_comparable, make_shared_panels, plan_comparison

    scale, place = _scale_and_place(options)
    check_comparable(surfaces)
    rows = make_shared_panels(surfaces, options.quantity, **scale)
    rows = [_mark_critical(row, options) for row in rows]
    return [[panel for row in rows for panel in row]], [plan_comparison(rows, **place)]


def _scale_and_place(options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    scale = {"kind": options.scale, "levels": options.levels}
    place = {"kinds": options.kind, "out_dir": options.out_dir, "suffix": options.format}
    return scale, place | {"smooth": options.smooth}


def _mark_critical(panels: list[Panel], options: argparse.Namespace) -> list[Panel]:
    if options.critical is None:
        return panels
    from landscape_mpi.views.critical import with_critical

    return [with_critical(panel, options.critical) for panel in panels]


def check_film(options: argparse.Namespace) -> None:
    """Check the options that go with --film.

    Raises:
        InputError: If one is for pictures, or more is asked than a film shows.
    """
    if options.film is None:
        if options.seconds is not None:
            raise InputError("--seconds: is for a film. Name one with --film, or leave it out.")
        return
    for option in ("watch", "compare", "columns", "critical", "dpi", "format", "out_dir"):
        if getattr(options, option) not in (None, False):
            name = option.replace("_", "-")
            raise InputError(f"--{name}: is for pictures, not for --film. Leave one of them out.")
    kinds, quantities = options.kind or ["surface"], options.quantity or ["one"]
    for option, named in (("kind", kinds), ("quantity", quantities)):
        if len(named) > 1:
            raise InputError(
                f"--{option} {','.join(named)}: a film shows one of them. Make several films."
            )
    if len(options.surfaces) == 1 and kinds != ["surface"]:
        raise InputError(
            f"--kind {kinds[0]}: a film of one file turns its surface in space. Name more files, "
            "which then follow one another, or leave --kind out."
        )
    from landscape_mpi.views.film_file import check_film_name

    check_film_name(options.film)
    check_output(options.film, inputs=options.surfaces)


def fill_in(options: argparse.Namespace) -> None:
    """Fill in what was not asked: a film shows one kind of picture, by default its surface."""
    options.kind = options.kind or (["surface"] if options.film else list(KINDS))
    options.dpi = options.dpi or DPI
    options.format = options.format or "png"


def draw_film(surfaces: Sequence[Surface], options: argparse.Namespace) -> None:
    """Draw surfaces as a film, and print its name, and what is in it."""
    from landscape_mpi.views.canvas import house_style
    from landscape_mpi.views.film import check_filmable, make_film
    from landscape_mpi.views.film_file import FPS, write_film
    from landscape_mpi.views.series import times_of, word_of

    check_filmable(surfaces)
    if options.no_path:
        surfaces = [replace(surface, trajectory=None, curve=None) for surface in surfaces]
    times = times_of(options.surfaces, option="--film")
    word = word_of(options.surfaces)
    order = sorted(range(len(times)), key=times.__getitem__)
    with house_style():
        film = make_film(
            [surfaces[k] for k in order],
            *(options.quantity or [None]),
            kind=options.kind[0],
            scale=options.scale,
            levels=options.levels,
            smooth=options.smooth,
            seconds=options.seconds,
            fps=FPS[options.film.suffix.lower()],
            words=[f"{word} {times[k]:g}" for k in order],
        )
        about = write_film(film, options.film)
    print(f"{options.film}: {about}")
    if film.thinned_from is not None:
        print(f"drawn with fewer points than computed ({'{} x {}'.format(*film.thinned_from)})")


def check_room(options: argparse.Namespace) -> None:
    """Check that the pictures have room on the page.

    Raises:
        InputError: If surfaces are to stand side by side in one column.
    """
    if options.columns == 1 and options.compare:
        raise InputError(
            "--compare: draws surfaces side by side, and --columns 1 leaves no room for that. Pass "
            "--columns 2."
        )


def make_parser() -> CommandParser:
    """Return the command's options."""
    parser = CommandParser(prog="python -m landscape_mpi.plot", description=__doc__)
    parser.add_argument("surfaces", nargs="*", type=file_path, metavar="surface.h5")
    _add_other_files(parser)
    parser.add_argument(
        "--watch",
        action="store_true",
        help="draw again whenever the running job has written a round, until the surface is "
        "complete; Ctrl-C ends it sooner",
    )
    parser.add_argument(
        "--quantity",
        type=_names,
        metavar="NAME[,NAME]",
        help="draw these only, e.g. train_loss,test_loss, or a sum of some, e.g. "
        "train_loss+weight_decay_term (default: all in the file)",
    )
    parser.add_argument(
        "--kind",
        type=_names,
        metavar="KIND[,KIND]",
        help=f"of {', '.join(KINDS)} (default: all); a line always gives its one figure",
    )
    parser.add_argument(
        "--levels",
        type=levels,
        default=12,
        metavar="N|A,B,...",
        help="about how many contour levels, or the levels themselves (default: 12)",
    )
    _add_scale(parser)
    _add_what_is_drawn(parser)
    _add_output(parser)
    return parser


def _add_what_is_drawn(parser: CommandParser) -> None:
    parser.add_argument(
        "--no-path", action="store_true", help="leave out the paths of training runs, and curves"
    )
    parser.add_argument(
        "--critical",
        type=number_from_0,
        nargs="?",
        const=0.0,
        metavar="X",
        help="mark the minima, saddles and maxima of the grid on flat pictures: those of a "
        "persistence of at least X, in the quantity's unit, or in decades on a logarithmic scale "
        "(without X, all); needs gudhi, see landscape_mpi.topology",
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="draw the surfaces side by side, with the same ranges, levels and colours",
    )
    parser.add_argument(
        "--smooth",
        type=_times,
        default=1,
        metavar="K",
        help="draw contours and 3-D surfaces K times finer than computed, by a cubic spline within "
        "the range of the points around; the picture says so (default: 1, as computed)",
    )
    _add_film(parser)


def _add_film(parser: CommandParser) -> None:
    parser.add_argument(
        "--film",
        type=file_path,
        metavar="FILE",
        help="write an .mp4 (pip install imageio-ffmpeg) or a .gif instead: of one file its "
        "surface, turning; of several, as of the epochs of a training, one after another, in the "
        "order of the numbers their names end in, with one scale and box (--kind surface)",
    )
    parser.add_argument(
        "--seconds",
        type=_seconds,
        metavar="S",
        help="length of the film (default: 10 for a turn, else half a second for each file)",
    )


def _add_scale(parser: CommandParser) -> None:
    scales = {
        "log": "logarithmic scale",
        "symlog": "linear around zero, logarithmic beyond on both sides",
        "linear": "linear scale (default: logarithmic where all values are positive and span more "
        "than a factor of 30, --symlog where they are not and the largest is 300 times the middle "
        "one)",
    }
    group = parser.add_mutually_exclusive_group()
    for kind, words in scales.items():
        group.add_argument(f"--{kind}", action="store_const", const=kind, dest="scale", help=words)


def _add_other_files(parser: CommandParser) -> None:
    parser.add_argument(
        "--weights",
        nargs="+",
        type=file_path,
        metavar="RUN",
        help="draw the weights of these training runs instead: the folders of train --run",
    )
    parser.add_argument(
        "--spectrum",
        nargs="+",
        type=file_path,
        metavar="FILE",
        help="draw the density of eigenvalues instead: the files of hessian --spectrum",
    )
    parser.add_argument(
        "--ensemble",
        nargs="+",
        type=file_path,
        metavar="RUN",
        help="draw learning rate, error and distance of ensembles instead: the folders of "
        "ensemble --run",
    )


def _add_output(parser: CommandParser) -> None:
    parser.add_argument(
        "--out-dir",
        type=file_path,
        metavar="DIR",
        help="folder for the pictures (default: the file's)",
    )
    parser.add_argument("--dpi", type=pixel_density, help=f"of pixel pictures (default: {DPI})")
    parser.add_argument(
        "--columns",
        type=int,
        choices=[1, 2],
        help="draw for print: as wide as one column of a page of two (3.35 inches) or as "
        "both (6.9), letters of 8 points",
    )
    parser.add_argument("--format", choices=["png", "pdf", "svg"], help="default: png")


def _check_kinds(kinds: list[str]) -> None:
    for kind in kinds:
        if kind not in KINDS:
            raise unknown_name("--kind", kind, KINDS)


def make_folder(out_dir: Path | None) -> None:
    """Make the folder for the pictures, if one was named.

    Raises:
        InputError: If it cannot be made.
    """
    try:
        if out_dir is not None:
            out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise InputError(
            f"--out-dir {out_dir}: cannot be made ({problem.strerror}). Name a folder you may "
            "write to."
        ) from problem


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise argparse.ArgumentTypeError("names nothing.")
    return names


def _times(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= MOST_TIMES:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1 to {MOST_TIMES}.")
    return int(text)


def _seconds(text: str) -> float:
    seconds = number_above_0(text)
    if seconds > LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text} is longer than {LONGEST_S:g} s.")
    return seconds


if __name__ == "__main__":
    run_alone(main)
