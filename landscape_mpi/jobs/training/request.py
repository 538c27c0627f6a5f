"""What is asked of a training. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.engine.request import DataRequest, InputsRequest, LossRequest, NetworkRequest


@dataclass(frozen=True)
class RecipeRequest:
    """How weights are trained."""

    epochs: int
    batch_size: int | None  # None for that of the paper
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    augment: str
    seed: int
    precision: str
    optimizer: str = "sgd"
    lr_drops: tuple[Fraction, ...] | None = ()  # None for those of the paper
    l1: float = 0.0
    l2: float = 0.0
    label_noise: float = 0.0
    batches_per_step: int | None = None  # of a problem; None for one


@dataclass(frozen=True)
class TrainingRequest:
    """Training of a network."""

    network: NetworkRequest
    data: DataRequest
    loss: LossRequest
    recipe: RecipeRequest
    device: str
    threads: int | None
    run: Path | None = None  # folder of all epochs
    save_epochs: str = "all"
    fresh: bool = False
    out: Path | None = None  # checkpoint of the last weights
    problem: ProblemSource | None = None  # in the place of model, data and loss

    @property
    def inputs(self) -> InputsRequest:
        """Return what is trained, on what."""
        return InputsRequest(self.network, self.data, self.loss, self.problem)
