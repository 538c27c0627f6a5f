"""A Python script for ParaView, which opens a mesh and its lines looking right."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from pprint import pformat

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb

from landscape_mpi.output import whole_file
from landscape_mpi.views.mesh import HEIGHT, Mesh
from landscape_mpi.views.render import (
    AZIMUTH,
    COLORS,
    ELEVATION,
    SIZE,
    box_of,
    range_of,
    stretch_of,
    ticks_of,
    title_of,
)

N_SHADES = 33  # of the colour map, between which ParaView's are linear
ABOVE = 0.002  # how high lines lie over the faces that would hide them, as a share of their sides
FROM_THE_FRONT = (-90.0, 8.0)  # degrees: for lines, which have no depth
# What each file of lines is coloured by, with the colours of the array's whole numbers, and how
# wide its lines are. Told apart on viridis, of which all but pink lacks something.
LOOKS: dict[str, tuple[str | None, tuple[str, ...], float]] = {
    "contours": (None, ("0.1",), 2.0),
    "path": ("run", ("#e6399b", "#ff8c1a", "white", "#56b4e9", "#8c564b", "black"), 5.0),
    "curve": ("path", ("#e6399b", "#ff8c1a", "white"), 5.0),
}

HEAD = '''"""Open {surface} in ParaView, coloured and lit, with its lines.

  paraview --script={script}
  pvpython {script} {picture}     # or pvbatch, without a window

Its files lie beside it, and all of them can be moved together.
"""

import math
import os
import sys

from paraview import simple

'''


def write_script(
    path: Path,
    surface: Path,
    meshes: Sequence[Mesh],
    lines: Mapping[str, Path],
    *,
    time: str | None = None,
) -> None:
    """Write the script.

    Args:
        path: File to write.
        surface: The .vtp of the mesh, or the .pvd of all.
        meshes: All that the file shows, for the range of the colours and the box.
        lines: Files of lines on the mesh, by the keys of LOOKS.
        time: What the time of a series is, as ``epoch``; None for a single mesh.
    """

    def beside(file: Path) -> str:
        return Path(os.path.relpath(file, path.parent)).as_posix()

    low, high = range_of(meshes)
    stretch, box = stretch_of(meshes), box_of(meshes)
    drawn = box * [[1.0], [1.0], [stretch]]
    is_surface = any(len(mesh.polygons) for mesh in meshes)
    shades = np.linspace(0.0, 1.0, N_SHADES)
    settings = {
        "SURFACE": beside(surface),
        "LINES": [_look(beside(file), *LOOKS[what]) for what, file in lines.items()],
        "HEIGHT": HEIGHT,
        "TITLE": title_of(meshes[0]),
        "RANGE": [low, high],
        "TICKS": ticks_of(low, high),
        "TIME": time,
        "STRETCH": stretch,
        "BOX": drawn.tolist(),
        "ABOVE": float(ABOVE * np.ptp(box[:2], axis=1).max()),
        "POINTS": 2.2,
        "CAMERA": (AZIMUTH, ELEVATION) if is_surface else FROM_THE_FRONT,
        "AWAY": 0.95,
        "SIZE": list(SIZE),
        "BLACK": [0.0, 0.0, 0.0],
        "COLORS": [[float(s), *map(_short, colormaps[COLORS](s)[:3])] for s in shades],
    }
    about = {"surface": beside(surface), "script": path.name, "picture": f"{path.stem}.png"}
    text = HEAD.format(**about)
    text += "\n".join(f"{name} = {pformat(value, width=90)}" for name, value in settings.items())
    text += "\n"
    text += files(__package__).joinpath("scene.py.in").read_text("utf-8")
    with whole_file(path) as partial:
        partial.write_text(text, "utf-8")


def _look(
    file: str, array: str | None, colors: tuple[str, ...], width: float
) -> tuple[object, ...]:
    return file, array, [list(map(_short, to_rgb(color))) for color in colors], width


def _short(channel: float) -> float:
    return round(float(channel), 4)
