"""The look of a mesh in VTK and ParaView: colours, light, relief, camera, bar, size."""

from __future__ import annotations

from dataclasses import dataclass

from landscape_mpi.views.camera import Camera


@dataclass(frozen=True)
class Lamp:
    """A light that shines along parallel rays."""

    azimuth: float  # degrees to the left of the camera, as seen in the picture
    elevation: float  # degrees above the plane
    strength: float


@dataclass(frozen=True, kw_only=True)
class Look:
    """The options of a picture of a mesh."""

    relief: float = 0.6  # height of the surface, as a share of the longer side of its plane
    colors: str = "viridis"  # colour map of matplotlib
    camera: Camera | None = None  # None chooses the camera that sees most of the basin
    bar: bool = True
    size: tuple[int, int] | None = None  # pixels; None makes a picture as tall as the surface needs
    lamps: tuple[Lamp, ...] = (Lamp(40.0, 65.0, 1.0),)
    # A face that looks straight up has the same colour as the bar: 0.45 + 0.55 = 1.
    ambient: float = 0.45
    diffuse: float = 0.55 / 0.9063  # over the sine of the lamp's elevation
    specular: float = 0.0
    occlusion: bool = False  # darken narrow places
    transparent: bool = False  # the ground
    box: bool = True  # with axes, where ParaView draws it


PLAIN = Look()
# The light of the first figure of the method's paper: soft, from two sides, with a faint gloss.
PAPER = Look(
    relief=0.85,
    colors="coolwarm",
    bar=False,
    lamps=(Lamp(-35.0, 55.0, 0.85), Lamp(60.0, 35.0, 0.4)),
    ambient=0.25,
    diffuse=0.8,
    specular=0.18,
    occlusion=True,
    transparent=True,
    box=False,
)
LOOKS = {"plain": PLAIN, "paper": PAPER}
