"""The page of a picture: a screen, or one or two columns, with sizes of text and a colour map.

Text keeps its size in points while the axes shrink or grow until the whole picture, cropped, is as
wide as the column. Scaling the picture afterwards would also scale its letters.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

PAD = 0.06  # inches of white around a picture
COLUMNS = {1: 3.35, 2: 6.9}  # inches: the columns of journals with two columns
SMALLEST = 0.15  # of the usual axes: on smaller ones, the text is wider than the column
TRIES = 8
CLOSE = 0.03  # inches
PER_SHARE, STEEPEST = 4.5, 20.0  # inches beside the usual axes of a picture: usually, and at most


@dataclass(frozen=True)
class Page:
    """The sizes of the parts of a picture, and its colour map."""

    width: float | None = None  # inches of the whole picture; None: as needed
    letters: float = 1.0  # size of all text, relative to the usual one
    axes: float = 1.0  # size of the axes, relative to the usual one
    colors: str = "viridis"  # colour map of matplotlib

    @property
    def is_narrow(self) -> bool:
        """Say whether the page is one column, too narrow for two things side by side."""
        return self.width is not None and self.width < COLUMNS[2]

    def style(self) -> dict[str, float]:
        """Return the sizes of text as settings of matplotlib."""
        sizes = {"font.size": 9.0, "axes.titlesize": 10.0, "axes.labelsize": 9.0}
        return {
            name: self.letters * size for name, size in (sizes | {"legend.fontsize": 8.0}).items()
        }


SCREEN = Page()
_page: ContextVar[Page] = ContextVar("page", default=SCREEN)


def page_for(columns: int | None, colors: str | None = None) -> Page:
    """Return the page for this number of columns of a journal, or for a screen.

    Args:
        columns: 1 or 2; None for a screen.
        colors: Colour map; None for the usual one.
    """
    page = SCREEN if columns is None else Page(width=COLUMNS[columns], letters=8.0 / 9.0)
    return page if colors is None else replace(page, colors=colors)


def current_page() -> Page:
    """Return the current page."""
    return _page.get()


@contextmanager
def on_page(page: Page) -> Iterator[None]:
    """Draw on this page."""
    token = _page.set(page)
    try:
        yield
    finally:
        _page.reset(token)


def fit(draw: Callable[[], Figure], page: Page) -> tuple[Figure, Any]:
    """Draw a figure so that it is as wide as its page.

    Args:
        draw: A function that draws it on the current page.
        page: The page, with the first sizes of the axes.

    Returns:
        The figure, and the part of it to write, for matplotlib's ``bbox_inches``.
    """
    with on_page(page):
        figure = draw()
    if page.width is None:
        return figure, "tight"
    best, box = figure, extent_of(figure)
    share, low, high = page.axes, 0.0, 4.0
    last = share, box.width
    fits = box.width <= page.width
    next_share = share * page.width / box.width
    for _ in range(TRIES):
        if fits and page.width - box.width < CLOSE:
            break
        with on_page(replace(page, axes=max(next_share, SMALLEST))):
            figure = draw()
        extent = extent_of(figure)
        share = max(next_share, SMALLEST)
        if extent.width <= page.width:
            low = share
            if not fits or extent.width > box.width:
                best, box, fits = figure, extent, True
        else:
            high = share
            if not fits and extent.width < box.width:
                best, box = figure, extent
        # Labels that take another line make the width jump: then halve the interval.
        per_share = (extent.width - last[1]) / (share - last[0]) if share != last[0] else PER_SHARE
        per_share = per_share if 1.0 < per_share < STEEPEST else PER_SHARE
        last = share, extent.width
        next_share = share + (page.width - 0.5 * CLOSE - extent.width) / per_share
        if not low < next_share < high:
            next_share = (low + high) / 2
    width = max(page.width, box.width)  # a picture that is too wide is not cut
    middle = (box.x0 + box.x1) / 2
    return best, Bbox.from_extents(middle - width / 2, box.y0, middle + width / 2, box.y1)


def extent_of(figure: Figure) -> Bbox:
    """Return all that is drawn with a little white around it, in inches."""
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    return Bbox.from_extents(*box.padded(PAD).extents)
