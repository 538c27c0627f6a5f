"""A Python script for ParaView, which opens a mesh and its lines with their look."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from pprint import pformat
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import to_rgb

from landscape_mpi.output import whole_file
from landscape_mpi.views.camera import Camera
from landscape_mpi.views.mesh import HEIGHT, Mesh
from landscape_mpi.views.mesh_view import MeshView, box_of
from landscape_mpi.views.number_text import number_text
from landscape_mpi.views.occlusion import BIAS, RADIUS
from landscape_mpi.views.render_look import Look

N_SHADES = 33  # colours of the map; ParaView's are linear between them
SIZE = (1600, 1200)  # pixels, if no size is requested
ABOVE = 0.002  # height of lines over the faces that would hide them, as a share of the sides
AWAY = 0.95  # distance of the camera, of the one where the ball around the box fills the picture
VIEW_ANGLE = 30.0  # degrees, of ParaView's camera
FILLED = 0.94  # of the picture's width or height, where neither axes nor bar need room
FROM_THE_FRONT = (-90.0, 8.0)  # degrees, for lines, which have no depth
# For each file of lines: the array that colours it, the colours of the array's whole numbers, and
# the width of its lines. These colours stand out on viridis.
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
    view: MeshView,
    *,
    time: str | None = None,
) -> None:
    """Write the script for ParaView.

    Args:
        path: File to write.
        surface: The .vtp of the mesh, or the .pvd of all meshes.
        meshes: All meshes of the file, for the box around them.
        lines: Files of lines on the mesh, by the keys of LOOKS.
        view: Colours, relief, light and camera.
        time: Meaning of the time of a series, such as ``epoch``; None for a single mesh.
    """

    def beside(file: Path) -> str:
        return Path(os.path.relpath(file, path.parent)).as_posix()

    look, box = view.look, box_of(meshes)
    drawn = box * [[1.0], [1.0], [view.stretch]]
    side = float(np.ptp(box[:2], axis=1).max())
    middle, away = drawn.mean(axis=1), AWAY
    if not (look.box or look.bar):
        points = np.concatenate([mesh.points for mesh in meshes]) * [1.0, 1.0, view.stretch]
        middle, away = _fill(points, drawn, view.camera, look.size or SIZE)
    is_surface = any(len(mesh.polygons) for mesh in meshes)
    settings = {
        "SURFACE": beside(surface),
        "LINES": [_look(beside(file), *LOOKS[what]) for what, file in lines.items()],
        "HEIGHT": HEIGHT,
        "TITLE": view.title,
        "RANGE": list(view.colors_from_to),
        "TICKS": ticks_of(view),
        "TIME": time,
        "STRETCH": view.stretch,
        "BOX": drawn.tolist(),
        "ABOVE": ABOVE * side,
        "POINTS": 2.2,
        "CAMERA": (view.camera.azimuth, view.camera.elevation) if is_surface else FROM_THE_FRONT,
        "AWAY": away,
        "MIDDLE": middle.tolist(),
        "SIZE": list(look.size or SIZE),
        **_settings_of(look, side),
    }
    about = {"surface": beside(surface), "script": path.name, "picture": f"{path.stem}.png"}
    text = HEAD.format(**about)
    text += "\n".join(f"{name} = {pformat(value, width=90)}" for name, value in settings.items())
    text += "\n"
    text += files(__package__).joinpath("scene.py.in").read_text("utf-8")
    with whole_file(path) as partial:
        partial.write_text(text, "utf-8")


def _settings_of(look: Look, side: float) -> dict[str, Any]:
    """Return the settings of light, colours and frame; side is that of the plane."""
    shades = np.linspace(0.0, 1.0, N_SHADES)
    return {
        "SURFACE_LIGHT": [look.ambient, look.diffuse, look.specular],
        "LAMPS": [(lamp.azimuth, lamp.elevation, lamp.strength) for lamp in look.lamps],
        "OCCLUSION": [RADIUS * side, BIAS * side] if look.occlusion else None,
        "BAR": look.bar,
        "FRAME": look.box,
        "TRANSPARENT": look.transparent,
        "BLACK": [0.0, 0.0, 0.0],
        "COLORS": [[float(s), *map(_short, colormaps[look.colors](s)[:3])] for s in shades],
    }


def _fill(
    points: np.ndarray, box: np.ndarray, camera: Camera, size: tuple[int, int]
) -> tuple[np.ndarray, float]:
    """Return where a camera looks, and its distance as of AWAY, so that points fill the picture.

    Args:
        points: Points of the surface as drawn, float64 [n, 3].
        box: The box around them, float64 [3, 2].
        camera: The direction from which it looks.
        size: Columns and rows of the picture, in pixels.
    """
    towards = np.array(camera.towards)
    turn = np.radians(camera.azimuth)
    right = np.array([-np.sin(turn), np.cos(turn), 0.0])
    axes = np.stack([right, np.cross(towards, right)])
    unit = float(np.linalg.norm(np.ptp(box, axis=1))) / 2 / np.sin(np.radians(VIEW_ANGLE / 2))
    room = FILLED * np.tan(np.radians(VIEW_ANGLE / 2)) * np.array([size[0] / size[1], 1.0])
    middle, away = box.mean(axis=1), AWAY
    for _ in range(20):  # each brings it closer by more than half
        seen = (points - middle) @ axes.T / (away * unit - (points - middle) @ towards)[:, None]
        ends = np.stack([seen.min(axis=0), seen.max(axis=0)])
        middle = middle + away * unit * ends.mean(axis=0) @ axes
        away *= float((np.ptp(ends, axis=0) / 2 / room).max()) ** 0.7
    return middle, away


def ticks_of(view: MeshView) -> list[tuple[float, str]]:
    """Return the labelled heights of ParaView's scalar bar, and the values there as texts."""
    low, high = view.colors_from_to
    ticks = zip(view.ticks[0], view.scale.levels, strict=False)
    shown = [(height, float(value)) for height, value in ticks if low <= height <= high]
    return [(float(f"{height:.6g}"), number_text(value)) for height, value in shown]


def _look(
    file: str, array: str | None, colors: tuple[str, ...], width: float
) -> tuple[object, ...]:
    return file, array, [list(map(_short, to_rgb(color))) for color in colors], width


def _short(channel: float) -> float:
    return round(float(channel), 4)
