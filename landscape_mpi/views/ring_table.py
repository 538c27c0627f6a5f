"""The numbers of a quantity on circles around the center, in words and as rows of tables."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape_mpi.analysis.rings import Rings, find_rings
from landscape_mpi.store.reader import Surface
from landscape_mpi.views.coarse import on_its_own_grid
from landscape_mpi.views.guessing import guessing_loss
from landscape_mpi.views.number_text import coordinate_text, rounded_text
from landscape_mpi.views.table_file import Rows

AT = 0.5  # distance from the center at which the median and the band are stated
# The columns of both tables, and their meaning.
CIRCLES = {
    "surface": "file of the surface",
    "radius": "distance of the circle from its center, in the unit of alpha and beta",
    "median": "median of the quantity on the circle",
    "percentile_5": "5th percentile of the quantity on the circle",
    "percentile_95": "95th percentile of the quantity on the circle",
}
NUMBERS = {
    "surface": "file of the surface",
    "quantity": "name of the quantity",
    "unit": "unit of the quantity",
    "center_alpha": "first coordinate of the center of the circles",
    "center_beta": "second coordinate of the center of the circles",
    "largest_radius": "radius of the largest circle with values",
    "guessing": "loss of guessing, if the quantity is a cross-entropy",
    "radius_of_guessing": "radius at which the median reaches the loss of guessing",
    f"median_at_{AT:g}": f"median on the circle of radius {AT:g}",
    f"percentile_5_at_{AT:g}": f"5th percentile on the circle of radius {AT:g}",
    f"percentile_95_at_{AT:g}": f"95th percentile on the circle of radius {AT:g}",
}


@dataclass(frozen=True)
class RingNumbers:
    """A quantity of a surface on circles around its center."""

    surface: Surface
    name: str
    rings: Rings

    @property
    def guessing(self) -> float | None:
        """Return the loss of guessing, if the quantity is a cross-entropy of classes."""
        return guessing_loss(self.surface, self.name)

    @property
    def unit(self) -> str:
        """Return the unit to write after a number, empty for a pure number."""
        unit = self.surface.units[self.name]
        return {"1": "", "": "", "percent": " %"}.get(unit, f" {unit}")


def measure_rings(surface: Surface, name: str) -> RingNumbers:
    """Measure a quantity on circles around the center.

    Args:
        surface: A plane, complete or not.
        name: Name of one of its quantities.
    """
    surface = on_its_own_grid(surface, name)
    return RingNumbers(surface, name, find_rings(surface.alpha, surface.beta, surface.values[name]))


def describe(numbers: RingNumbers) -> str:
    """Describe where the median reaches guessing, and the median and the band at one distance."""
    missing = why_nothing(numbers)
    if missing:
        return missing
    around = f"on circles around {name_center(numbers)}"
    reach, band = _reach(numbers), _band(numbers)
    return f"{around}, {reach}; {band}" if reach else f"{around}, {band}"


def why_nothing(numbers: RingNumbers) -> str:
    """Return the reason why no circle has numbers; empty if one has."""
    rings = numbers.rings
    if len(rings.radius) == 1:
        return f"no circle lies within the plane around {name_center(numbers)}"
    if not rings.is_known[1:].any():
        center = name_center(numbers)
        return f"points without a finite value lie beside every circle around {center}"
    return ""


def name_center(numbers: RingNumbers) -> str:
    """Return the name of the center of the circles."""
    surface = numbers.surface
    if surface.center is not None:
        return "the center"
    alpha, beta = (
        coordinate_text(axis, int(np.abs(axis - middle).argmin()))
        for axis, middle in zip((surface.alpha, surface.beta), numbers.rings.center, strict=True)
    )
    return f"({alpha}, {beta}), the point nearest to (0, 0)"


def _reach(numbers: RingNumbers) -> str:
    """Say where the median reaches guessing; empty if the quantity is not a cross-entropy."""
    if numbers.guessing is None:
        return ""
    rings, level = numbers.rings, f"guessing ({numbers.guessing:.4g}{numbers.unit})"
    reached = rings.reach(numbers.guessing)
    if reached == 0:
        return f"the median reaches {level} already at the center"
    if math.isfinite(reached):
        return f"the median reaches {level} at radius {reached:.3g}"
    if math.isnan(rings.known_up_to):
        return f"it is unknown where the median reaches {level}, because the center has no value"
    beyond = "the largest" if rings.is_known.all() else "beyond which values are missing"
    return f"the median stays below {level} up to radius {rings.known_up_to:.3g}, {beyond}"


def _band(numbers: RingNumbers) -> str:
    """State the median and its band at one distance."""
    rings = numbers.rings
    radius = AT if math.isfinite(rings.at(AT)[1]) else float(rings.radius[rings.is_known][-1])
    told = [rounded_text(value, 3) for value in rings.at(radius)]
    return (
        f"at radius {radius:.3g} the median is {told[1]}{numbers.unit}, and 90 % of the "
        f"directions lie between {told[0]} and {told[2]}{numbers.unit}"
    )


def list_circles(found: Sequence[RingNumbers]) -> Rows:
    """Return a row for each circle that has numbers; the first row names the columns."""
    rows: Rows = [list(CIRCLES)]
    for numbers in found:
        rings = numbers.rings
        columns = (rings.radius, rings.median, rings.low, rings.high)
        for known, *circle in zip(rings.is_known, *columns, strict=True):
            if known:
                rows.append([numbers.surface.path, *map(_cell, circle)])
    return rows


def list_numbers(found: Sequence[RingNumbers]) -> Rows:
    """Return a row for each surface: where its median reaches guessing, its band at one distance.

    An unknown number is an empty cell.
    """
    rows: Rows = [list(NUMBERS)]
    for numbers in found:
        rings, guessing = numbers.rings, numbers.guessing
        reached = math.nan if guessing is None else rings.reach(guessing)
        low, median, high = rings.at(AT)
        known = rings.radius[rings.is_known]
        largest = float(known[-1]) if len(known) else math.nan
        cells = [*rings.center, largest, guessing, reached, median, low, high]
        unit = numbers.surface.units[numbers.name]
        rows.append([numbers.surface.path, numbers.name, unit, *map(_cell, cells)])
    return rows


def _cell(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{value:.10g}"
