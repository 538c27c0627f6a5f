"""What every rank has of the inputs: weights, directions and data, one copy a node."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from landscape_mpi.cluster.communicator import Ranks, SharedInputError, agree
from landscape_mpi.cluster.window import NodeArrays
from landscape_mpi.compute import directions
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.stacked_plane import StackedLossPlane
from landscape_mpi.compute.tensors import fill_network
from landscape_mpi.job.plane.direction_kinds import AXES
from landscape_mpi.job.surface.plan import Plan


class SharedInputs:
    """The arrays of the node, and the directions made from them."""

    def __init__(self, ranks: Ranks, plan: Plan, arrays: dict[str, np.ndarray]) -> None:
        """Send what rank 0 has read. Collective over the ranks.

        Args:
            ranks: All ranks of the run.
            plan: What is asked.
            arrays: On rank 0 what it read, emptied here; nothing elsewhere.
        """
        self._plan = plan
        self._arrays = NodeArrays(ranks, arrays)
        arrays.clear()  # the node's copy is enough
        self.loss = agree(ranks, plan.loss.load)
        self.directions = self._read_directions(agree(ranks, self.build))
        compare_digests(ranks, directions.digest(*self.directions.values()))

    def build(self) -> torch.nn.Module:
        """Build the network with its weights, float32, in evaluation mode, on the CPU.

        Raises:
            InputError: If the function that builds it gives other tensors than on rank 0.
        """
        network = self._plan.source.build()
        fill_network(network, self._part("state"))
        return network

    def _read_directions(self, network: torch.nn.Module) -> dict[str, Direction]:
        plan = self._plan
        made = plan.random.make(network, self._part("state")) if plan.random else {}
        return {
            axis: self._part(axis) if axis in plan.sent else made.get(axis, {}) for axis in AXES
        }

    def _part(self, prefix: str) -> dict[str, np.ndarray]:
        start = f"{prefix}/"
        return {
            name.removeprefix(start): values
            for name, values in self._arrays.items()
            if name.startswith(start)
        }

    @property
    def sample(self) -> torch.Tensor:
        """Two samples as the network sees them, on the CPU; see ResidentSplit.batch."""
        first_split = next(iter(self._plan.n_samples))
        return self.samples(first_split, slice(0, 2), "cpu").batch(slice(0, 2))

    def samples(self, split: str, rows: slice, device: str) -> ResidentSplit:
        """Put samples of a split on a device."""
        return ResidentSplit(
            self._arrays[f"{split}/inputs"][rows],
            self._arrays[f"{split}/targets"][rows],
            mean=self._plan.mean,
            std=self._plan.std,
            device=device,
            one_loss=self._plan.loss.one_loss,
        )

    @property
    def n_bytes(self) -> int:
        """Memory that they take on each node, bytes."""
        return sum(values.nbytes for values in self._arrays.values())

    def plane(
        self, splits: Mapping[str, ResidentSplit], setting: Setting, *, repeat: int = 0
    ) -> PointLosses:
        """Prepare to evaluate points on samples that are on the setting's device.

        Args:
            splits: The samples.
            setting: How to evaluate.
            repeat: Which of the lines that are asked for.
        """
        training = splits.get("train", next(iter(splits.values())))
        return LossPlane(
            self.build(),
            self._directions_of(repeat),
            splits,
            self.sample,
            setting,
            loss=self.loss,
            statistics_of=training if self._plan.reestimates else None,
        )

    def stacked_plane(
        self, splits: Mapping[str, ResidentSplit], setting: Setting
    ) -> StackedLossPlane:
        """Prepare to evaluate several points at once; see plane."""
        network, directions = self.build(), self._directions_of(0)
        return StackedLossPlane(network, directions, splits, self.sample, setting, loss=self.loss)

    def _directions_of(self, repeat: int) -> dict[str, Direction]:
        random = self._plan.random
        if repeat == 0 or random is None:
            return self.directions
        made = random.make(self.build(), self._part("state"), repeat=repeat)
        return {axis: made.get(axis, {}) for axis in AXES}

    def free(self) -> None:
        """Give the node's memory back. Collective over the node."""
        self._arrays.free()


def compare_digests(ranks: Ranks, sha256: str) -> None:
    """Check that every rank has made the same directions. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        sha256: Digest of this rank's.

    Raises:
        SharedInputError: On every rank, if they have not.
    """
    everyone = ranks.comm.allgather((sha256, ranks.host))
    for rank, (other, host) in enumerate(everyone):
        if other != everyone[0][0]:
            raise SharedInputError(
                f"directions: rank 0 on {everyone[0][1]} has SHA-256 {everyone[0][0][:16]}, rank "
                f"{rank} on {host} has {other[:16]}. The ranks would evaluate different planes: "
                f"run them with the same versions of this program and of numpy."
            )
