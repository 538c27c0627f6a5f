"""Define the request of a training run. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.engine.request import DataRequest, InputsRequest, LossRequest, NetworkRequest


@dataclass(frozen=True)
class RecipeRequest:
    """Hold how weights are trained."""

    epochs: int
    batch_size: int | None  # None for the paper's
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    augment: str
    seed: int
    precision: str
    optimizer: str = "sgd"
    lr_drops: tuple[Fraction, ...] | None = ()  # None for the paper's
    l1: float = 0.0
    l2: float = 0.0
    label_noise: float = 0.0
    batches_per_step: int | None = None  # batches of a problem per step; None for one


@dataclass(frozen=True)
class TrainingRequest:
    """Hold the request of training a network."""

    network: NetworkRequest
    data: DataRequest
    loss: LossRequest
    recipe: RecipeRequest
    device: str
    threads: int | None
    run: Path | None = None  # folder for all epochs
    save_epochs: str = "all"
    fresh: bool = False
    out: Path | None = None  # file for the last weights
    problem: ProblemSource | None = None  # replaces model, data and loss

    @property
    def inputs(self) -> InputsRequest:
        """Return the request of the network and the data."""
        return InputsRequest(self.network, self.data, self.loss, self.problem)
