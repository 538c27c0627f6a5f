"""The options of surfaces in three dimensions, which plot and vtp share."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from landscape_mpi.options import camera_angles

if TYPE_CHECKING:
    from landscape_mpi.views.camera import Camera
    from landscape_mpi.views.levels import ScaleRequest
    from landscape_mpi.views.render_look import Look
    from landscape_mpi.views.space import Space


def add_camera(group: argparse._ActionsContainer) -> None:
    """Add --camera."""
    group.add_argument(
        "--camera",
        type=camera_angles,
        metavar="AZIMUTH,ELEVATION",
        help="viewing direction of 3-D surfaces in degrees, e.g. --camera=-60,40 (default: the one "
        "of 12 azimuths that shows most of the basin in which the loss is below that of guessing)",
    )


def add_lid(group: argparse._ActionsContainer) -> None:
    """Add --lid."""
    group.add_argument(
        "--lid",
        action="store_true",
        help="draw parts beyond --range flat at its end (default: cut the surface there)",
    )


def camera_of(options: argparse.Namespace) -> Camera | None:
    """Return the camera of --camera, or None if it is chosen later."""
    from landscape_mpi.views.camera import Camera

    return None if options.camera is None else Camera(*options.camera)


def look_of(options: argparse.Namespace) -> Look:
    """Return the look of a mesh from the options of vtp."""
    from dataclasses import replace

    from landscape_mpi.views.render_look import LOOKS

    asked = {"relief": options.relief, "colors": options.cmap, "size": options.size}
    asked |= {"bar": options.bar, "camera": camera_of(options)}
    given = {name: value for name, value in asked.items() if value is not None}
    return replace(LOOKS[options.look], **given)


def space_of(options: argparse.Namespace) -> Space:
    """Return the view of surfaces in three dimensions from the options of plot."""
    from landscape_mpi.views.levels import NO_ENDS
    from landscape_mpi.views.space import Space

    ends = options.range or NO_ENDS
    return Space(options.scale, ends, camera_of(options), options.lid)


def scale_request_of(options: argparse.Namespace) -> ScaleRequest:
    """Return the requested scale from the options of plot."""
    from landscape_mpi.views.levels import NO_ENDS, ScaleRequest

    return ScaleRequest(options.scale, options.levels, options.range or NO_ENDS)
