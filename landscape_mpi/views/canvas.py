"""The frame of every figure: size, title, axis labels, colour bar, legend, file.

Axes of planes are placed in inches, not fitted: a rectangle keeps its shape, its colour bar is
as tall as itself, and the legend stays below, whatever the ranges. A canvas can also be made of
axes that the user has placed: see views/given_axes.py.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.style
import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from landscape_mpi.errors import InputError
from landscape_mpi.output import whole_file
from landscape_mpi.registry import named_path
from landscape_mpi.store.reader import Surface
from landscape_mpi.store.schema import PRECISION_WARNING
from landscape_mpi.views.beside_axes import (
    bar_beside,
    inches_of,
    legend_under,
    sides_in_the_end,
)
from landscape_mpi.views.coordinate_ticks import CoordinateFormatter
from landscape_mpi.views.levels import Scale, format_levels
from landscape_mpi.views.page import PAD, SCREEN, Page, current_page, fit
from landscape_mpi.views.panel import Panel

STYLE = {
    "hatch.linewidth": 0.6,
    "pdf.fonttype": 42,  # journals refuse type 3 fonts
    "svg.hashsalt": "landscape_mpi",  # the same picture is the same file
}
LUMINANCE = np.array([0.2126, 0.7152, 0.0722])  # shares of red, green and blue
LIGHTEST = 0.75  # largest luminance of a thin line that can be seen on white
HOLE: dict[str, Any] = {
    "facecolor": "0.85",
    "edgecolor": "0.45",
    "hatch": "////",
    "linewidth": 0.0,
}
CENTER: dict[str, Any] = {
    "marker": "*",
    "color": "white",
    "markeredgecolor": "black",
    "markeredgewidth": 0.8,
    "markersize": 9.0,
    "linestyle": "none",
}
UNDATED: dict[str, dict[str, None]] = {
    "pdf": {"CreationDate": None},
    "svg": {"Date": None},
    "png": {},
}

LEFT, RIGHT, BOTTOM, TOP = 0.9, 2.0, 1.1, 0.7  # inches around the axes, cropped on writing
LONG_SIDE = 4.2  # inches
EQUAL_UP_TO = 2.5  # largest ratio of the ranges of axes that gets equal aspect
BRACKETS = re.compile(r"\([^()]{,24}\)")
HARD_SPACE = "\N{NO-BREAK SPACE}"  # textwrap does not break there
CHARACTER, TITLE_CHARACTER = 0.064, 0.078  # inches, mean width of a letter
TICK_HEIGHT = 0.19  # inches
LETTERS = 0.7  # of that: the part that the letters take
BESIDE = 0.35  # inches between pictures of a row that share an axis
NARROW = 3.0  # inches: narrower axes have short labels
SMALL = 3.0  # inches: notes below given axes that are narrower are short
SNUG = 0.8  # share of given axes: a longer label is replaced by its letter


@dataclass(frozen=True)
class Canvas:
    """A figure with one pair of axes and the place of its colour bar."""

    figure: Any  # matplotlib's Figure, or SubFigure
    axes: Any  # matplotlib's Axes, or Axes3D
    bar: Axes | None  # empty and not shown until there is a colour bar; None: taken from the axes
    bar_inches: float  # height of the colour bar
    limits: np.ndarray | None = None  # float64 [2, 2], ranges that all axes of a grid share
    is_first: bool = True  # of its row: only this one has the labels of the vertical axis
    is_last: bool = True  # of a grid: only this one has the colour bar, unless each has its own
    is_given: bool = False  # whether the axes are the user's: then their place is fixed
    has_legend: bool = True
    is_lowest: bool = True  # of its column of a grid: it has the labels of the horizontal axis
    # Entries of the one legend of a grid, a list for each picture drawn; None: each has its own
    # legend.
    collected: list[list[Artist]] | None = None

    @property
    def sides(self) -> tuple[float, float]:
        """Return width and height of the axes, in inches; approximate for given axes."""
        return (sides_in_the_end if self.is_given else inches_of)(self.axes)

    @property
    def is_narrow(self) -> bool:
        """Say whether only short labels have room."""
        return not self.is_given and self.sides[0] < NARROW

    @property
    def has_short_notes(self) -> bool:
        """Say whether only short notes have room below given axes."""
        return self.is_given and self.sides[0] < SMALL


@contextmanager
def house_style(page: Page = SCREEN) -> Iterator[None]:
    """Draw in the style of the house, whatever the user's matplotlibrc."""
    with matplotlib.style.context(["default", STYLE | page.style()]):
        yield


