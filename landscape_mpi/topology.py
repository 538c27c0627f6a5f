"""Count the minima, saddles and maxima of a surface, and measure how persistent they are.

This command measures how chaotic a surface is: how many basins there are besides the deepest one,
and how high one has to climb to leave each of them for a deeper one (its persistence). It prints
these numbers, writes all critical points and the merge tree to NAME.csv, and draws the merge tree
and the persistence diagram into NAME.png. It needs gudhi (the extra [topology]), but neither torch
nor MPI. plot --critical marks the points on the map of the surface.

With --compare, the command takes several surfaces. For each, it counts the basins that have at
least a given persistence. It draws this number against the persistence, for all surfaces in
one picture, and writes the numbers into a CSV.

The neighbours of a point are the eight points around it, or four with --neighbours 4; numbers that
differ between the two are artefacts of the grid. A plateau counts as one point. A minimum on the
border counts, although the loss may fall further outside; a maximum on the border does not. Points
that are not computed or not finite are left out. A line has minima, and maxima between them; lines
along several directions are analysed one by one.

  python -m landscape_mpi.topology resnet56_noshort.h5
  python -m landscape_mpi.topology resnet56.h5 resnet56_noshort.h5 --compare --columns 1
  python -m landscape_mpi.topology resnet56.h5 --quantity test_loss --log --min-persistence 0.1
  python -m landscape_mpi.plot resnet56_noshort.h5 --log --critical 0.1 --kind contour
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from landscape_mpi.command import CommandParser, run_alone
from landscape_mpi.errors import InputError
from landscape_mpi.invocation import typed
from landscape_mpi.options import file_path, number_from_0, pixel_density
from landscape_mpi.output import check_output
from landscape_mpi.short_names import joined_name
from landscape_mpi.views.curve_colors import MOST

if TYPE_CHECKING:
    from landscape_mpi.store.reader import Surface
    from landscape_mpi.views.topology import Topology

ENDINGS = (".csv", ".png", ".pdf", ".svg")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the surfaces, find their points, print, write and draw them."""
    options = make_parser().parse_args(arguments)
    check_together(options)
    # After parsing, so that --help does not wait for h5py.
    from landscape_mpi.store.reader import check_computed, read_surface

    surfaces = [read_surface(path) for path in options.surfaces]
    for surface in surfaces:
        check_computed(surface)
    (compare_surfaces if options.compare else show_surface)(surfaces, options)
    return 0


def show_surface(surfaces: Sequence[Surface], options: argparse.Namespace) -> None:
    """Print, write and draw all points of one surface."""
    from landscape_mpi.views.canvas import write_figure
    from landscape_mpi.views.merge_tree import draw_topology
    from landscape_mpi.views.topology_table import describe, write_table

    table, picture = files_of(options)
    found = find_all(surfaces[0], options)
    print("\n".join(describe(found)))
    write_table(found, table)
    print(table)
    write_figure(lambda: draw_topology(found), picture, dpi=options.dpi)
    print(picture)


def compare_surfaces(surfaces: Sequence[Surface], options: argparse.Namespace) -> None:
    """Print, write and draw the number of basins of surfaces over the least persistence."""
    from landscape_mpi.views.basins import join_basins
    from landscape_mpi.views.canvas import write_figure
    from landscape_mpi.views.page import page_for
    from landscape_mpi.views.table_file import write_rows

    table, picture = files_of(options)
    joint = join_basins(find_each(surfaces, options))
    print("\n".join(joint.words))
    write_rows(joint.tables[""], table)
    print(table)
    write_figure(joint.draw, picture, dpi=options.dpi, page=page_for(options.columns))
    print(picture)


def check_together(options: argparse.Namespace) -> None:
    """Check that the number of surfaces fits one picture.

    Raises:
        InputError: If there are too few or too many, or if --columns has no picture to apply to.
    """
    n = len(options.surfaces)
    if options.compare and not 2 <= n <= MOST:
        raise InputError(
            f"--compare draws 2 to {MOST} surface files in one picture, but {n} "
            + (
                "is named. Name more files, or leave out --compare."
                if n == 1
                else "are named. Name fewer files, or leave out --compare."
            )
        )
    if not options.compare and n > 1:
        raise InputError(
            f"{n} surface files are named, but without --compare the command takes one. Pass "
            "--compare to count the basins of all in one picture, or name one file for its points "
            "and its merge tree."
        )
    if options.columns is not None and not options.compare:
        raise InputError(
            f"--columns {options.columns} applies only to --compare; a merge tree is drawn for "
            "the screen. Leave it out."
        )


def find_each(surfaces: Sequence[Surface], options: argparse.Namespace) -> list[Topology]:
    """Return the points of each surface.

    Raises:
        InputError: If one holds several lines, or their basins cannot be compared.
    """
    found = []
    for surface in surfaces:
        points = find_all(surface, options)
        if len(points) > 1:
            raise InputError(
                f"{surface.path}: --compare needs one line or plane per file, but this file holds "
                f"{len(points)} lines, each with its own basins. Name it alone, without --compare."
            )
        found += points
    for other in found[1:]:
        _check_comparable(found[0], other)
    return found


