"""The pictures of a surface, and the names of their files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from matplotlib.figure import Figure

from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import Surface
from landscape_mpi.store.schema import RATIO
from landscape_mpi.views.barriers import draw_barriers
from landscape_mpi.views.canvas import plain
from landscape_mpi.views.choice import choose_quantities
from landscape_mpi.views.curve_profile import draw_curve_profile
from landscape_mpi.views.flat_pictures import draw_beside
from landscape_mpi.views.levels import USUAL, ScaleRequest
from landscape_mpi.views.line import MEASURES, draw_line, measure_of
from landscape_mpi.views.panel import Panel, make_panel, thin_panel
from landscape_mpi.views.picture_kind import find_kind
from landscape_mpi.views.smooth import smooth_panel
from landscape_mpi.views.space import Space, stand_up
from landscape_mpi.views.table_file import Rows

MOST_IN_SPACE = 401  # points along an axis of a surface in space: then a cell has three pixels


@dataclass(frozen=True)
class Picture:
    """A figure to be drawn, and its file."""

    path: Path
    draw: Callable[[], Figure]
    words: Sequence[str] = ()  # lines about its contents, for the terminal
    tables: Mapping[Path, Rows] = field(default_factory=dict)  # its numbers, by file


def make_panels(
    surface: Surface, quantities: list[str] | None, asked: ScaleRequest = USUAL
) -> list[Panel]:
    """Prepare the requested quantities; see choose_quantities.

    Raises:
        InputError: If the surface has no such quantity, or none of its points is computed.
    """
    surface, names = choose_quantities(surface, quantities)
    if surface.is_line:  # a line has no levels
        asked = replace(asked, levels=None)
    several = quantities is None or len(names) > 1
    return [make_panel(surface, name, asked, is_one_of_several=several) for name in names]


def plan_pictures(
    panels: list[Panel],
    *,
    kinds: list[str],
    out_dir: Path | None = None,
    suffix: str = "png",
    smooth: int = 1,
    space: Space | None = None,
) -> list[Picture]:
    """Return the pictures of a surface: one per quantity and kind, or those of a line.

    If eigenvalues are known, there is also one of the loss beside their ratio, as in figure 7 of
    the paper.

    Raises:
        InputError: If a line is to be smooth, or a surface with holes.
    """
    surface = panels[0].surface
    stem = (out_dir or surface.path.parent) / surface.path.stem
    if smooth > 1 and surface.is_line:
        raise InputError(
            f"{surface.path}: --smooth {smooth} applies to planes, but this is a line. Leave it "
            "out."
        )
    if surface.is_curve:
        return [Picture(_named(stem, "along", suffix), partial(draw_curve_profile, panels))]
    if surface.has_pairs:
        return [Picture(_named(stem, "barriers", suffix), partial(draw_barriers, panels))]
    if surface.is_line:
        return _plan_line(panels, stem, suffix)
    pictures = [
        join_pictures([panel], kind, path)
        or Picture(path, partial(find_kind(kind), *panels_for([panel], kind, smooth, space)))
        for panel in panels
        for kind in kinds
        if (path := _named(stem, f"{panel.name}_{kind}", suffix))
    ]
    named = {panel.name: panel for panel in panels}
    if {"train_loss", RATIO.name} <= named.keys():
        (loss,) = panels_for([named["train_loss"]], "contour", smooth)
        draw = partial(draw_beside, loss, named[RATIO.name])
        pictures.append(Picture(_named(stem, "curvature", suffix), draw))
    return pictures


def join_pictures(
    panels: Sequence[Panel], kind: str, path: Path, *, heading: str | None = None
) -> Picture | None:
    """Return the picture of surfaces in one pair of axes; None for a kind with axes for each.

    Args:
        panels: One quantity of each surface.
        kind: One of registry.PICTURES.
        path: File of the picture; its tables lie beside it.
        heading: Title of the picture.
    """
    join = find_kind(kind).join
    if join is None:
        return None
    made = join(panels)
    tables = {path.with_name(f"{path.stem}{end}.csv"): rows for end, rows in made.tables.items()}

    def draw() -> Figure:
        figure = made.draw()
        if heading:
            figure.axes[0].set_title(plain(heading))
        return figure

    return Picture(path, draw, made.words, tables)


def panels_for(
    panels: Sequence[Panel], kind: str, smooth: int, space: Space | None = None
) -> list[Panel]:
    """Prepare panels for a kind of picture: standing, smooth, or with the points as they are.

    Args:
        panels: Surfaces that stand together.
        kind: One of registry.PICTURES.
        smooth: Cells for each one computed, along an axis.
        space: View in three dimensions, if the picture has them; None chooses all of it.

    Raises:
        InputError: If a surface should be smooth and has holes, or if --range leaves nothing of it.
    """
    picture = find_kind(kind)
    if picture.is_in_space:
        few = panels if smooth > 1 else [thin_panel(panel, MOST_IN_SPACE) for panel in panels]
        panels = stand_up(few, space or Space())
    return [smooth_panel(panel, smooth) if picture.is_smoothed else panel for panel in panels]


def _plan_line(panels: list[Panel], stem: Path, suffix: str) -> list[Picture]:
    together = [panel for panel in panels if measure_of(panel.name) in MEASURES]
    alone = [panel for panel in panels if measure_of(panel.name) not in MEASURES]
    pictures = [Picture(_named(stem, "line", suffix), partial(draw_line, together))]
    return (pictures if together else []) + [
        Picture(_named(stem, f"{panel.name}_line", suffix), partial(draw_line, [panel]))
        for panel in alone
    ]


def _named(stem: Path, what: str, suffix: str) -> Path:
    return stem.with_name(f"{stem.name}_{what}.{suffix}")
