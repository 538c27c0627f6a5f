"""Count the minima, saddles and maxima of a surface, and say how persistent they are.

A number for "chaotic": how many basins there are beside the deepest one, and how high one has to
climb to leave each of them for a deeper one (its persistence). Prints them; writes all points and
the merge tree into NAME.csv, and the merge tree beside the persistence diagram into NAME.png. On
the map of the surface, landscape_mpi.plot --critical marks them. Needs gudhi (pip install gudhi),
and neither torch nor MPI.

Neighbours are the eight points around a point, or four with --neighbours 4: numbers that differ
between the two are numbers of the grid. A plateau is one point. A minimum on the border counts,
though the loss may fall beyond it; a maximum there does not. Points that are not computed or not
finite are left out. Of a line there are minima, and maxima between them; of lines along several
directions, each is taken by itself.

  python -m landscape_mpi.topology resnet56_noshort.h5
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
from landscape_mpi.options import file_path, number_from_0, pixel_density
from landscape_mpi.output import check_output

if TYPE_CHECKING:
    from landscape_mpi.store.reader import Surface
    from landscape_mpi.views.topology import Topology

ENDINGS = (".csv", ".png", ".pdf", ".svg")


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the surface, find its points, print, write and draw them."""
    options = make_parser().parse_args(arguments)
    # After parsing, so that --help does not wait for h5py.
    from landscape_mpi.store.reader import check_computed, read_surface
    from landscape_mpi.views.canvas import write_figure
    from landscape_mpi.views.merge_tree import draw_topology
    from landscape_mpi.views.topology_table import describe, write_table

    surface = read_surface(options.surface)
    check_computed(surface)
    table, picture = files_of(options)
    found = find_all(surface, options)
    print("\n".join(describe(found)))
    write_table(found, table)
    print(table)
    write_figure(lambda: draw_topology(found), picture, dpi=options.dpi)
    print(picture)
    return 0


def find_all(surface: Surface, options: argparse.Namespace) -> list[Topology]:
    """Return the points of a surface, or those of each line along a direction of its own.

    Raises:
        InputError: If the file holds lines between solutions, or nothing that is finite.
    """
    from landscape_mpi.views.choice import choose_quantities
    from landscape_mpi.views.panel import make_panel
    from landscape_mpi.views.series import split_repeats
    from landscape_mpi.views.topology import find_topology

    if surface.is_curve or surface.has_pairs:
        raise InputError(
            f"{surface.path}: holds lines between solutions, and the command that wrote it tells "
            f"their barriers. Draw them: python -m landscape_mpi.plot {surface.path}"
        )
    surface, (name,) = choose_quantities(surface, [options.quantity])
    kind = "log" if options.log else "linear"
    panels = [make_panel(part, name, kind=kind) for part in split_repeats(surface)]
    for number, panel in enumerate(panels, 1):
        where = f"{surface.path}: {name}" + (f", line {number}" if len(panels) > 1 else "")
        if panel.scale is None:
            raise InputError(f"{where}: no computed point is finite, so there is nothing to rank.")
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
    source = options.surface
    out = options.out or source.with_name(f"{source.stem}_{options.quantity}_topology")
    stem = out.name.removesuffix(out.suffix) if out.suffix in ENDINGS else out.name
    files = out.with_name(f"{stem}.csv"), out.with_name(f"{stem}.{options.format}")
    for file in files:
        check_output(file, inputs=[source])
    return files


def make_parser() -> CommandParser:
    """Return the command's options."""
    parser = CommandParser(prog="python -m landscape_mpi.topology", description=__doc__)
    parser.add_argument("surface", type=file_path, metavar="surface.h5")
    parser.add_argument(
        "--quantity",
        default="train_loss",
        metavar="NAME",
        help="the quantity, or a sum of some with + between them (default: train_loss)",
    )
    parser.add_argument(
        "--log",
        action="store_true",
        help="measure persistence in decades, the difference of log10, instead of in the "
        "quantity's unit; the points and the tree stay the same",
    )
    parser.add_argument(
        "--min-persistence",
        type=number_from_0,
        default=0.0,
        metavar="X",
        help="leave out what is less persistent, in the quantity's unit or decades (default: 0)",
    )
    parser.add_argument(
        "--neighbours",
        type=int,
        choices=[4, 8],
        default=8,
        help="how many points around a point of the grid can lie in its basin (default: 8)",
    )
    parser.add_argument(
        "--out",
        type=file_path,
        metavar="NAME",
        help="write NAME.csv and NAME.png (default: the surface's name, the quantity, topology)",
    )
    parser.add_argument(
        "--format", choices=["png", "pdf", "svg"], default="png", help="of the picture (png)"
    )
    parser.add_argument(
        "--dpi", type=pixel_density, default=300, help="of pixel pictures (default: 300)"
    )
    return parser


if __name__ == "__main__":
    run_alone(main)
