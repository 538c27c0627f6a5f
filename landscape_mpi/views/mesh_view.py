"""The view of meshes: the range of their colours, their relief, and their common camera."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape_mpi.store.reader import Surface
from landscape_mpi.store.sums import with_sum
from landscape_mpi.views.camera import Basin, Camera, basin_of, choose_camera
from landscape_mpi.views.guessing import guessing_loss
from landscape_mpi.views.height_scale import HeightScale, scale_of
from landscape_mpi.views.heights import Heights
from landscape_mpi.views.levels import format_levels
from landscape_mpi.views.mesh import HEIGHT, Mesh, shown_heights
from landscape_mpi.views.render_look import Look
from landscape_mpi.views.visibility import make_terrain


@dataclass(frozen=True)
class MeshView:
    """The common view of one picture of meshes, or of a series of pictures."""

    look: Look
    camera: Camera
    stretch: float  # factor on the third coordinate
    scale: HeightScale  # ends of the colours
    quantity: str
    unit: str

    @property
    def colors_from_to(self) -> tuple[float, float]:
        """Return the heights at which the colours begin and end, which always differ."""
        low, high = self.scale.height(np.array([self.scale.low, self.scale.high]))
        return float(low), float(high) if high > low else float(low) + 1.0

    @property
    def ticks(self) -> tuple[list[float], list[str]]:
        """Return the labelled heights of the bar, and the values there as texts."""
        levels = self.scale.levels if len(self.scale.levels) else np.array([self.scale.low])
        return [float(height) for height in self.scale.height(levels)], format_levels(levels)

    @property
    def title(self) -> str:
        """Return the quantity of the bar and its unit, in short lines."""
        words = self.quantity.replace("_", " ").replace("+", " + ")
        return textwrap.fill(words, 18) + (f"\n({self.unit})" if self.unit not in {"", "1"} else "")


def view_meshes(
    surfaces: Sequence[Surface],
    meshes: Sequence[Mesh],
    quantity: str,
    heights: Heights,
    look: Look,
    *,
    lid: bool = False,
) -> MeshView:
    """Choose the view of meshes.

    Args:
        surfaces: The surfaces, for their points on a grid.
        meshes: Their meshes.
        quantity: Name of the quantity that is the height.
        heights: The map from its values to heights.
        look: The look that was requested.
        lid: Whether the parts beyond a cut are drawn flat, and hide the surface below.
    """
    stretch = stretch_of(meshes, look.relief)
    values = np.concatenate([heights.values(mesh.derived[HEIGHT]) for mesh in meshes])
    camera = look.camera
    if camera is None:
        planes = [surface for surface in surfaces if not surface.is_line]
        basins = [_basin(s, quantity, heights, look.relief, lid=lid) for s in planes]
        camera = choose_camera(basins) if basins else Camera()
    unit = with_sum(surfaces[0], quantity).units[quantity]
    return MeshView(look, camera, stretch, scale_of(heights, values), quantity, unit)


def box_of(meshes: Sequence[Mesh]) -> np.ndarray:
    """Return the box around meshes, float64 [3, 2]: from and to, along each axis."""
    low = np.min([mesh.points.min(axis=0) for mesh in meshes], axis=0)
    high = np.max([mesh.points.max(axis=0) for mesh in meshes], axis=0)
    return np.stack([low, high], axis=1)


def stretch_of(meshes: Sequence[Mesh], relief: float) -> float:
    """Return the factor on the third coordinate that gives the box around meshes its relief."""
    width, depth, height = np.ptp(box_of(meshes), axis=1)
    return float(relief * max(width, depth) / height) if height > 0 else 1.0


def _basin(surface: Surface, quantity: str, heights: Heights, relief: float, *, lid: bool) -> Basin:
    """Return the part of a surface that the camera should see."""
    own = shown_heights(surface, quantity, heights, lid=lid)
    sides = np.array([np.ptp(surface.alpha), np.ptp(surface.beta)])
    finite = own[np.isfinite(own)]
    span = float(np.ptp(finite)) if finite.size else 0.0
    unit = relief * sides.max() / (span or 1.0)
    terrain = make_terrain(surface.alpha, surface.beta, own * unit, sides)
    guess = guessing_loss(surface, quantity)
    if guess is None or not finite.size:
        return basin_of(terrain, None)
    level = float(heights.of(np.array([guess]))[0]) - float(finite.min())
    return basin_of(terrain, level * unit)
