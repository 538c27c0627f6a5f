"""The mean loss of a network that moves over a plane, for those who differentiate it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from landscape_mpi.compute.batch_losses import BatchLosses
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.preparation import Build
from landscape_mpi.compute.problem_network import ProblemNetwork


@dataclass(frozen=True)
class MovedLoss:
    """A network, where it moves, and this rank's batches of a split."""

    network: nn.Module | ProblemNetwork  # it belongs to whoever moves it
    center: Mapping[str, np.ndarray]  # its parameters and buffers by name, in training mode
    directions: Mapping[str, Direction]  # by axis, on parameters and buffers
    parameters: tuple[str, ...]  # names of those that the directions move
    losses: BatchLosses
    build: Build | None = None  # returns such a network once more; None where a copy serves
