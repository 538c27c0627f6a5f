"""What is asked of curves and lines between solutions. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.engine.request import (
    Evaluation,
    FileRequest,
    InputsRequest,
    Rounds,
)

MOST_BENDS = 1000  # beyond, the binomial coefficients of a Bezier curve exceed float64


@dataclass(frozen=True)
class PlacesRequest:
    """Places t on paths, to be evaluated."""

    points: int  # of each path, both ends among them
    file: FileRequest
    evaluation: Evaluation
    rounds: Rounds


@dataclass(frozen=True)
class CurveEvaluationRequest:
    """Loss and error along a curve."""

    curve: Path
    places: PlacesRequest
    splits: tuple[str, ...] | None = None  # None for those that the data have
    limit: int | None = None
    subset: str | None = None
    data_dir: Path | None = None  # where the data are now
    download: bool = False
    problem: ProblemSource | None = None  # where the curve's problem is now


@dataclass(frozen=True)
class BarriersRequest:
    """Barriers on the lines between solutions."""

    solutions: list[Path]
    inputs: InputsRequest
    places: PlacesRequest
    match: str  # none or weights
    seed: int


@dataclass(frozen=True)
class CurvePlaneRequest:
    """The plane through points of a curve."""

    curve: Path
    out: Path
    through: tuple[int, int] | None = None


@dataclass(frozen=True)
class CurveTrainingRequest:
    """Training of the bends of a curve."""

    inputs: InputsRequest
    file: FileRequest
    start: Path
    end: Path
    kind: str
    bends: int
    free_ends: bool
    epochs: int
    batch_size: int | None  # None for that of the paper
    lr: float
    momentum: float
    weight_decay: float
    augment: str
    seed: int
    device: str
    threads: int | None
    precision: str
    batches_per_step: int | None = None  # of a problem; None for one
