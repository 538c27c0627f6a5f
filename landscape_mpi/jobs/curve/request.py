"""Define the requests of curves and lines between solutions. Needs no torch."""

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

MOST_BENDS = 1000  # above this, the binomial coefficients of a Bezier curve exceed float64


@dataclass(frozen=True)
class PlacesRequest:
    """Hold the request of places t on paths."""

    points: int  # number on each path, both ends included
    file: FileRequest
    evaluation: Evaluation
    rounds: Rounds


@dataclass(frozen=True)
class CurveEvaluationRequest:
    """Hold the request of loss and error along a curve."""

    curve: Path
    places: PlacesRequest
    splits: tuple[str, ...] | None = None  # None for the splits of the data
    limit: int | None = None
    subset: str | None = None
    data_dir: Path | None = None  # present place of the data
    download: bool = False
    problem: ProblemSource | None = None  # present name of the curve's problem


@dataclass(frozen=True)
class BarriersRequest:
    """Hold the request of barriers on the lines between solutions."""

    solutions: list[Path]
    inputs: InputsRequest
    places: PlacesRequest
    match: str  # none or weights
    seed: int


@dataclass(frozen=True)
class CurvePlaneRequest:
    """Hold the request of the plane through points of a curve."""

    curve: Path
    out: Path
    through: tuple[int, int] | None = None


@dataclass(frozen=True)
class CurveTrainingRequest:
    """Hold the request of training the bends of a curve."""

    inputs: InputsRequest
    file: FileRequest
    start: Path
    end: Path
    kind: str
    bends: int
    free_ends: bool
    epochs: int
    batch_size: int | None  # None for the paper's
    lr: float
    momentum: float
    weight_decay: float
    augment: str
    seed: int
    device: str
    threads: int | None
    precision: str
    batches_per_step: int | None = None  # batches of a problem per step; None for one
