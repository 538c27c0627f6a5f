"""The camera of a surface: on the side from which most of its basin is visible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from landscape_mpi.views.visibility import Terrain, are_seen

USUAL = -58.0  # degrees: an azimuth from which both axes are easy to read
ALONG_AXIS = 10.0  # degrees: closer to an axis, the labels of both other axes overlap
AWAY = 12.0  # degrees: an azimuth along an axis is turned by this
ELEVATION = 40.0
AS_GOOD = 0.9  # of the largest visible share: from here on, an azimuth that is easier to read wins
MIDDLE = 0.5  # of the heights: a basin lies below if the loss of guessing is unknown
MOST_POINTS = 800  # points of a basin whose visibility is tested


def _from_easy_to_hard() -> tuple[float, ...]:
    """Return 12 azimuths, degrees: far from the axes first, near the usual one first."""
    azimuths = [(USUAL + 180.0 + 30.0 * k) % 360.0 - 180.0 for k in range(12)]

    def is_along(azimuth: float) -> bool:
        return min(azimuth % 90.0, -azimuth % 90.0) < ALONG_AXIS

    def hardness(azimuth: float) -> tuple[bool, float]:
        return is_along(azimuth), abs((azimuth - USUAL + 180.0) % 360.0 - 180.0)

    ordered = sorted(azimuths, key=hardness)
    return tuple(azimuth + AWAY if is_along(azimuth) else azimuth for azimuth in ordered)


AZIMUTHS = _from_easy_to_hard()


@dataclass(frozen=True)
class Camera:
    """A direction to look from, as in matplotlib: the azimuth begins at the axis of alpha."""

    azimuth: float = USUAL  # degrees
    elevation: float = ELEVATION  # degrees above the plane

    @property
    def towards(self) -> np.ndarray:
        """Return the unit vector from the surface to the camera, float64 [3]."""
        turn, rise = np.radians([self.azimuth, self.elevation])
        return np.array([np.cos(turn) * np.cos(rise), np.sin(turn) * np.cos(rise), np.sin(rise)])


@dataclass(frozen=True)
class Basin:
    """The part of a surface that should be seen."""

    terrain: Terrain
    index: np.ndarray  # int64 [n, 2], grid points of the terrain


def basin_of(terrain: Terrain, level: float | None) -> Basin:
    """Return the points of a terrain up to a height over its lowest point, which is included.

    Args:
        terrain: The surface as it stands.
        level: The height; None for the middle of all heights.
    """
    if level is None:
        level = MIDDLE * float(terrain.heights.max())
    index = np.argwhere(terrain.heights <= max(level, 0.0))
    return Basin(terrain, index[:: -(-len(index) // MOST_POINTS)])


def share_seen(basin: Basin, camera: Camera) -> float:
    """Return the share of a basin that a camera sees, from 0 to 1."""
    return float(are_seen(basin.terrain, basin.index, camera.towards).mean())


def choose_camera(basins: Sequence[Basin]) -> Camera:
    """Return the one camera that sees most of all the basins that stand together."""
    cameras = [Camera(azimuth) for azimuth in AZIMUTHS]
    shares = [np.mean([share_seen(basin, camera) for basin in basins]) for camera in cameras]
    return next(c for c, s in zip(cameras, shares, strict=True) if s >= AS_GOOD * max(shares))
