"""Draw surface files: contour, filled contour, heat map, shaded surface and ring of each quantity.

A plane gives one picture <stem>_<quantity>_<kind>.png for each quantity and kind. The ring shows
the median against the distance from the center, and the band of 90 % of the directions. The file
<stem>_<quantity>_ring.csv also holds its curves. <stem>_<quantity>_ring_numbers.csv holds the
radius at which the median reaches the loss of guessing. A line gives one figure, <stem>_line.png,
with loss and error on two axes; training is solid and test is dashed. If a surface is incomplete,
the command draws the points that are computed. It also reads files of the reference implementation
(xcoordinates, train_loss, train_acc). With --weights, it draws training runs instead: the norm of
their weights over the epochs, and histograms of the last weights. With --ensemble, it draws runs of
the command ensemble.

  python -m landscape_mpi.plot resnet56.h5
  python -m landscape_mpi.plot resnet56.h5 --quantity train_loss --levels 0.1,0.5,1,2,5 --format pdf
  python -m landscape_mpi.plot resnet56.h5 resnet56_noshort.h5 --compare --kind ring --columns 1
  python -m landscape_mpi.plot resnet56.h5 --film resnet56.mp4
  python -m landscape_mpi.plot epoch_*.h5 --film training.gif
  python -m landscape_mpi.plot --weights batch128/ batch8192/
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from landscape_mpi.command import CommandParser, run_alone
from landscape_mpi.draw.film import check_film, draw_film
from landscape_mpi.draw.other_files import draw_ensembles, draw_runs, draw_spectra
from landscape_mpi.draw.plot_options import check_what, fill_in, make_plot_parser
from landscape_mpi.draw.surfaces import draw_pictures


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the surfaces, draw their pictures, and print the names of the files."""
    options = make_parser().parse_args(arguments)
    check_what(options)
    check_film(options)
    fill_in(options)
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
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends the watch
            for surfaces in follow_surfaces(options.surfaces):
                draw_pictures(surfaces, options)
        return 0
    surfaces = [read_surface(path) for path in options.surfaces]
    for surface in surfaces:
        check_computed(surface)
    (draw_film if options.film else draw_pictures)(surfaces, options)
    return 0


def make_parser() -> CommandParser:
    """Return the command's options."""
    return make_plot_parser(__doc__)


if __name__ == "__main__":
    run_alone(main)
