"""The inputs on every rank: weights and directions, with one copy per node.

A subclass evaluates points with them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from landscape_mpi.cluster.communicator import Ranks, SharedInputError, agree
from landscape_mpi.cluster.window import NodeArrays
from landscape_mpi.compute import directions
from landscape_mpi.compute.agreement import Agreement, Chosen, Point, moved_points
from landscape_mpi.compute.cost import SampleCost
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.motion import Motion, PathMotion, PlaneMotion
from landscape_mpi.compute.moved_loss import MovedLoss
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.stacked_plane import StackedLossPlane
from landscape_mpi.compute.unit_values import UnitValues
from landscape_mpi.engine.direction_kind import AXES
from landscape_mpi.engine.plan import Plan

Take = Callable[[np.ndarray], Any]  # puts samples of some rows on the setting's device


class SharedInputs(ABC):
    """The arrays of the node, and the directions made from them."""

    def __init__(self, ranks: Ranks, plan: Plan, arrays: dict[str, np.ndarray]) -> None:
        """Send the inputs that rank 0 has read. Collective over the ranks.

        Args:
            ranks: All ranks of the run.
            plan: The plan of the run.
            arrays: On rank 0, the arrays that it read, emptied here; nothing elsewhere.
        """
        self._plan = plan
        self._arrays = NodeArrays(ranks, arrays)
        arrays.clear()  # the node's copy is enough
        self.chosen: Chosen | None = None  # once it is known; see choose_steps
        self._kept: tuple[Setting, PointLosses[Any]] | None = None
        network = agree(ranks, self._begin)
        self.directions = self._read_directions(network)
        moved = {name for direction in self.directions.values() for name in direction}
        self._moved = tuple(name for name, _ in network.named_parameters() if name in moved)
        found = directions.digest(*self.directions.values())
        compare_digests(ranks, found, of_file=plan.directions.sha256)

    @abstractmethod
    def _begin(self) -> torch.nn.Module:
        """Prepare this rank's own objects, and return a network for its names. Local."""

    @abstractmethod
    def build(self) -> torch.nn.Module:
        """Build the network with its weights, in training mode, on the CPU."""

    @abstractmethod
    def cost(self) -> SampleCost | None:
        """Return the cost of a sample in a forward pass, None if that cannot be counted."""

    @abstractmethod
    def _agreement_of(
        self, split: str, take: Take, setting: Setting, *, n_samples: int, moved: Sequence[Point]
    ) -> Agreement[Any]:
        """Prepare to compare evaluations of a split with the plain one; see Agreement."""

    def agreement(self, setting: Setting) -> Agreement[Any]:
        """Prepare to compare evaluations of the first split with the plain one.

        Args:
            setting: The setting of the run.
        """
        plan = self._plan
        split, n_samples = next(iter(plan.subject.n_samples.items()))
        beta = np.zeros(1) if plan.directions.repeats else plan.beta

        def take(rows: np.ndarray) -> Any:
            return self.samples(split, rows, setting.device)

        moved = moved_points(plan.alpha, beta)
        return self._agreement_of(split, take, setting, n_samples=n_samples, moved=moved)

    @abstractmethod
    def samples(self, split: str, rows: slice | np.ndarray, device: Device) -> Any:
        """Put samples of a split on a device."""

    @abstractmethod
    def plane(
        self,
        splits: Mapping[str, Any],
        setting: Setting,
        *,
        repeat: int = 0,
        exact: bool = False,
    ) -> PointLosses[Any]:
        """Prepare to evaluate points on samples that are on the setting's device.

        Args:
            splits: The samples.
            setting: The setting of the evaluation.
            repeat: Number of the line, of those that are requested.
            exact: Evaluate in float64.
        """

    @abstractmethod
    def moved_loss(self, samples: Any, setting: Setting, *, quick: bool = False) -> MovedLoss:
        """Return the loss of samples on the setting's device, for differentiation.

        Args:
            samples: Samples of one split.
            setting: The setting of the evaluation.
            quick: See OutputLosses.
        """

    @abstractmethod
    def stacked_plane(self, splits: Mapping[str, Any], setting: Setting) -> StackedLossPlane:
        """Prepare to evaluate several points at once; see plane."""

    @abstractmethod
    def means(self, kept: Sequence[tuple[torch.Tensor, ...]]) -> np.ndarray:
        """Return the values of a point from the kept sums of its splits, float64 [n_quantities]."""

    @abstractmethod
    def unit_values(self, kept: Sequence[torch.Tensor], n: int) -> UnitValues:
        """Return the values of each sample, or of each batch of a problem.

        Args:
            kept: Kept values of one split; each may be flattened.
            n: Number of samples or batches.
        """

    def network(self) -> torch.nn.Module:
        """Return the network with its weights in evaluation mode, on the CPU."""
        return self.build().eval()

    def _read_directions(self, network: torch.nn.Module) -> dict[str, Direction]:
        asked = self._plan.directions
        made = asked.random.make(network, self._part("state")) if asked.random else {}
        return {
            axis: self._part(axis) if axis in asked.sent else made.get(axis, {}) for axis in AXES
        }

    def _directions_of(self, repeat: int) -> dict[str, Direction]:
        random = self._plan.directions.random
        if repeat == 0 or random is None:
            return self.directions
        made = random.make(self.build(), self._part("state"), repeat=repeat)
        return {axis: made.get(axis, {}) for axis in AXES}

    def _motion(self, repeat: int) -> Motion:
        """Return the map from the points of the run to weights.

        Args:
            repeat: Number of the line, of those that are requested.
        """
        paths = self._plan.paths
        if paths is None:
            return PlaneMotion(self._directions_of(repeat))
        return PathMotion(paths, [self._part(f"point_{k}") for k in range(paths.n_points)])

    def _part(self, prefix: str) -> dict[str, np.ndarray]:
        start = f"{prefix}/"
        return {
            name.removeprefix(start): values
            for name, values in self._arrays.items()
            if name.startswith(start)
        }

    @property
    def n_bytes(self) -> int:
        """Return the memory that the arrays take on each node, bytes."""
        return sum(values.nbytes for values in self._arrays.values())

    def keep(self, plane: PointLosses[Any] | None, setting: Setting) -> None:
        """Keep an evaluation, so that the run need not prepare the same one again.

        Args:
            plane: The evaluation; it gets the run's samples later. None to keep nothing.
            setting: Its setting. On GPUs nothing is kept: a recording belongs to its samples.
        """
        if plane is not None and setting.device.is_host:
            self._kept = setting, plane

    def plane_of_run(
        self, splits: Mapping[str, Any], setting: Setting, *, repeat: int = 0
    ) -> PointLosses[Any]:
        """Return the evaluation that was kept, if its setting is the same, or else plane()."""
        kept, self._kept = self._kept, None
        if kept is None or kept[0] != setting or repeat:
            return self.plane(splits, setting, repeat=repeat)
        kept[1].take(splits, training_of(splits))
        return kept[1]

    def free(self) -> None:
        """Give the node's memory back. Collective over the node."""
        self._arrays.free()


