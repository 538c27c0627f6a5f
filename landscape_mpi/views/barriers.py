"""The lines between several solutions, and the matrix of their barriers beside them."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from landscape_mpi.short_names import short_names
from landscape_mpi.store.lines import MATCH, barriers_of, labels_of, names_of, not_finite_of
from landscape_mpi.views.canvas import (
    HOLE,
    Canvas,
    add_legend,
    floor_notes,
    legend_below,
    plain,
    sheet,
    title_of,
    unit_of,
    wrap,
)
from landscape_mpi.views.line import (
    MEASURES,
    OTHER,
    SPLITS,
    group_over_splits,
    hatch_places,
    label_over_splits,
    scale_axis,
    shown_values,
    split_of,
    without_split,
)
from landscape_mpi.views.page import current_page
from landscape_mpi.views.panel import Panel

WIDTH, HEIGHT = 8.2, 3.2  # inches, of the two pictures of one measure
NARROW = (3.35, 5.0)  # inches, of the two pictures one above the other
ASIDE, ABOVE = 1.0, 0.7  # inches beside the text, and for title and legend
SHADES = colormaps["Blues"]
MOST_NUMBERS, MOST_IN_A_COLUMN = 12, 6  # with more solutions, the cells hold no numbers
SPLIT_WORDS = {"train": "training set", "test": "test set"}


def draw_barriers(panels: list[Panel]) -> Figure:
    """Draw the lines of all pairs for each measure, and their barriers as a matrix."""
    surface = panels[0].surface
    groups = group_over_splits(panels)
    names = short_names(names_of(surface))
    narrow = NARROW[0], NARROW[1] * len(groups) + ABOVE
    size = sheet((WIDTH, HEIGHT * len(groups) + ABOVE), narrow)
    figure = Figure(figsize=size, layout="constrained")
    axes = _place(figure, len(groups))
    holes: dict[object, Artist] = {}
    for (lines, matrix), (measure, group) in zip(axes, groups.items(), strict=True):
        _draw_lines(lines, measure, group)
        _draw_matrix(matrix, measure, group, len(names))
        found = _hatch_lines(lines, group) + _hatch_cells(matrix, group)
        holes |= {hole.get_label(): hole for hole in found}
    for lines in axes[:, 0] if current_page().is_narrow else axes[-1:, 0]:
        lines.set_xlabel("place $t$ on the line")
    figure.suptitle(title_of(surface, max(panel.n_computed for panel in panels)), fontsize="medium")
    entries = [*_entries(panels), *holes.values()]
    entries += [note for panel in panels for note in floor_notes(panel)]
    words = ",  ".join(f"{k}: {n}" for k, n in zip(labels_of(len(names)), names, strict=True))
    if surface.attributes.get(MATCH, "none") != "none":
        words += "; in each pair, the second network's units were permuted to match the first's"
    legend_below(figure, entries, 2, title=wrap(words, size[0] - ASIDE))
    return figure


def draw_pairs_on(panels: list[Panel], canvas: Canvas) -> None:
    """Draw the lines of all pairs on a canvas, for the quantities of one measure."""
    surface, axes = panels[0].surface, canvas.axes
    _draw_lines(axes, without_split(panels[0].name), panels, canvas.sides[1])
    axes.set_xlabel("place $t$ on the line")
    axes.set_title(title_of(surface, max(panel.n_computed for panel in panels)))
    notes = [note for panel in panels for note in floor_notes(panel)]
    add_legend(canvas, [*_entries(panels), *_hatch_lines(axes, panels), *notes])


def _place(figure: Figure, n: int) -> np.ndarray:
    """Return n rows of axes for the lines and their matrix: side by side, or in one column."""
    if current_page().is_narrow:
        return figure.subplots(2 * n, 1, height_ratios=[1.0, 1.25] * n).reshape(n, 2)
    return figure.subplots(n, 2, squeeze=False, width_ratios=[1.25, 1.0])


def _color_of(measure: str) -> str:
    return MEASURES.get(measure, OTHER)[0]


def _draw_lines(axes: Axes, measure: str, panels: list[Panel], inches: float = HEIGHT) -> None:
    for panel in panels:
        dashes = SPLITS.get(panel.name.partition("_")[0], "-")
        values = shown_values(panel)
        for line in range(values.shape[1]):
            there = panel.computed[:, line]
            axes.plot(
                panel.surface.alpha[there],
                values[there, line],
                linestyle=dashes,
                linewidth=1.0,
                alpha=0.8,
                color=_color_of(measure),
            )
    axes.set_ylabel(label_over_splits(measure, panels, HEIGHT))
    axes.set_xlim(0.0, 1.0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25, linewidth=0.6)
    scale_axis(axes, panels, inches)


def _draw_matrix(axes: Axes, measure: str, panels: list[Panel], n: int) -> None:
    """Draw the barriers of the first split above the diagonal, those of the second below it."""
    upper = barriers_of(panels[0].surface, panels[0].name)
    lower = barriers_of(panels[-1].surface, panels[-1].name)
    matrix = np.triu(upper, 1) + np.tril(lower, -1)
    matrix[np.diag_indices(n)] = np.nan
    finite = matrix[np.isfinite(matrix)]
    highest = float(finite.max()) if finite.size and finite.max() > 0 else 1.0
    image = axes.imshow(matrix, cmap=SHADES, vmin=0.0, vmax=1.15 * highest)
    labels = labels_of(n)
    axes.set_xticks(range(n), labels)
    axes.set_yticks(range(n), labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    splits = [SPLIT_WORDS[split] for panel in panels if (split := split_of(panel.name))]
    where = "\n" + (
        f"{splits[0]} above, {splits[1]} below" if len(splits) == 2 else "".join(splits)
    )
    unit = unit_of(panels[0].surface, panels[0].name)
    words = f"barrier of the {measure.replace('_', ' ')}{unit}{where}".rstrip()
    axes.set_title(plain(words), fontsize="small")
    if n > (MOST_IN_A_COLUMN if current_page().is_narrow else MOST_NUMBERS):
        axes.figure.colorbar(image, ax=axes, label=plain(f"barrier{unit}"))
        return
    size = 7.5 * current_page().letters
    for (i, j), value in np.ndenumerate(matrix):
        if np.isfinite(value):
            color = "white" if value > 0.65 * highest else "0.1"
            axes.text(j, i, f"{value:.3g}", ha="center", va="center", color=color, fontsize=size)


def _hatch_lines(axes: Axes, panels: list[Panel]) -> list[Artist]:
    """Hatch the places where a line is not finite; return the legend entry."""
    bad = [(panel.computed & ~panel.finite).any(axis=1) for panel in panels]
    return hatch_places(axes, panels[0].surface.alpha, np.any(bad, axis=0))


def _hatch_cells(axes: Axes, panels: list[Panel]) -> list[Artist]:
    """Hatch the cells of lines that are not finite somewhere; return the legend entry."""
    above, below = (not_finite_of(panel.surface, panel.name) for panel in (panels[0], panels[-1]))
    cells = [*above, *((j, i) for i, j in below)]
    for i, j in cells:
        axes.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, **HOLE))
    return [Patch(label="no barrier: not finite on the line", **HOLE)] if cells else []


def _entries(panels: list[Panel]) -> list[Artist]:
    splits = dict.fromkeys(panel.name.partition("_")[0] for panel in panels)
    looks: list[dict[str, Any]] = [
        {"linestyle": SPLITS[split], "label": SPLIT_WORDS[split]}
        for split in splits
        if split in SPLITS
    ]
    return [Line2D([], [], color="0.3", **look) for look in looks]