def write_figure(draw: Callable[[], Figure], path: Path, *, dpi: int, page: Page = SCREEN) -> None:
    """Draw a figure in the style of the house, and write it.

    The file is replaced in one step, since somebody may be looking at the previous one.

    Raises:
        InputError: If the file cannot be written.
    """
    kind = path.suffix[1:]
    with house_style(page), whole_file(path) as partial:
        figure, box = fit(draw, page)
        look: dict[str, Any] = {"dpi": dpi, "bbox_inches": box, "pad_inches": PAD}
        try:
            figure.savefig(partial, format=kind, metadata=UNDATED[kind], **look)
        except OSError as problem:
            raise InputError(
                f"{path}: cannot be written ({problem.strerror}). Pass another --out-dir."
            ) from problem


def make_canvas(
    width: float,
    height: float,
    *,
    bar_share: float = 1.0,
    bar_gap: float = 0.14,
    projection: str | None = None,
    n_beside: int = 1,
) -> Canvas:
    """Return a figure with axes of this size, in inches, and a bar beside them.

    The figure has room for n such pairs side by side; this is the first.
    """
    whole = np.array([n_beside * (LEFT + width + RIGHT), BOTTOM + height + TOP])

    def add(x: float, y: float, w: float, h: float, **options: Any) -> Any:
        place = np.array([x, y, w, h]) / np.tile(whole, 2)
        return figure.add_axes((place[0], place[1], place[2], place[3]), **options)

    figure = Figure(figsize=(float(whole[0]), float(whole[1])))
    axes = add(LEFT, BOTTOM, width, height, projection=projection)
    bar_inches = bar_share * height
    bar = add(LEFT + width + bar_gap, BOTTOM + (height - bar_inches) / 2, 0.16, bar_inches)
    bar.set_visible(False)
    return Canvas(figure, axes, bar, bar_inches)


def make_next_canvas(canvas: Canvas, n_beside: int) -> Canvas:
    """Return axes and a bar of the same size beside others, in the same figure."""
    figure = canvas.figure
    step = 1 / n_beside
    assert canvas.bar is not None
    axes, bar = (
        figure.add_axes((place.x0 + step, place.y0, place.width, place.height))
        for place in (canvas.axes.get_position(), canvas.bar.get_position())
    )
    bar.set_visible(False)
    return Canvas(figure, axes, bar, canvas.bar_inches)


def sides_of(x_range: float, y_range: float) -> tuple[float, float]:
    """Return width and height of the axes, in inches: equal aspect for comparable ranges."""
    ratio = y_range / x_range
    side = LONG_SIDE * current_page().axes
    if not is_comparable(x_range, y_range):
        return side, 0.8 * side
    return min(side, side / ratio), min(side, side * ratio)


def is_comparable(x_range: float, y_range: float) -> bool:
    """Say whether two ranges get the same scale on paper."""
    return 1 / EQUAL_UP_TO <= y_range / x_range <= EQUAL_UP_TO


def scaled(inches: tuple[float, float]) -> tuple[float, float]:
    """Scale width and height, in inches, to the current page."""
    return inches[0] * current_page().axes, inches[1] * current_page().axes


def sheet(usual: tuple[float, float], narrow: tuple[float, float]) -> tuple[float, float]:
    """Return width and height of a whole figure on the current page, in inches.

    Args:
        usual: Sides for a screen, and for both columns of a page.
        narrow: Sides for one column, where panels stand one above the other.
    """
    return scaled(narrow if current_page().is_narrow else usual)