def training_of(splits: Mapping[str, Any]) -> Any:
    """Return the training split, or the first one if it is not evaluated."""
    return splits.get("train", next(iter(splits.values())))


def compare_digests(ranks: Ranks, sha256: str, *, of_file: str | None = None) -> None:
    """Check that every rank has made the directions of the file. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        sha256: Digest of this rank's directions.
        of_file: Digest of those that rank 0 writes into the file; None if there are none.

    Raises:
        SharedInputError: On every rank, if some rank made others.
    """
    everyone = ranks.comm.allgather((sha256, ranks.host))
    for rank, (other, host) in enumerate(everyone):
        if other != everyone[0][0]:
            raise SharedInputError(
                f"directions: rank 0 on {everyone[0][1]} has SHA-256 {everyone[0][0][:16]}, rank "
                f"{rank} on {host} has {other[:16]}. The ranks would evaluate different planes. "
                "Run them with the same versions of this program and of numpy."
            )
    if of_file not in {None, everyone[0][0]}:
        raise SharedInputError(
            f"directions: the ranks made directions of SHA-256 {everyone[0][0][:16]}, but those "
            f"in the file have {of_file[:16] if of_file else ''}. The function that builds the "
            "network builds another one the second time, or a call changes the network. Let the "
            "function return the same network every time."
        )
