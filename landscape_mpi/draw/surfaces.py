"""Draw surfaces in separate pictures or side by side."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from landscape_mpi.draw.folder import check_distinct, make_folder
from landscape_mpi.draw.labels import name_surfaces
from landscape_mpi.draw.space_options import scale_request_of, space_of
from landscape_mpi.errors import InputError

if TYPE_CHECKING:
    from landscape_mpi.store.reader import Surface
    from landscape_mpi.views.panel import Panel
    from landscape_mpi.views.pictures import Picture


def draw_pictures(surfaces: Sequence[Surface], options: argparse.Namespace) -> None:
    """Draw all pictures of surfaces that the options describe, and print their contents."""
    from landscape_mpi.views.canvas import write_figure
    from landscape_mpi.views.page import page_for
    from landscape_mpi.views.panel import summarize
    from landscape_mpi.views.table_file import write_rows

    surfaces = name_surfaces(surfaces, options)
    if options.no_path:
        surfaces = [replace(surface, trajectories=None, curve=None) for surface in surfaces]
    check_room(surfaces, options)
    if options.compare and options.watch and len(surfaces) < len(options.surfaces):
        return  # one of the surfaces has no point yet
    plan = plan_comparisons if options.compare else plan_each
    panels, plans = plan(surfaces, options)
    check_distinct(picture.path for plan in plans for picture in plan)
    make_folder(options.out_dir)

    page = page_for(options.columns, options.cmap)
    for of_surface, pictures in zip(panels, plans, strict=True):
        for panel in of_surface:
            print(f"{panel.surface.path}: {summarize(panel)}")
        for picture in pictures:
            write_figure(picture.draw, picture.path, dpi=options.dpi, page=page)
            print(*picture.words, picture.path, sep="\n", flush=True)
            for path, rows in picture.tables.items():
                write_rows(rows, path)
                print(path, flush=True)


def plan_each(
    surfaces: Sequence[Surface], options: argparse.Namespace
) -> tuple[list[list[Panel]], list[list[Picture]]]:
    """Return for each surface its quantities and their pictures."""
    from landscape_mpi.views.pictures import make_panels, plan_pictures

    scale, place = scale_request_of(options), _place_of(options)
    panels = [make_panels(surface, options.quantity, scale) for surface in surfaces]
    panels = [_mark_critical(of_surface, options) for of_surface in panels]
    return panels, [plan_pictures(of_surface, **place) for of_surface in panels]


def plan_comparisons(
    surfaces: Sequence[Surface], options: argparse.Namespace
) -> tuple[list[list[Panel]], list[list[Picture]]]:
    """Return one entry: the quantities of all surfaces and the pictures that compare them."""
    from landscape_mpi.views.compare import (
        check_comparable,
        make_shared_panels,
        plan_comparison,
    )

    check_comparable(surfaces)
    rows = make_shared_panels(surfaces, options.quantity, scale_request_of(options))
    rows = [_mark_critical(row, options) for row in rows]
    return [[panel for row in rows for panel in row]], [
        plan_comparison(rows, heading=options.title, **_place_of(options))
    ]


def _place_of(options: argparse.Namespace) -> dict[str, Any]:
    place = {"kinds": options.kind, "out_dir": options.out_dir, "suffix": options.format}
    return place | {"smooth": options.smooth, "space": space_of(options)}


def _mark_critical(panels: list[Panel], options: argparse.Namespace) -> list[Panel]:
    if options.critical is None:
        return panels
    from landscape_mpi.views.critical import with_critical

    return [with_critical(panel, options.critical) for panel in panels]


def check_room(surfaces: Sequence[Surface], options: argparse.Namespace) -> None:
    """Check that the pictures fit on the page.

    Raises:
        InputError: If surfaces would stand side by side in one column.
    """
    from landscape_mpi.views.picture_kind import find_kind

    if options.columns != 1 or not options.compare:
        return
    if surfaces[0].is_line or any(find_kind(kind).join is None for kind in options.kind):
        raise InputError(
            "--compare draws surfaces side by side, but --columns 1 leaves no room for that. Pass "
            "--columns 2, or for planes --kind ring, which draws all of them in one pair of axes."
        )