def title_of(surface: Surface, n_computed: int, inches: float = LONG_SIDE) -> str:
    """Return model and data, or the file's name, and the progress of a partial surface.

    Args:
        surface: The surface.
        n_computed: How many of its points are computed.
        inches: Length of a line on the usual page.
    """
    inches *= current_page().axes
    known = [str(surface.attributes.get(key, "")) for key in ("model", "data")]
    known[1] = name_of_data(known[1])
    text = surface.label or ", ".join(word for word in known if word) or surface.path.stem
    title = wrap(text, inches, TITLE_CHARACTER)
    if n_computed < surface.n_points:
        title += f"\n{n_computed} of {count_points(surface.n_points)}"
    if surface.interpolation is not None:
        words = wrap(surface.interpolation.title, LONG_SIDE * current_page().axes, TITLE_CHARACTER)
        title += f"\n{words}"
    if surface.sampling is not None:
        words = wrap(surface.sampling.title, LONG_SIDE * current_page().axes, TITLE_CHARACTER)
        title += f"\n{words}"
    if warning := str(surface.attributes.get(PRECISION_WARNING, "")):
        words = warning.partition(":")[0]
        title += f"\n{wrap(words, inches, TITLE_CHARACTER)}"
    return title


def name_of_data(data: str) -> str:
    """Return the value of --data without its folder; for npz:FILE and the like, the file alone."""
    return Path(named_path(data) or "").name or data


def label_of(surface: Surface, name: str, inches: float) -> str:
    """Return the long name and the unit of a quantity, in lines of this length."""
    return wrap(surface.long_names[name] + unit_of(surface, name), inches)


def short_label_of(panel: Panel) -> str:
    """Return the name and the unit of a quantity, for places with little room."""
    return plain(panel.name.replace("_", " ") + unit_of(panel.surface, panel.name))


def unit_of(surface: Surface, name: str) -> str:
    """Return the unit of a quantity in brackets, nothing for a pure number."""
    unit = surface.units[name]
    return {"1": "", "": "", "percent": " (%)"}.get(unit, f" ({unit})")


def axis_label(surface: Surface, name: str, inches: float) -> str:
    """Return the Greek letter of an axis and its meaning, in lines of this length."""
    # One letter stands in for the Greek one while the lines are counted.
    text = wrap("x: " + surface.long_names[name], inches)
    return rf"$\{name}$" + text[1:]


def wrap(text: str, inches: float, character: float = CHARACTER) -> str:
    """Return text in lines of this length, so that mathtext leaves it alone.

    What stands in brackets stays in one line if it fits.
    """
    width = max(12, int(inches / (character * current_page().letters)))
    kept = BRACKETS.sub(lambda found: found[0].replace(" ", HARD_SPACE), text)
    return plain(textwrap.fill(kept, width).replace(HARD_SPACE, " "))


def plain(text: str) -> str:
    """Return text so that mathtext leaves it alone."""
    return text.replace("$", r"\$")


def color_map() -> Colormap:
    """Return the colour map of the current page."""
    return colormaps[current_page().colors]


def line_colors() -> Colormap:
    """Return the page's colour map for thin lines on white, with the light colours darkened."""
    colors = color_map()(np.linspace(0.0, 1.0, 256))
    light = colors[:, :3] @ LUMINANCE
    colors[:, :3] *= np.minimum(1.0, LIGHTEST / np.maximum(light, LIGHTEST))[:, None]
    return ListedColormap(colors)


def norm_of(scale: Scale) -> Normalize:
    """Return the map from heights to colours: between their ends, or around a constant."""
    around = scale.bands[[0, -1]] if scale.is_constant else (scale.low, scale.high)
    low, high = scale.height(np.array(scale.clipped or around))
    return Normalize(float(low), float(high))


def bar_ticks(scale: Scale) -> np.ndarray:
    """Return the labelled values of a colour bar: round ones, and the ends that were requested."""
    if scale.clipped is not None:
        ends = [end for end in scale.clipped if end not in (scale.low, scale.high)]
        return np.union1d(scale.levels, ends)
    if scale.is_constant:
        low, high = scale.bands[[0, -1]]
        ticks = np.asarray(MaxNLocator(4).tick_values(low, high))
        return ticks[(ticks > low) & (ticks < high)]
    return scale.levels


