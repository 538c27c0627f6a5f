"""Write surface files as one interactive HTML page, which needs no internet.

The page shows each surface in three dimensions, beside its contours. You can turn and zoom it. If
you point at one picture, all pictures mark this point and show its coordinates, losses and errors.
Colours of a cross-entropy run from 0 to a multiple of the loss of guessing, so you can compare
surfaces of the same task. The page also has a switch for the scale, a slider for clipping, several
surfaces side by side under one camera, trajectories of training runs, the numbers of surface
--summary, and the provenance of each surface. The command also reads files of the reference
implementation.

  python -m landscape_mpi.report resnet56.h5
  python -m landscape_mpi.report resnet56.h5 resnet56_noshort.h5 --out compared.html
"""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landscape_mpi.command import CommandParser, run_alone
from landscape_mpi.draw.labels import add_label, check_labels, name_surfaces
from landscape_mpi.errors import InputError
from landscape_mpi.options import file_path, list_of_names, value_range
from landscape_mpi.output import check_output, whole_file

if TYPE_CHECKING:
    from landscape_mpi.store.reader import Surface

MOST_SURFACES = 8  # browsers give a page about 16 WebGL contexts, phones half of that

SCALES = {
    "log": "start with a logarithmic scale",
    "symlog": "start with a symmetric logarithmic scale: linear around zero, logarithmic beyond",
    "linear": "start with a linear scale (default: colours of a cross-entropy run "
    "from 0 to 4.34 times the loss of guessing, 10 nat for 10 classes, and its heights are "
    "log10(loss + 0.1 nat); other quantities use a scale that suits their values)",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the surfaces, write their page, and print its path."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = make_parser().parse_args(words)
    # After parsing, so that --help does not wait for h5py.
    from landscape_mpi.store.follow import follow_surfaces
    from landscape_mpi.store.reader import check_computed, read_surface

    check_labels(options)
    out = options.out or options.surfaces[0].with_suffix(".html")
    check_page(out, options.surfaces)
    if options.watch:
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends the watch
            for surfaces in follow_surfaces(options.surfaces):
                write_page(surfaces, out, options, words)
        return 0
    surfaces = [read_surface(path) for path in options.surfaces]
    for surface in surfaces:
        check_computed(surface)
    write_page(surfaces, out, options, words)
    return 0


def check_page(out: Path, surfaces: Sequence[Path]) -> None:
    """Check the page's name and the number of surfaces, before any file is read.

    Raises:
        InputError: If the name does not end in .html, or the page cannot be written or is too
            large.
    """
    if len(surfaces) > MOST_SURFACES:
        raise InputError(
            f"{len(surfaces)} surface files are named, but a page holds at most {MOST_SURFACES}, "
            "because browsers limit the number of 3D pictures. Make several pages."
        )
    if out.suffix.lower() not in {".html", ".htm"}:
        raise InputError(
            f"--out: {out} does not end in .html, by which browsers recognise a page. Name it "
            f"{out.with_suffix('.html').name}."
        )
    check_output(out, inputs=surfaces)


def write_page(
    surfaces: Sequence[Surface], out: Path, options: argparse.Namespace, words: Sequence[str]
) -> None:
    """Write the page of surfaces, whole or not at all, and print its name and size."""
    from landscape_mpi.store.provenance import read_provenance
    from landscape_mpi.views.report.page import Source, make_page

    named = name_surfaces(surfaces, options)
    sources = [Source(surface, read_provenance(surface.path)) for surface in named]
    complete = all(surface.done.all() for surface in surfaces)
    page = make_page(
        sources,
        options.quantity,
        command=["python", "-m", "landscape_mpi.report", *words],
        scale=options.scale,
        ends=options.range or (None, None),
        watched=options.watch and not complete,
    ).encode()
    with whole_file(out) as partial:
        partial.write_bytes(page)
    print(f"{out}: {len(page) / 1e6:.1f} MB, opens in any browser", flush=True)


def make_parser() -> CommandParser:
    """Return the command's options."""
    parser = CommandParser.of_command("report", __doc__)
    parser.add_argument(
        "surfaces", nargs="+", type=file_path, metavar="surface.h5", help="surface files to show"
    )
    _add_contents(parser.add_argument_group("contents"))
    _add_scale(parser.add_argument_group("scale"))
    _add_output(parser.add_argument_group("output"))
    return parser


def _add_contents(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--quantity",
        type=list_of_names,
        metavar="NAME[,NAME]",
        help="quantities to show, e.g. train_loss,test_loss, or a sum, e.g. "
        "train_loss+weight_decay_term (default: all in the file)",
    )
    add_label(group)


def _add_scale(group: argparse._ArgumentGroup) -> None:
    scale = group.add_mutually_exclusive_group()
    for kind, words in SCALES.items():
        scale.add_argument(f"--{kind}", action="store_const", dest="scale", const=kind, help=words)
    group.add_argument(
        "--range",
        type=value_range,
        metavar="LOW:HIGH",
        help="start with colours that span this range and surfaces clipped to it; either end may "
        "be left out, e.g. :10",
    )


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--out",
        type=file_path,
        metavar="FILE",
        help="page to write (default: the first surface's name, with .html)",
    )
    group.add_argument(
        "--watch",
        action="store_true",
        help="rewrite the page after every round of the running job, until the surfaces are "
        "complete; an open page reloads itself",
    )


if __name__ == "__main__":
    run_alone(main)