def _check_comparable(first: Topology, other: Topology) -> None:
    """Check that the basins of two surfaces are of the same kind.

    Raises:
        InputError: If one surface is a line and the other a plane, or their units differ.
    """
    paths = [topology.panel.surface.path for topology in (first, other)]
    if first.is_line != other.is_line:
        kinds = ["a line" if topology.is_line else "a plane" for topology in (first, other)]
        raise InputError(
            f"--compare: {paths[0]} is {kinds[0]} and {paths[1]} {kinds[1]}. Their basins are not "
            "comparable. Compare planes with planes, or lines with lines."
        )
    if first.unit != other.unit:
        units = [topology.unit or "none" for topology in (first, other)]
        raise InputError(
            f"--compare: persistence has the unit {units[0]} in {paths[0]} and {units[1]} in "
            f"{paths[1]}. Compare surfaces of the same unit, or pass --log."
        )


def find_all(surface: Surface, options: argparse.Namespace) -> list[Topology]:
    """Return the points of a surface, or of each line if it holds several.

    Raises:
        InputError: If the file holds lines between solutions, or no finite value.
    """
    from landscape_mpi.views.choice import choose_quantities
    from landscape_mpi.views.levels import ScaleRequest
    from landscape_mpi.views.panel import make_panel
    from landscape_mpi.views.series import split_repeats
    from landscape_mpi.views.topology import find_topology

    if surface.is_curve or surface.has_pairs:
        raise InputError(
            f"{surface.path}: holds lines between solutions; curve barriers has already measured "
            f"their barriers. Draw them: {typed('plot')} {surface.path}"
        )
    surface, (name,) = choose_quantities(surface, [options.quantity])
    kind = "log" if options.log else "linear"
    panels = [make_panel(part, name, ScaleRequest(kind)) for part in split_repeats(surface)]
    for number, panel in enumerate(panels, 1):
        where = f"{surface.path}: {name}" + (f", line {number}" if len(panels) > 1 else "")
        if panel.scale is None:
            raise InputError(
                f"{where}: no computed point is finite, so there is no minimum to find. Compute "
                "more points, or name another --quantity."
            )
        if panel.scale.n_floored:
            raise InputError(
                f"{where}: --log needs positive values; {panel.scale.n_floored} of "
                f"{panel.n_computed} points are zero or negative. Leave out --log."
            )
    least = options.min_persistence
    return [find_topology(panel, neighbours=options.neighbours, least=least) for panel in panels]


def files_of(options: argparse.Namespace) -> tuple[Path, Path]:
    """Return the files of the table and of the picture.

    Raises:
        InputError: If they cannot be written.
    """
    sources = options.surfaces
    what = "basins" if options.compare else "topology"
    usual = f"{joined_name(sources)}_{options.quantity}_{what}"
    out = options.out or sources[0].with_name(usual)
    stem = out.name.removesuffix(out.suffix) if out.suffix in ENDINGS else out.name
    files = out.with_name(f"{stem}.csv"), out.with_name(f"{stem}.{options.format}")
    for file in files:
        check_output(file, inputs=sources)
    return files


def make_parser() -> CommandParser:
    """Return the command's options."""
    parser = CommandParser.of_command("topology", __doc__)
    parser.add_argument(
        "surfaces",
        nargs="+",
        type=file_path,
        metavar="surface.h5",
        help="surface file to analyse, or several with --compare",
    )
    _add_analysis_options(parser.add_argument_group("analysis"))
    _add_file_options(parser.add_argument_group("output"))
    return parser


def _add_analysis_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--compare",
        action="store_true",
        help="compare several surfaces in one picture: the number of basins of at least a given "
        "persistence, against that persistence",
    )
    group.add_argument(
        "--quantity",
        default="train_loss",
        metavar="NAME",
        help="quantity to analyse, or a sum such as train_loss+weight_decay_term (default: "
        "train_loss)",
    )
    group.add_argument(
        "--log",
        action="store_true",
        help="measure persistence in decades (differences of log10) instead of the quantity's "
        "unit; the points and the tree stay the same",
    )
    group.add_argument(
        "--min-persistence",
        type=number_from_0,
        default=0.0,
        metavar="X",
        help="smallest persistence to show, in the quantity's unit, or in decades with --log "
        "(default: 0)",
    )
    group.add_argument(
        "--neighbours",
        type=int,
        choices=[4, 8],
        default=8,
        help="number of neighbours of a grid point (default: 8)",
    )


def _add_file_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--out",
        type=file_path,
        metavar="NAME",
        help="output files NAME.csv and NAME.png (default: made of the surface's name, the "
        "quantity, and topology, or basins with --compare)",
    )
    group.add_argument(
        "--format",
        choices=["png", "pdf", "svg"],
        default="png",
        help="format of the picture (default: png)",
    )
    group.add_argument(
        "--dpi",
        type=pixel_density,
        default=300,
        metavar="N",
        help="resolution of pixel pictures in dots per inch (default: 300)",
    )
    group.add_argument(
        "--columns",
        type=int,
        choices=[1, 2],
        help="draw the comparison for print, as wide as one column of a two-column page (3.35 "
        "inches) or both columns (6.9 inches), with 8-point letters (default: for the screen)",
    )


if __name__ == "__main__":
    run_alone(main)
