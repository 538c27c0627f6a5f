"""Show a surface in a Python session and in a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

import numpy as np

from landscape_mpi.store.reader import Surface

HEADS = ("", "unit", "smallest", "largest", "at the center", "computed")
RIGHT = "text-align: right"


def one_line(surface: Surface) -> str:
    """Return file, subject, progress and the range of the first quantity in one line."""
    return f"<LossSurface {surface.path}: {_about(surface)}{_first_range(surface)}>"


def html_card(surface: Surface) -> str:
    """Return a table of the quantities, in the colours and fonts of the page."""
    heads = "".join(f'<th style="{RIGHT}">{head}</th>' for head in HEADS)
    rows = "".join(f"<tr>{row}</tr>" for row in _rows(surface))
    return (
        f"<div><strong>LossSurface</strong> <code>{escape(str(surface.path))}</code><br>"
        f"{escape(_about(surface))}<table><thead><tr>{heads}</tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _about(surface: Surface) -> str:
    known = surface.attributes
    of = f"{known['model']} on {known['data']}, " if {"model", "data"} <= set(known) else ""
    n_alpha, n_beta = surface.shape
    size = f"{n_alpha} x {n_beta} points"
    if surface.n_points == 1:
        size = "1 point"
    elif surface.shape[1] == 1:
        size = f"a line of {n_alpha} points"
    done = int(surface.done.sum())
    far = "all computed" if done == surface.n_points else f"{done:,} computed"
    if surface.interpolation is not None:
        n = surface.interpolation.n_points
        far = f"{done - n:,} computed, {n:,} interpolated to {surface.interpolation.tolerance}"
    if surface.sampling is not None:
        far += f", {surface.sampling.title}"
    far = far.removeprefix("all ") if surface.n_points == 1 else far
    more = "".join(f"; {what}" for what in _lying_in(surface))
    return f"{of}{size}, {far}{more}"


def _lying_in(surface: Surface) -> Iterator[str]:
    """Yield descriptions of trajectories, curves and solutions in the plane."""
    if surface.trajectories is not None:
        n = len(surface.trajectories.runs)
        yield "a trajectory" if n == 1 else f"{n} trajectories"
    if surface.curve is not None:
        yield "a curve"
    if surface.marks:
        yield f"{len(surface.marks)} solutions"


def _first_range(surface: Surface) -> str:
    for name, values in surface.values.items():
        finite = values[np.isfinite(values)]
        if finite.size == 1:
            return f"; {name} {finite[0]:.4g}"
        if finite.size:
            return f"; {name} {finite.min():.4g} to {finite.max():.4g}"
    return ""


def _rows(surface: Surface) -> Iterator[str]:
    for name, values in surface.values.items():
        finite = values[np.isfinite(values)]
        unit = surface.units[name]
        cells = [
            "" if unit == "1" else unit,
            _number(finite.min()) if finite.size else "",
            _number(finite.max()) if finite.size else "",
            _number(values[surface.center]) if surface.center is not None else "",
            f"{int(surface.done_of[name].sum()):,}",
        ]
        words = escape(surface.long_names[name])
        head = f'<th style="{RIGHT}" title="{words}">{escape(name)}</th>'
        yield head + "".join(f'<td style="{RIGHT}">{escape(cell)}</td>' for cell in cells)


def _number(value: float) -> str:
    return f"{value:.4g}"