def add_color_bar(
    canvas: Canvas, mappable: ScalarMappable, panel: Panel, ticks: np.ndarray
) -> None:
    """Add a colour bar of heights with long name and unit, labelled with the values ticks."""
    assert panel.scale is not None
    if not canvas.is_last:
        return
    place = canvas.bar or bar_beside(canvas.axes, canvas.bar_inches / canvas.sides[1])
    place.set_visible(True)
    # A contour set itself says how it colours values beyond its ends. Its bands are as high on the
    # bar as their values are apart, as on the bars of the other pictures.
    ends = beyond_colors(panel.scale)
    bar = canvas.figure.colorbar(mappable, cax=place, extend=ends, spacing="proportional")
    room = canvas.bar_inches / (TICK_HEIGHT * current_page().letters)
    ticks = thin_out(ticks, max(2, int(room)))
    ticks = ticks[are_apart(_shares_of(bar.ax, panel.scale.height(ticks)), LETTERS / room)]
    bar.ax.yaxis.set_major_locator(FixedLocator(list(panel.scale.height(ticks))))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.set_yticklabels(format_levels(ticks))
    label = label_of(panel.surface, panel.name, canvas.bar_inches)
    if canvas.is_narrow or (canvas.is_given and "\n" in label):
        label = short_label_of(panel)
    bar.set_label(label)


def beyond_colors(scale: Scale) -> str:
    """Return on which sides values lie beyond the colours, in matplotlib's words."""
    if scale.clipped is None:
        return "neither"
    below, above = scale.clipped[0] > scale.low, scale.clipped[1] < scale.high
    return {(False, False): "neither", (True, True): "both"}.get(
        (below, above), "min" if below else "max"
    )


def _shares_of(bar: Axes, heights: np.ndarray) -> np.ndarray:
    """Return how far up a bar heights lie, from 0 to 1."""
    scale = bar.yaxis.get_transform()
    bottom, top = scale.transform(np.array(bar.get_ylim()))
    return np.asarray((scale.transform(heights) - bottom) / (top - bottom))


def are_apart(shares: np.ndarray, least: float) -> np.ndarray:
    """Say which ticks have room for their labels, bool [n].

    Args:
        shares: How far up an axis the ticks lie, rising, from 0 to 1.
        least: Least distance to the last tick that is kept.
    """
    keep = np.ones(len(shares), bool)
    last = -np.inf
    for k, share in enumerate(shares):
        keep[k] = share - last >= least
        last = share if keep[k] else last
    return keep


