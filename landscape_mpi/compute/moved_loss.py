"""Describe the mean loss of a network that moves on a plane, ready to be differentiated."""

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
    """Hold a network, its directions, and this rank's batches of a split."""

    network: nn.Module | ProblemNetwork  # it belongs to the object that moves it
    center: Mapping[str, np.ndarray]  # its parameters and buffers by name, in training mode
    directions: Mapping[str, Direction]  # by axis, for parameters and buffers
    parameters: tuple[str, ...]  # names of the parameters that the directions move
    losses: BatchLosses
    build: Build | None = None  # builds the network again; None if a copy suffices
