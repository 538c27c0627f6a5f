"""Define the request for a surface. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from landscape_mpi.engine.direction_kind import DirectionKind
from landscape_mpi.engine.request import Evaluation, FileRequest, InputsRequest, Rounds


@dataclass(frozen=True)
class PlaneRequest:
    """Points and directions of a plane; None for options that are not given."""

    x: str | None = None  # MIN:MAX:N, fit:N or one number
    y: str | None = None  # None for a line
    fit_path: float | None = None  # margin around a trajectory, as a fraction of its extent
    directions: Path | None = None
    to: Path | None = None
    to_y: Path | None = None
    x_direction: DirectionKind | None = None
    y_direction: DirectionKind | None = None
    x_only: tuple[str, ...] | None = None
    y_only: tuple[str, ...] | None = None
    orthogonal: bool = False
    save_directions: bool = False
    repeats: int | None = None
    seed: int | None = None
    normalize: str | None = None
    ignore: tuple[str, ...] | None = None
    only: tuple[str, ...] | None = None

    @property
    def goes_to_checkpoint(self) -> bool:
        """Return whether a direction leads to another checkpoint."""
        kinds = (self.x_direction, self.y_direction)
        return self.to is not None or any(kind and kind.name == "to" for kind in kinds)

    @property
    def files(self) -> list[Path]:
        """Return the files from which directions are read."""
        kinds = (self.x_direction, self.y_direction)
        files = [self.directions, self.to, self.to_y, *(kind.file for kind in kinds if kind)]
        return [file for file in files if file is not None]


@dataclass(frozen=True)
class SurfaceRequest:
    """Everything that defines a surface."""

    inputs: InputsRequest
    plane: PlaneRequest
    file: FileRequest
    evaluation: Evaluation = field(default_factory=Evaluation)
    rounds: Rounds = field(default_factory=Rounds)
    batch_norm: str | None = None  # fixed, move or reestimate; None for the default
    weight_decay: float | None = None
    also: tuple[str, ...] = ()  # quantities besides loss and error; see registry.QUANTITIES
    adaptive: float | None = None  # tolerance of interpolated losses
    adaptive_unit: str | None = None  # its unit: decades or nat; None for decades
    rtol: float | None = None  # standard error allowed, relative to the loss
    atol: float | None = None  # standard error allowed; all samples are taken if both are None

    @property
    def running_statistics(self) -> str:
        """Return the treatment of running statistics; by default they move to another solution."""
        return self.batch_norm or ("move" if self.plane.goes_to_checkpoint else "fixed")
