"""What a picture is for: a screen, or one or two columns of a page; its letters, width, colours.

Text keeps its size in points while the axes shrink or grow until the whole picture, cropped, is
as wide as the column: a picture that is scaled afterwards has letters of any size.
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
COLUMNS = {1: 3.35, 2: 6.9}  # inches: what journals of two columns give
SMALLEST = 0.15  # of the usual axes: below, the text alone is wider than the column
TRIES = 8
CLOSE = 0.03  # inches
PER_SHARE, STEEPEST = 4.5, 20.0  # inches that the usual axes add to a picture, about and at most


@dataclass(frozen=True)
class Page:
    """How large the parts of a picture are."""

    width: float | None = None  # inches of the whole picture; None: as wide as it comes
    letters: float = 1.0  # size of all text, over the usual
    axes: float = 1.0  # size of the axes, over the usual
    colors: str = "viridis"  # map of colours, one of matplotlib

    @property
    def is_narrow(self) -> bool:
        """Say whether the page is one column, where no two things stand side by side."""
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
    """Return the page for so many columns of a journal, None for a screen.

    Args:
        columns: 1 or 2, or None.
        colors: Map of colours; None for the usual one.
    """
    page = SCREEN if columns is None else Page(width=COLUMNS[columns], letters=8.0 / 9.0)
    return page if colors is None else replace(page, colors=colors)


def current_page() -> Page:
    """Return the page that is being drawn on."""
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
    """Draw a figure as wide as its page.

    Args:
        draw: Draws it on the current page.
        page: The page, with the axes to begin with.

    Returns:
        The figure, and what of it to write, for matplotlib's ``bbox_inches``.
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
        # Labels that take another line make the width jump: then halve what is left.
        per_share = (extent.width - last[1]) / (share - last[0]) if share != last[0] else PER_SHARE
        per_share = per_share if 1.0 < per_share < STEEPEST else PER_SHARE
        last = share, extent.width
        next_share = share + (page.width - 0.5 * CLOSE - extent.width) / per_share
        if not low < next_share < high:
            next_share = (low + high) / 2
    width = max(page.width, box.width)  # what is too wide is not cut
    middle = (box.x0 + box.x1) / 2
    return best, Bbox.from_extents(middle - width / 2, box.y0, middle + width / 2, box.y1)


def extent_of(figure: Figure) -> Bbox:
    """Return all that is drawn with a little white around it, in inches."""
    figure.draw_without_rendering()
    box = figure.get_tightbbox()
    return Bbox.from_extents(*box.padded(PAD).extents)