def thin_out(ticks: np.ndarray, most: int, *, decades: bool = False) -> np.ndarray:
    """Return every k-th of the ticks, with the smallest k that keeps within the limit.

    Args:
        ticks: Rising values.
        most: The limit.
        decades: Whether to begin where most powers of ten are kept; then all ticks are positive.
    """
    step = max(1, -(-len(ticks) // most))
    if not decades:
        return ticks[::step]
    exponents = np.log10(ticks)
    is_power = np.isclose(exponents, np.round(exponents), rtol=0, atol=1e-9)
    start = max(range(step), key=lambda first: is_power[first::step].sum())
    return ticks[start::step]


def frame_plane(canvas: Canvas, surface: Surface, sides: tuple[float, float]) -> None:
    """Label a picture with alpha to the right and beta upward."""
    axes = canvas.axes
    if canvas.is_lowest:
        axes.set_xlabel(label_with_room(canvas, surface, "alpha", sides[0]))
    else:
        axes.tick_params(axis="x", labelbottom=False)
    if canvas.is_first:
        axes.set_ylabel(label_with_room(canvas, surface, "beta", sides[1]))
    else:
        axes.tick_params(axis="y", labelleft=False)
    for axis, inches in zip((axes.xaxis, axes.yaxis), sides, strict=True):
        axis.set_major_locator(round_ticks(inches))
        axis.set_major_formatter(CoordinateFormatter(inches if axis is axes.xaxis else None))


def round_ticks(inches: float, most: int = 100) -> MaxNLocator:
    """Return a locator of at most this many round ticks for an axis of this length in inches."""
    return MaxNLocator(min(most, max(3, int(1.4 * inches))), steps=[1, 2, 2.5, 5, 10])


def label_with_room(canvas: Canvas, surface: Surface, name: str, inches: float) -> str:
    """Return the label of an axis, or only its letter on narrow or small given axes."""
    label = axis_label(surface, name, SNUG * inches if canvas.is_given else inches)
    is_short = canvas.is_narrow or (canvas.is_given and "\n" in label)
    return rf"$\{name}$" if is_short else label


def mark_center(axes: Axes, surface: Surface) -> list[Artist]:
    """Mark (0, 0) if it is in the plane; return its entry for the legend."""
    if not all(axis.min() <= 0 <= axis.max() for axis in (surface.alpha, surface.beta)):
        return []
    axes.plot(0.0, 0.0, zorder=5, clip_on=False, **CENTER)
    return [center_entry()]


def center_entry() -> Artist:
    """Return the legend entry of the center."""
    return Line2D([], [], label="center (0, 0)", **CENTER)


def notes_of(panel: Panel) -> list[Artist]:
    """Return the legend entries for points that colours cannot show."""
    notes = floor_notes(panel)
    if panel.smoothed > 1:
        label = f"smoothed: spline, {panel.smoothed} x finer than computed"
        notes = [Line2D([], [], linestyle="none", label=label), *notes]
    if panel.thinned_from is not None:
        drawn, computed = (f"{n} x {m}" for n, m in (panel.surface.shape, panel.thinned_from))
        label = f"{drawn} of {computed} points drawn"
        notes = [Line2D([], [], linestyle="none", label=label), *notes]
    if panel.n_not_finite:
        label = f"not finite: {count_points(panel.n_not_finite)}"
        return [Patch(label=label, **HOLE), *notes]
    return notes


def floor_notes(panel: Panel) -> list[Artist]:
    """Return the legend entry for values that a scale cannot show, or for where it is linear."""
    if panel.scale is not None and panel.scale.kind == "symlog" and not panel.scale.is_constant:
        near = format_levels(np.array([panel.scale.threshold]))[0]
        text = f"linear from -{near} to {near}, logarithmic beyond"
        return [Line2D([], [], linestyle="none", label=text)]
    if panel.scale is None or not panel.scale.n_floored:
        return []
    count = count_points(panel.scale.n_floored)
    text = f"{plain(panel.name)} zero or negative: {count}, drawn as the smallest"
    return [Patch(label=text, facecolor=color_map()(0.0))]


def count_points(n: int) -> str:
    """Return n with its noun."""
    return f"{n} point" if n == 1 else f"{n} points"


def add_legend(canvas: Canvas, entries: Sequence[Artist]) -> None:
    """Put the legend below the axes, where it hides nothing, no wider than its page."""
    if canvas.collected is not None:
        canvas.collected.append(list(entries))
        return
    if not entries or not canvas.has_legend:
        return
    if canvas.is_given:
        legend_under(canvas.axes, entries)
        return
    place = canvas.axes.get_position()
    height = canvas.figure.bbox.height / canvas.figure.dpi
    lower = place.y0 - (0.52 + 0.16 * _extra_lines(canvas)) / height
    room = current_page().width or np.inf
    for columns in range(min(3, len(entries)), 0, -1):
        legend = canvas.figure.legend(
            handles=list(entries),
            loc="upper center",
            bbox_to_anchor=((place.x0 + place.x1) / 2, lower),
            ncols=columns,
            frameon=False,
            handlelength=1.6,
        )
        if columns == 1 or legend.get_window_extent().width / canvas.figure.dpi <= room:
            return
        legend.remove()


def legend_below(figure: Figure, entries: Sequence[Any], most: int, **look: Any) -> None:
    """Put a legend below all axes of a figure with a layout, no wider than the figure.

    Args:
        figure: A figure with constrained layout.
        entries: Entries of the legend.
        most: Number of columns to begin with.
        look: Further options of the legend.
    """
    place: dict[str, Any] = {"loc": "outside lower center", "frameon": False, **look}
    for columns in range(max(1, min(most, len(entries))), 0, -1):
        legend = figure.legend(handles=list(entries), ncols=columns, **place)
        if columns == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def _extra_lines(canvas: Canvas) -> int:
    """Return the number of lines of the label of the horizontal axis beyond the first."""
    return int(canvas.axes.get_xlabel().count("\n"))
