"""A grid of pictures in one figure: their places, letters and titles, and the one legend."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from landscape_mpi.views.canvas import BESIDE, BOTTOM, LEFT, RIGHT, TITLE_CHARACTER, Canvas, plain
from landscape_mpi.views.page import current_page

MOST_COLUMNS = 3
LETTERS = "abcdefghijkl"
PIECES = re.compile(r"[^\s_/]*[\s_/]+(?:%[\s_/]+)?|[^\s_/]+")  # a number keeps its %
BAR_WIDTH, BAR_WORDS = 0.16, 0.75  # inches: a bar, and its numbers with a short label
TITLE_LINE, WORDS_LINE = 0.19, 0.16  # inches
TITLE_GAP = 0.16  # inches between the axes and the text over them, in all
PAD = 0.08  # inches of that between the axes and the lowest text
HEADING = 0.34  # inches of the title of the whole figure
SMALLEST = 0.75  # of the usual letters of a title: titles get no smaller, but take another line
LETTER_ROOM = 0.22  # inches beside a title, on either side
UNDER_AXES = 0.52  # inches from the axes to the legend
TICKS = 0.4  # inches for the numbers and the label of an axis that is not the lowest


@dataclass(frozen=True)
class Heads:
    """The text over each picture of a grid."""

    titles: Sequence[str]
    words: Sequence[str]  # in small letters below the titles; empty for nothing
    size: float  # size of the titles, over the usual

    @property
    def inches(self) -> float:
        """Return the height of the tallest text."""
        title = max(text.count("\n") + 1 for text in self.titles)
        return (title * TITLE_LINE + self.below) * current_page().letters + TITLE_GAP

    @property
    def below(self) -> float:
        """Return the height of the small text, in inches of the usual page."""
        return WORDS_LINE * max(text.count("\n") + bool(text) for text in self.words)


def columns_of(n: int) -> int:
    """Return the number of pictures side by side."""
    return 2 if n == 4 else min(n, MOST_COLUMNS)


def fit_heads(titles: Sequence[str], words: Sequence[str], inches: float) -> Heads:
    """Make titles fit the width of their pictures, by smaller letters or more lines.

    Args:
        titles: The titles, each in one line.
        words: Small text below each title, in lines.
        inches: Width of a picture.
    """
    character = TITLE_CHARACTER * current_page().letters
    room = (inches - 2 * LETTER_ROOM * (len(titles) > 1)) / character
    longest = max(len(line) for title in titles for line in title.split("\n"))
    size = min(1.0, max(SMALLEST, room / longest))
    width = max(8, int(room / size))
    small = max(12, int(1.2 * inches / character))
    return Heads(
        ["\n".join(_fold(line, width) for line in title.split("\n")) for title in titles],
        ["\n".join(_fold(line, small) for line in text.split("\n")) for text in words],
        size,
    )


def _fold(text: str, width: int) -> str:
    """Fold text into lines of at most this many letters, after spaces, _ and / if possible."""
    lines = [""]
    for piece in PIECES.findall(text):
        if lines[-1] and len(lines[-1]) + len(piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(textwrap.fill(line.rstrip(), width) for line in lines)


@dataclass(frozen=True)
class _Layout:
    """The places of the parts of a grid in its figure, in inches."""

    n: int
    sides: tuple[float, float]  # of the axes
    step: float  # from one column to the next
    over: float  # height of the space between rows
    head: float  # height of the text over the first row

    @property
    def columns(self) -> int:
        return columns_of(self.n)

    @property
    def width(self) -> float:
        """Return the width from the first axes to the last."""
        return (self.columns - 1) * self.step + self.sides[0]

    @property
    def height(self) -> float:
        """Return the height from the lowest axes to the topmost."""
        rows = math.ceil(self.n / self.columns)
        return rows * self.sides[1] + (rows - 1) * self.over

    @property
    def whole(self) -> tuple[float, float]:
        """Return width and height of the figure."""
        return LEFT + self.width + RIGHT, BOTTOM + self.height + self.head

    def corner(self, k: int) -> tuple[float, float]:
        """Return the left and the lower edge of the axes of picture k."""
        row, column = divmod(k, self.columns)
        up = self.height - (row + 1) * self.sides[1] - row * self.over
        return LEFT + column * self.step, BOTTOM + up


def make_grid(
    sides: tuple[float, float],
    n: int,
    *,
    limits: np.ndarray | Sequence[np.ndarray],
    heads: Heads,
    heading: str | None = None,
    has_own_bars: bool = False,
    bar_gap: float = 0.14,
    bar_share: float = 1.0,
    projection: str | None = None,
    between: float = BESIDE,
) -> list[Canvas]:
    """Return canvases in rows of one figure, with axes of this size, in inches.

    Args:
        sides: Width and height of the axes, in inches.
        n: Number of pictures.
        limits: Ranges of all axes, float64 [2, 2], or a list of those of each, which then all have
            numbers and labels.
        heads: Text over the pictures.
        heading: Title of the figure.
        has_own_bars: Whether each picture has a colour bar; otherwise the last has one for all, as
            tall as the grid.
        bar_gap: Inches between axes and bar.
        bar_share: Height of the bar, as a share of its axes.
        projection: Projection of the axes.
        between: Inches between axes that are side by side.
    """
    own_bar = bar_gap + BAR_WIDTH + BAR_WORDS if has_own_bars else 0.0
    is_apart = isinstance(limits, Sequence)
    each: list[Any] = list(limits) if is_apart else [limits] * n
    if is_apart:
        between += LEFT
    is_ragged = n % columns_of(n) > 0 or projection is not None or is_apart
    over = heads.inches + (TICKS if is_ragged else 0.0) * current_page().letters
    head = heads.inches + (HEADING * current_page().letters if heading else 0.0)
    layout = _Layout(n, sides, sides[0] + between + own_bar, over, head)
    figure = Figure(figsize=layout.whole)
    collected: list[list[Artist]] | None = [] if n > 1 else None
    grid = []
    for k in range(n):
        left, bottom = layout.corner(k)
        axes = _add_axes(figure, (left, bottom, *sides), projection=projection)
        height = sides[1]
        if not has_own_bars:
            left, bottom, height = LEFT + layout.width - sides[0], BOTTOM, layout.height
        inches = bar_share * height
        place = left + sides[0] + bar_gap, bottom + (height - inches) / 2, BAR_WIDTH, inches
        bar = _add_axes(figure, place)
        bar.set_visible(False)
        is_first, is_lowest = k % layout.columns == 0, k + layout.columns >= n
        is_last = has_own_bars or k == n - 1
        is_first, is_lowest = is_first or is_apart, is_lowest or is_apart
        canvas = Canvas(figure, axes, bar, inches, each[k], is_first, is_last, is_lowest=is_lowest)
        grid.append(replace(canvas, collected=collected))
    if heading:
        _set_heading(figure, layout, heading)
    return grid


def _set_heading(figure: Figure, layout: _Layout, heading: str) -> None:
    middle, top = LEFT + layout.width / 2, layout.whole[1] - 0.05
    place = middle / layout.whole[0], top / layout.whole[1]
    figure.text(*place, plain(heading), ha="center", va="top", fontsize="x-large")


def _add_axes(figure: Figure, inches: tuple[float, float, float, float], **options: Any) -> Any:
    left, bottom, width, height = np.array(inches) / np.tile(figure.get_size_inches(), 2)
    return figure.add_axes((left, bottom, width, height), **options)


def set_heads(grid: Sequence[Canvas], heads: Heads) -> None:
    """Put letters, titles and small text over the pictures of a grid."""
    letters = current_page().letters
    pad = 72.0 * (PAD + heads.below * letters)
    small = 7.5 * letters
    for k, canvas in enumerate(grid):
        title = canvas.axes.set_title(heads.titles[k], pad=pad)
        title.set_fontsize(heads.size * title.get_fontsize())
        if len(grid) > 1:
            canvas.axes.set_title(LETTERS[k], loc="left", fontweight="bold", pad=pad)
        if heads.words[k]:
            canvas.axes.annotate(
                heads.words[k],
                (0.5, 1.0),
                (0.0, 3.0),
                xycoords="axes fraction",
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize=small,
                color="0.25",
                annotation_clip=False,
            )


def draw_legend(grid: Sequence[Canvas], notes: Sequence[str] = ()) -> None:
    """Draw the one legend of a grid, below it.

    An entry that some pictures lack begins with the letters of the pictures that have it.

    Args:
        grid: The grid, with its pictures drawn.
        notes: Notes about all pictures.
    """
    collected = grid[0].collected
    if collected is None:
        return
    found: dict[str, tuple[Artist, list[int]]] = {}
    for k, entries in enumerate(collected):
        for entry in entries:
            found.setdefault(str(entry.get_label()), (entry, []))[1].append(k)
    legend: list[Artist] = [Line2D([], [], linestyle="none", label=text) for text in notes]
    for label, (entry, places) in found.items():
        if len(set(places)) < len(grid):
            letters = ", ".join(LETTERS[k] for k in dict.fromkeys(places))
            entry = copy(entry)
            entry.set_label(f"{letters}: {label}")
        legend.append(entry)
    if legend:
        _place_legend(grid, legend)


def _place_legend(grid: Sequence[Canvas], entries: Sequence[Artist]) -> None:
    """Put a legend below the lowest axes of a grid, at most as wide as the grid."""
    figure = grid[0].figure
    places = [canvas.axes.get_position() for canvas in grid]
    left, right = min(place.x0 for place in places), max(place.x1 for place in places)
    width, height = figure.get_size_inches()
    lines = max(canvas.axes.get_xlabel().count("\n") for canvas in grid)
    lower = min(place.y0 for place in places) - (UNDER_AXES + WORDS_LINE * lines) / height
    look: dict[str, Any] = {"loc": "upper center", "frameon": False, "handlelength": 1.6}
    for columns in range(min(MOST_COLUMNS, len(entries)), 0, -1):
        legend = figure.legend(
            handles=list(entries),
            bbox_to_anchor=((left + right) / 2, lower),
            ncols=columns,
            **look,
        )
        room = (right - left) * width + 2 * BESIDE
        if columns == 1 or legend.get_window_extent().width / figure.dpi <= room:
            return
        legend.remove()
