"""The scales of a page: chosen here for every switch of the page, as for all other pictures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from landscape_mpi.store.reader import Surface
from landscape_mpi.views.common_heights import find_common
from landscape_mpi.views.default_scale import DefaultScale, default_scale, scales_of
from landscape_mpi.views.heights import Heights, choose_kind, end_at, start_of
from landscape_mpi.views.levels import SCALES, Scale, ScaleRequest

Packed = dict[str, Any]  # values that json can write
AUTO = "auto"  # the scale of the page that the values choose


def pack_scales(surfaces: Sequence[Surface], names: Iterable[str]) -> Packed:
    """Pack the usual scale of each quantity, and its colours and heights on every scale.

    Args:
        surfaces: All surfaces of the page.
        names: Names of quantities; some surfaces may lack one.
    """
    return {name: _pack_scale(surfaces, name) for name in names}


def _pack_scale(surfaces: Sequence[Surface], name: str) -> Packed:
    usual = default_scale(surfaces, name)
    planes = [s for s in surfaces if not s.is_line and name in s.values]
    space = Heights(usual.kind)
    if planes:
        space = choose_kind([_values_of(s, name) for s in planes], planes[0].units[name])
    return asdict(usual) | {
        "space": "shifted" if space.floor else space.kind,
        "added": space.floor or None,
        "colors": {key: _pack_colors(surfaces, name, usual, key) for key in (AUTO, *SCALES)},
        "common": _pack_common(surfaces, name, usual, space.floor),
    }


def _pack_colors(surfaces: Sequence[Surface], name: str, usual: DefaultScale, key: str) -> Packed:
    """Pack the colours that each surface shares with the others, and those that it has alone."""
    shared: list[Packed | None] = [None] * len(surfaces)
    for is_line in (False, True):
        places = [k for k, s in enumerate(surfaces) if s.is_line is is_line and name in s.values]
        together = _colors_of([surfaces[k] for k in places], name, None if key == AUTO else key)
        for k, colors in zip(places, together, strict=True):
            shared[k] = colors
    if len(surfaces) == 1 or (key == AUTO and usual.top is not None):
        return {"shared": shared, "own": shared}
    kind = usual.kind if key == AUTO else key
    own = [_colors_of([s], name, kind)[0] if name in s.values else None for s in surfaces]
    return {"shared": shared, "own": own}


def _colors_of(surfaces: Sequence[Surface], name: str, kind: str | None) -> list[Packed | None]:
    """Pack the colours of surfaces that stand together; None where a scale can show no value."""
    if kind == "log" and not any((_values_of(s, name) > 0).any() for s in surfaces):
        return [None] * len(surfaces)
    if not surfaces:
        return []
    scales = scales_of(surfaces, name, ScaleRequest(kind), where=name)
    numbers = [id(scale) for scale in scales]
    several = len(set(numbers)) > 1
    return [
        _pack_colors_of(scale, is_line=surfaces[0].is_line)
        | {"isAlone": several and numbers.count(id(scale)) == 1}
        if scale
        else None
        for scale in scales
    ]


def _pack_colors_of(scale: Scale, *, is_line: bool) -> Packed:
    low, high = scale.clipped or (scale.low, scale.high)
    if is_line:  # an axis has no room for what no value reaches
        low, high = max(low, scale.low), min(high, scale.high)
    return {
        "low": low,
        "high": high,
        "levels": []
        if scale.is_constant
        else [float(level) for level in scale.levels if low <= level <= high],
        "isEnd": scale.clipped is not None,
    }


def _pack_common(
    surfaces: Sequence[Surface], name: str, usual: DefaultScale, floor: float
) -> Packed:
    """Pack where the heights of planes end, and which have heights of their own, by scale."""
    known = [k for k, s in enumerate(surfaces) if not s.is_line and name in s.values]
    values = [_values_of(surfaces[k], name) for k in known]
    start = start_of(values)
    maps = {
        "linear": Heights(low=start),
        "log": Heights("log"),
        "shifted": Heights("log", floor),
        "symlog": Heights("symlog", threshold=usual.threshold, low=start),
    }
    found = {
        kind: find_common(
            [np.maximum(heights.of(own), heights.ends[0]) for own in values], heights.kind
        )
        for kind, heights in maps.items()
    }
    return {
        kind: {
            "start": None if maps[kind].low is None else maps[kind].ends[0],
            "end": None if common.end is None else end_at(common.end, maps[kind]).ends[1],
            "alone": [k for k, alone in zip(known, common.alone, strict=True) if alone],
        }
        for kind, common in found.items()
    }


def _values_of(surface: Surface, name: str) -> np.ndarray:
    return surface.values[name][surface.done_of[name]]
