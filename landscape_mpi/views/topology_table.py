"""The minima, saddles and maxima of surfaces in words, and as a table of values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from landscape_mpi.views.number_text import step_of, text_to
from landscape_mpi.views.table_file import Rows, write_rows
from landscape_mpi.views.topology import NONE, Topology, coordinates_of, on_border

# The columns of the table, and their meaning; an unknown value is an empty cell.
COLUMNS = {
    "line": "number of the line, if the file has several lines",
    "kind": "minimum, saddle or maximum",
    "number": "number of the point among the points of its kind; the most persistent is 1",
    "alpha": "coordinate along the first direction",
    "beta": "coordinate along the second direction",
    "value": "value of the quantity",
    "persistence": "climb from a minimum, or descent from a maximum, to its saddle",
    "unit": "unit of the persistence",
    "saddle": "number of the saddle of this minimum or maximum",
    "merges_into": "number of the deeper minimum that this minimum merges into",
    "share": "share of the points in the basin of this minimum",
    "on_border": "1 for a point on the border of the grid, otherwise 0",
}
SHARES = (0.1, 1.0, 10.0)  # percent of the surface's height, of the counted basins
LISTED = 8  # largest number of minima in the list


def describe(found: Sequence[Topology]) -> list[str]:
    """Describe the topology in words: of a surface, or of each of several lines in one line."""
    if len(found) == 1:
        return [_title(found[0]), *_counts(found[0]), *_basins(found[0]), *_list_minima(found[0])]
    lines = [f"{_title(found[0])}, {len(found)} lines, each by itself"]
    for number, topology in enumerate(found, 1):
        words = f"  line {number}: {_number(len(topology.minima), 'minimum', 'minima')}"
        lines.append(words + (f"; {say_persistence(topology)}" if len(topology.others) else ""))
    return lines


def _title(topology: Topology) -> str:
    panel = topology.panel
    words = f"{panel.surface.path}: {panel.name}, {panel.surface.shape[0]} x "
    words += f"{panel.surface.shape[1]} points, {topology.neighbours}"
    return words + (
        f", persistence at least {_amount(topology, topology.least)}" * (topology.least > 0)
    )


def _counts(topology: Topology) -> Iterator[str]:
    panel, minima = topology.panel, topology.minima
    left_out = panel.surface.n_points - int(panel.finite.sum())
    if left_out:
        missing = panel.surface.n_points - panel.n_computed
        words = {"not finite": panel.n_not_finite, "not computed": missing}
        named = [f"{_number(n, 'point', 'points')} {what}" for what, n in words.items() if n]
        yield f"left out: {', '.join(named)}"
    if panel.surface.interpolation is not None:
        yield (
            f"{panel.surface.interpolation.words}: a weaker extremum may come from the "
            "interpolation"
        )
    if panel.surface.sampling is not None:
        yield f"{panel.surface.sampling.words}: an extremum weaker than that may be their noise"
    border = int(on_border(panel, minima.point).sum())
    yield f"minima: {len(minima)}" + (f", {border} of them on the border" if border else "")
    if topology.is_line:
        yield f"maxima: {len(topology.saddles)}, each between two minima"
        return
    yield f"saddles: {len(topology.saddles)}"
    yield f"maxima inside the grid: {len(topology.maxima)}"
    if len(topology.rings):
        yield f"rings around points left out: {len(topology.rings)}; each counts as a saddle"
    total = len(minima) - len(topology.saddles) + len(topology.maxima)
    yield f"minima - saddles + maxima: {total}"


def _basins(topology: Topology) -> Iterator[str]:
    low, high = _ends(topology)
    yield f"values: {low:.6g} to {high:.6g}" + (
        f", {topology.height:.3g} decades" if topology.unit == "decades" else ""
    )
    if not len(topology.others):
        above = f", except for climbs of less than {_amount(topology, topology.least)}"
        yield "one basin: every walk downhill ends at its minimum" + above * (topology.least > 0)
        return
    yield f"beside the deepest minimum: {say_persistence(topology)}"
    shares = ", ".join(f"{share:g} %" for share in SHARES)
    counts = [int((topology.others >= share / 100 * topology.height).sum()) for share in SHARES]
    yield f"basins of at least {shares} of the height: {', '.join(map(str, counts))}"


def say_persistence(topology: Topology) -> str:
    """State the largest persistence besides the deepest minimum, and the sum without it."""
    others = topology.others
    largest, total = (_amount(topology, value) for value in (others.max(), others.sum()))
    share = 100 * others.max() / topology.height
    return f"largest persistence {largest}, {share:.3g} % of the height; in all {total}"


def _ends(topology: Topology) -> tuple[float, float]:
    values = topology.panel.values[topology.panel.finite]
    return float(values.min()), float(values.max())


def _amount(topology: Topology, value: float) -> str:
    return f"{value:.3g} {topology.unit}".rstrip()


def _number(n: int, one: str, more: str) -> str:
    return f"{n} {one if n == 1 else more}"


def _list_minima(topology: Topology) -> Iterator[str]:
    """List the places of the most persistent minima, in columns."""
    minima = topology.minima.first(LISTED)
    alpha, beta = coordinates_of(topology.panel, minima.point)
    values = topology.panel.values.ravel()[minima.point]
    surface = topology.panel.surface
    steps = step_of(surface.alpha), step_of(surface.beta)
    border = on_border(topology.panel, minima.point)
    n = len(topology.minima)
    yield "minima, the most persistent first" + (f" ({len(minima)} of {n})" if n > LISTED else "")
    head = f"  {'':>3} {'alpha':>9} {'beta':>9} {'value':>11} {'persistence':>12}"
    yield f"{head} {'basin':>7}  ends in"
    for k in range(len(minima)):
        ends = "never" if topology.into[k] == NONE else f"{topology.into[k] + 1}"
        yield (
            f"  {k + 1:>3} {text_to(alpha[k], steps[0]):>9} {text_to(beta[k], steps[1]):>9} "
            f"{values[k]:>11.5g} "
            f"{minima.persistence[k]:>12.4g} {100 * topology.share[k]:>5.1f} %  {ends}"
            f"{', on the border' if border[k] else ''}"
        )


def write_table(found: Sequence[Topology], path: Path) -> None:
    """Write all points as comma-separated values, whole or not at all.

    Each minimum, saddle and maximum has a row. Minima and maxima are numbered by falling
    persistence. The saddles are those of minima, of maxima, and of rings around points left out,
    which have infinite persistence; a point that is the saddle of two pairs has two rows. Minima
    and maxima name the saddle of their pair (minima of a line: the maximum). Minima also have the
    number of the minimum into which they merge, which gives the merge tree, and their share of the
    points.
    """
    rows: Rows = [list(COLUMNS)]
    for line, topology in enumerate(found, 1):
        rows += _rows(topology, line if len(found) > 1 else "")
    write_rows(rows, path)


def _rows(topology: Topology, line: int | str) -> Iterator[list[object]]:
    minima, maxima, saddles = topology.minima, topology.maxima, topology.saddles
    ended = minima.saddle != NONE
    n, nothing = int(ended.sum()), [""] * max(len(saddles), len(maxima))
    own = np.where(ended, np.cumsum(ended), 0)  # number of the saddle of each minimum
    share = [f"{value:.6g}" for value in topology.share]
    between = "maximum" if topology.is_line else "saddle"
    yield from _rows_of(
        topology, [line, "minimum"], minima.point, minima.persistence, own, topology.into + 1, share
    )
    yield from _rows_of(
        topology, [line, between], saddles, topology.saddle_persistence, nothing, nothing, nothing
    )
    yield from _rows_of(
        topology,
        [line, "maximum"],
        maxima.point,
        maxima.persistence,
        n + 1 + np.arange(len(maxima)),
        nothing,
        nothing,
    )


def _rows_of(
    topology: Topology,
    start: list[object],
    points: np.ndarray,
    persistence: np.ndarray,
    *tree: Sequence[object] | np.ndarray,
) -> Iterator[list[object]]:
    """Return the rows of points of one kind; ``tree`` is their last columns, 0 without a tree."""
    alpha, beta = coordinates_of(topology.panel, points)
    values = topology.panel.values.ravel()[points]
    border = on_border(topology.panel, points)
    for k in range(len(points)):
        place = [repr(float(v[k])) for v in (alpha, beta, values, persistence)]
        named = [column[k] or "" for column in tree]
        yield [*start, k + 1, *place, topology.unit, *named, int(border[k])]
