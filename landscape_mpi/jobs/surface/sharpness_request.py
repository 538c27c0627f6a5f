"""Define the request for the sharpness of a minimum. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from landscape_mpi.engine.request import MovedInputs


@dataclass(frozen=True)
class SharpnessRequest:
    """Request for the sharpness of a surface file's minimum."""

    surface: Path
    moved: MovedInputs
    radius: tuple[float, ...]  # sizes of the boxes, in units of |w| + 1
    iterations: int
    fresh_networks: int
    seed: int
    device: str
    limit: int | None = None  # training samples, None for all of the surface
    subset: str | None = None
