"""Draw files that are not surfaces: weights of trainings, spectra, ensembles."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from landscape_mpi.draw.folder import check_distinct, make_folder

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")


def draw_spectra(options: argparse.Namespace) -> None:
    """Draw the density of eigenvalues of each file, and print the picture's name."""
    from landscape_mpi.store.spectrum import read_spectrum
    from landscape_mpi.views.spectrum import draw_spectrum, picture_of

    draw_each(options, options.spectrum, read_spectrum, draw_spectrum, picture_of)


def draw_ensembles(options: argparse.Namespace) -> None:
    """Draw the run of each ensemble, and print the picture's name."""
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
    pictures = [picture_of(path, out_dir=options.out_dir, suffix=options.format) for path in paths]
    check_distinct(pictures)
    make_folder(options.out_dir)
    for picture, content in zip(pictures, contents, strict=True):
        page = page_for(options.columns)
        write_figure(partial(draw, content), picture, dpi=options.dpi, page=page)
        print(picture)


def draw_runs(options: argparse.Namespace) -> None:
    """Draw the weights of trainings into one figure, and print its file."""
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
