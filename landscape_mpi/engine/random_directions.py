"""Random directions, which every rank makes for itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from landscape_mpi.compute import directions
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.layer_kinds import LayerKinds
from landscape_mpi.compute.selection import moved_names
from landscape_mpi.engine.direction_kind import DirectionKind

DEFAULT_NORMALIZE = "filter"
DEFAULT_IGNORE = ("bias", "bn")
DEFAULT_SEED = 1


@dataclass(frozen=True)
class Shaping:
    """The drawing and the scaling of random directions, and the parameters that they move."""

    seed: int = DEFAULT_SEED
    normalize: str = DEFAULT_NORMALIZE
    ignore: tuple[str, ...] = DEFAULT_IGNORE
    only: tuple[str, ...] = ()  # empty for all


@dataclass(frozen=True)
class RandomDirections:
    """The random directions of a plane, which every rank makes for itself."""

    shaping: Shaping
    kinds: Mapping[str, DirectionKind]  # by axis; the others are not random
    layers: LayerKinds  # kinds of the network's parameters, found by rank 0

    def make(
        self, network: nn.Module, state: Mapping[str, np.ndarray], *, repeat: int = 0
    ) -> dict[str, Direction]:
        """Return the random directions for a network with these weights, float32, by axis.

        Args:
            network: The network, for the roles of its parameters.
            state: Its weights.
            repeat: Number that is added to the seeds.
        """
        made = {}
        for axis, kind in self.kinds.items():
            only = self.shaping.only if kind.only is None else kind.only
            norms = self.layers.norms
            moved = set(moved_names(network, ignore=self.shaping.ignore, only=only, norms=norms))
            made[axis] = directions.random_direction(
                {name: values for name, values in state.items() if name in moved},
                # A network may create further layers when it is called, which other ranks do not
                # have.
                among=[name for name, _ in network.named_parameters() if name in state],
                seed=repeat + (self.shaping.seed if kind.seed is None else kind.seed),
                axis=kind.axis,
                normalize=self.shaping.normalize,
                filters=self.layers.filters_of,
            )
        return made
