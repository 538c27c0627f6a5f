"""One rank's share of the work: its device, and the values of a point."""

from __future__ import annotations

import math

import numpy as np
import torch

from landscape_mpi.cluster.binding import choose_device, share_cores
from landscape_mpi.cluster.communicator import Ranks, SharedInputError, agree
from landscape_mpi.cluster.window import NodeArrays
from landscape_mpi.compute import directions
from landscape_mpi.compute.device import visible_gpus
from landscape_mpi.compute.directions import Direction
from landscape_mpi.compute.evaluation import (
    DEFAULT_BATCH,
    Evaluator,
    ResidentSplit,
    Setting,
    prepare_device,
)
from landscape_mpi.compute.plane import MovedNetwork
from landscape_mpi.compute.preparation import prepare_network
from landscape_mpi.compute.tensors import fill_network
from landscape_mpi.job.plan import AXES, Plan


def bind_rank(ranks: Ranks, plan: Plan) -> Setting:
    """Choose this rank's device, threads and batch. Collective over the ranks.

    Raises:
        SharedInputError: If they would compute in a type that their device does not have.
    """
    gpus = visible_gpus() if plan.device != "cpu" else []
    device = agree(ranks, lambda: choose_device(ranks, asked=plan.device, gpus=gpus))
    kind = device.split(":")[0]
    check_one_kind(ranks, kind)
    if plan.precision == "tf32" and kind == "cpu":
        raise SharedInputError(
            "--precision tf32: a type of NVIDIA GPUs, and this run computes on the CPU. Pass fp32 "
            "or bf16, or run on GPUs."
        )
    return Setting(
        device=device,
        precision=plan.precision,
        batch=plan.batch or DEFAULT_BATCH[kind],
        threads=share_cores(ranks) if kind == "cpu" else 1,
    )


def check_one_kind(ranks: Ranks, kind: str) -> None:
    """Check that all ranks compute on one kind of device. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        kind: This rank's, ``cpu`` or ``cuda``.

    Raises:
        SharedInputError: On every rank, if they do not.
    """
    kinds = ranks.comm.allgather((kind, ranks.host))
    others = [(other, host) for other, host in kinds if other != kinds[0][0]]
    if others:
        raise SharedInputError(
            f"--device auto: node {kinds[0][1]} computes on {kinds[0][0]}, node {others[0][1]} on "
            f"{others[0][0]}. Results differ in their last digits, so a surface is computed on one "
            f"kind: pass --device cpu, or use nodes that all have GPUs."
        )


class PointEvaluator:
    """This rank's network, data and directions on its device."""

    def __init__(
        self, ranks: Ranks, plan: Plan, arrays: dict[str, np.ndarray], setting: Setting
    ) -> None:
        """Build everything from what rank 0 has read. Collective over the ranks.

        Args:
            ranks: All ranks of the run.
            plan: What is asked.
            arrays: On rank 0 what it read, emptied here; nothing elsewhere.
            setting: How to compute.
        """
        prepare_device(setting)
        self.setting = setting
        self._plan = plan
        self._shared = NodeArrays(ranks, arrays)
        arrays.clear()  # the node's copy is enough
        network = agree(ranks, self._build)
        vectors = self._directions(network)
        compare_digests(ranks, directions.digest(*vectors.values()))
        prepared = prepare_network(network, vectors, self.sample, setting)
        self.preparation = prepared.description
        dtype = prepared.dtype
        self._network = MovedNetwork(
            prepared.network, **prepared.directions, device=setting.device, dtype=dtype
        )
        self._evaluator = Evaluator(prepared.network, self._splits(), setting, dtype=dtype)
        self._check_network(ranks)

    def _build(self) -> torch.nn.Module:
        network = self._plan.source.build()
        fill_network(network, self._part("state"))
        return network

    def _check_network(self, ranks: Ranks) -> None:
        """Check that all ranks have one network, and that it is a function.

        Raises:
            SharedInputError: On every rank, if they have not, or it is none.
        """
        split = next(iter(self._plan.n_samples))
        self._network.move_to(0.0, 0.0)
        loss = agree(ranks, lambda: self._evaluator.check_is_function(split))
        losses = ranks.comm.allgather((loss, ranks.host))
        for rank, (other, host) in enumerate(losses):
            if not math.isclose(other, losses[0][0], rel_tol=1e-2) and math.isfinite(other):
                raise SharedInputError(
                    f"--model: on the first images rank 0 has the loss {losses[0][0]:.6g}, rank "
                    f"{rank} on {host} has {other:.6g}: their networks differ. The function that "
                    f"builds the network must build the same one everywhere; weights and buffers "
                    f"come from rank 0, other tensors do not."
                )

    def _part(self, prefix: str) -> dict[str, np.ndarray]:
        start = f"{prefix}/"
        return {
            name.removeprefix(start): values
            for name, values in self._shared.items()
            if name.startswith(start)
        }

    def _directions(self, network: torch.nn.Module) -> dict[str, Direction]:
        if self._plan.random is not None:
            return self._plan.random.make(network, self._part("state"))
        return {axis: self._part(axis) for axis in AXES}

    def _splits(self) -> dict[str, ResidentSplit]:
        return {
            name: self._resident(name, n_samples, self.setting.device)
            for name, n_samples in self._plan.n_samples.items()
        }

    @property
    def sample(self) -> torch.Tensor:
        """Two samples as the network sees them, float32 on the CPU."""
        split = next(iter(self._plan.n_samples))
        return self._resident(split, 2, "cpu").batch(slice(0, 2))

    def _resident(self, split: str, n_samples: int, device: str) -> ResidentSplit:
        return ResidentSplit(
            self._shared[f"{split}/inputs"][:n_samples],
            self._shared[f"{split}/targets"][:n_samples],
            mean=self._plan.mean,
            std=self._plan.std,
            device=device,
        )

    def close(self) -> None:
        """Give the node's memory back. Collective over the node."""
        self._shared.free()

    def evaluate_point(self, point: int) -> np.ndarray:
        """Return the quantities of a point, float64 [n_quantities]. Local.

        Args:
            point: Flat index into [n_alpha, n_beta].
        """
        row, column = divmod(point, len(self._plan.beta))
        self._network.move_to(float(self._plan.alpha[row]), float(self._plan.beta[column]))
        values = [self._evaluator.evaluate(split) for split in self._plan.n_samples]
        return np.array(values).ravel()


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
