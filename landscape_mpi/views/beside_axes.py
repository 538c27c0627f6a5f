"""A colour bar beside axes that are already in a figure, and a legend below them.

Both take their room from the axes if the figure has no layout engine. If it has one
(layout="constrained" or "tight"), the engine makes the room.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.colorbar import make_axes, make_axes_gridspec
from matplotlib.transforms import Bbox, ScaledTranslation, Transform

BAR = 0.15  # inches, width of a colour bar
GAP = 0.1  # inches between the bar and flat axes
GAP_IN_SPACE = 0.14  # the same as a share of axes in space, which have labels there
WORDS = 0.75  # inches for the numbers of the bar and its label
TITLE = 0.25  # inches for the title of axes that may stand below
MOST = 0.4  # the largest share of the axes that a bar takes
UNDER = 0.06  # inches between the lowest label and the legend
LINE = 0.2  # inches, height of a line of the legend
WIDER = 0.3  # inches by which a legend may be wider than axes
PASSES = 2
WRAPS = 3  # attempts to break the texts of a legend into lines that fit
SHORTEST = 12  # letters of a line: shorter lines are hard to read
LEFT_BY_LAYOUT = 0.8  # of axes, when a layout engine has made room for labels, bar and legend


def inches_of(axes: Axes) -> tuple[float, float]:
    """Return width and height of axes as they are now, in inches."""
    place, figure = axes.get_position(), axes.get_figure(root=False)
    assert figure is not None
    whole = figure.bbox
    return float(place.width * whole.width / figure.dpi), float(
        place.height * whole.height / figure.dpi
    )


def sides_in_the_end(axes: Axes) -> tuple[float, float]:
    """Return the approximate width and height of axes once all is drawn, in inches."""
    share = LEFT_BY_LAYOUT if has_layout(axes) else 1.0
    width, height = inches_of(axes)
    return share * width, share * height


def room_beside(axes: Axes) -> float:
    """Return how much wider than high the place of axes in space is, in inches."""
    figure = axes.get_figure(root=False)
    assert figure is not None
    place = axes.get_position(original=True)
    width, height = figure.bbox.width / figure.dpi, figure.bbox.height / figure.dpi
    return float(max(0.0, place.width * width - place.height * height))


def settle_layout(axes: Axes) -> None:
    """Let the layout engine of a figure, if there is one, place its axes.

    It takes several passes until the room for labels and pictures of fixed aspect fit each other;
    drawing a figure makes one.
    """
    figure = axes.get_figure(root=True)
    engine = None if figure is None else figure.get_layout_engine()
    if figure is not None and engine is not None:
        for _ in range(PASSES):
            engine.execute(figure)


def bar_beside(axes: Axes, share: float) -> Axes:
    """Return empty axes for a colour bar to the right of others, as tall as a share of them.

    Args:
        axes: Flat or in space. Their picture keeps its aspect, and the bar stays beside it.
        share: Height of the bar, as a share of their height.
    """
    width = inches_of(axes)[0]
    gap = GAP_IN_SPACE * width if axes.name == "3d" else GAP
    laid_out = has_layout(axes)
    inches = BAR if laid_out else BAR + WORDS
    how: dict[str, Any] = {"location": "right", "aspect": None, "panchor": False, "shrink": share}
    how |= {"pad": gap / width, "fraction": min(MOST, inches / width)}
    make = make_axes_gridspec if _is_of_grid(axes) else make_axes
    bar, _ = make(axes, **how)
    bar.set_axes_locator(_Beside(axes, share, gap))  # type: ignore[arg-type]
    return bar


def legend_under(axes: Axes, entries: Sequence[Artist]) -> None:
    """Put a legend below the labels of axes, about as wide as they are.

    Wider texts are broken into lines, because a layout engine would shrink the axes to fit them.
    """
    figure = axes.get_figure(root=False)
    assert figure is not None
    if not has_layout(axes):
        _free_space_below(axes, UNDER + LINE * len(entries) + TITLE)
    drop = ScaledTranslation(0.0, -_reach_below(axes) - UNDER, figure.dpi_scale_trans)
    room = max(sides_in_the_end(axes)[0] + WIDER, _cell_inches(axes))
    texts = [str(entry.get_label()) for entry in entries]
    for columns in range(min(3, len(entries)), 0, -1):
        width = _draw_legend(axes, entries, texts, columns, drop)
        if width <= room:
            return
    longest = max(map(len, texts))
    for _ in range(WRAPS):
        longest = min(longest - 1, int(longest * room / width))
        if longest < SHORTEST:
            return
        texts = [textwrap.fill(text, longest, break_long_words=False) for text in texts]
        width = _draw_legend(axes, entries, texts, 1, drop)
        if width <= room:
            return


def _cell_inches(axes: Axes) -> float:
    """Return the width that a grid gives to axes, their labels and bar, in inches; 0 if unknown."""
    spec, figure = axes.get_subplotspec(), axes.get_figure(root=True)
    if spec is None or figure is None:
        return 0.0
    spec = spec.get_topmost_subplotspec()
    return float(spec.get_position(figure).width * figure.bbox.width / figure.dpi)


def _draw_legend(
    axes: Axes, entries: Sequence[Artist], texts: list[str], columns: int, drop: Transform
) -> float:
    """Draw the legend in place of the last one; return its width in inches."""
    figure = axes.get_figure(root=False)
    assert figure is not None
    place: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, 0.0)}
    look: dict[str, Any] = {
        "borderaxespad": 0.0,
        "frameon": False,
        "handlelength": 1.6,
        "fontsize": "small",
    }
    legend = axes.legend(
        handles=list(entries),
        labels=texts,
        bbox_transform=axes.transAxes + drop,
        ncols=columns,
        **place,
        **look,
    )
    return float(legend.get_window_extent().width / figure.dpi)


class _Beside:
    """The place of a bar: beside the picture in the axes, also if the picture keeps its aspect."""

    def __init__(self, axes: Axes, share: float, gap: float) -> None:
        self._axes, self._share, self._gap = axes, share, gap

    def __call__(self, bar: Axes, renderer: RendererBase | None) -> Bbox:
        """Return the place in the figure."""
        box, figure = self._axes.get_position(), self._axes.get_figure(root=False)
        assert figure is not None
        inches = figure.bbox.width / figure.dpi
        height = self._share * box.height
        lower = box.y0 + (box.height - height) / 2
        return Bbox.from_bounds(box.x1 + self._gap / inches, lower, BAR / inches, height)


def has_layout(axes: Axes) -> bool:
    """Say whether a layout engine places the axes when their figure is drawn."""
    figure = axes.get_figure(root=True)
    return figure is not None and figure.get_layout_engine() is not None


def _is_of_grid(axes: Axes) -> bool:
    """Say whether the axes are in a cell of a grid, which a bar can share."""
    figure = axes.get_figure(root=True)
    engine = None if figure is None else figure.get_layout_engine()
    allowed = engine is None or engine.colorbar_gridspec
    return axes.get_subplotspec() is not None and allowed


def _free_space_below(axes: Axes, inches: float) -> None:
    """Take this much height from the bottom of the axes."""
    height = inches_of(axes)[1]
    share = min(MOST, inches / height)
    spec = axes.get_subplotspec()
    if spec is not None:
        rows = spec.subgridspec(2, 1, hspace=0.0, height_ratios=[1 - share, share])
        axes.set_subplotspec(rows[0])
        return
    box = axes.get_position(original=True)
    axes.set_position((box.x0, box.y0 + share * box.height, box.width, (1 - share) * box.height))


def _reach_below(axes: Axes) -> float:
    """Return how far the labels of axes reach below them, in inches."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    parts: list[Axis] = [axes.xaxis]
    if axes.name == "3d":
        parts.append(axes.yaxis)
        figure.draw_without_rendering()  # the places of labels in space are unknown before this
    axes.apply_aspect()
    boxes = [part.get_tightbbox() for part in parts]
    lowest = min((box.y0 for box in boxes if box is not None), default=axes.bbox.y0)
    return float(max(0.0, axes.bbox.y0 - lowest) / figure.dpi)
