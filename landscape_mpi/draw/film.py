"""Films: a turning surface, or several surfaces one after another."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from landscape_mpi.draw.labels import name_surfaces
from landscape_mpi.draw.space_options import scale_request_of, space_of
from landscape_mpi.errors import InputError
from landscape_mpi.options import file_path, number_above_0
from landscape_mpi.output import check_output

if TYPE_CHECKING:
    from landscape_mpi.store.reader import Surface

LONGEST_S = 600.0


def add_film_options(group: argparse._ActionsContainer) -> None:
    """Add --film and --seconds."""
    group.add_argument(
        "--film",
        type=file_path,
        metavar="FILE",
        help="write a film instead, .mp4 (needs the extra [animation]) or .gif; one file gives a "
        "turning surface; several files, e.g. epochs of a training run, are shown one after "
        "another, in the order of the numbers at the end of their names, with the same scale and "
        "box (default kind: surface)",
    )
    group.add_argument(
        "--seconds",
        type=_seconds,
        metavar="S",
        help="length of the film in seconds (default: 10 for a turn, otherwise half a second per "
        "file)",
    )


def check_film(options: argparse.Namespace) -> None:
    """Check the options that go with --film.

    Raises:
        InputError: If an option applies only to pictures, or names more than one film can show.
    """
    if options.film is None:
        if options.seconds is not None:
            raise InputError("--seconds applies only to a film. Pass --film FILE, or leave it out.")
        return
    for option in ("watch", "compare", "title", "columns", "critical", "dpi", "format", "out_dir"):
        if getattr(options, option) not in (None, False):
            name = option.replace("_", "-")
            raise InputError(f"--{name} applies to pictures, not to --film. Leave out one of them.")
    kinds, quantities = options.kind or ["surface"], options.quantity or ["one"]
    for option, named in (("kind", kinds), ("quantity", quantities)):
        if len(named) > 1:
            raise InputError(
                f"--{option} {','.join(named)}: a film shows only one of them. Make several films."
            )
    from landscape_mpi.views.film_file import check_film_name
    from landscape_mpi.views.picture_kind import find_kind

    if find_kind(kinds[0]).join is not None:
        raise InputError(
            f"--kind {kinds[0]} cannot be a film. To draw all files in one picture, pass "
            "--compare instead of --film."
        )
    if len(options.surfaces) == 1 and not find_kind(kinds[0]).is_in_space:
        raise InputError(
            f"--kind {kinds[0]}: a film of one file shows its surface turning. Name more files, "
            "which are then shown one after another, or leave out --kind."
        )
    check_film_name(options.film)
    check_output(options.film, inputs=options.surfaces)


def draw_film(surfaces: Sequence[Surface], options: argparse.Namespace) -> None:
    """Draw surfaces as a film, and print its name and its contents."""
    from landscape_mpi.views.canvas import house_style
    from landscape_mpi.views.film import check_filmable, make_film
    from landscape_mpi.views.film_file import FPS, write_film
    from landscape_mpi.views.page import on_page, page_for
    from landscape_mpi.views.series import times_of, word_of

    check_filmable(surfaces)
    surfaces = name_surfaces(surfaces, options)
    if options.no_path:
        surfaces = [replace(surface, trajectories=None, curve=None) for surface in surfaces]
    times = times_of(options.surfaces, option="--film")
    word = word_of(options.surfaces)
    order = sorted(range(len(times)), key=times.__getitem__)
    with house_style(page := page_for(None, options.cmap)), on_page(page):
        film = make_film(
            [surfaces[k] for k in order],
            *(options.quantity or [None]),
            asked=scale_request_of(options),
            kind=options.kind[0],
            smooth=options.smooth,
            space=space_of(options),
            seconds=options.seconds,
            fps=FPS[options.film.suffix.lower()],
            words=[f"{word} {times[k]:g}" for k in order],
        )
        about = write_film(film, options.film)
    print(f"{options.film}: {about}")
    if film.thinned_from is not None:
        print(f"drawn with fewer points than computed ({'{} x {}'.format(*film.thinned_from)})")


def _seconds(text: str) -> float:
    seconds = number_above_0(text)
    if seconds > LONGEST_S:
        raise argparse.ArgumentTypeError(f"{text} is longer than {LONGEST_S:g} s.")
    return seconds
