"""The ranks as workers: what each computes on, and how."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from landscape_mpi.cluster.binding import choose_device, share_cores
from landscape_mpi.cluster.communicator import Ranks, SharedInputError, agree
from landscape_mpi.cluster.groups import Group
from landscape_mpi.compute.device import describe_device, visible_gpus
from landscape_mpi.compute.evaluation import DEFAULT_BATCH, Setting
from landscape_mpi.compute.precision import check_available
from landscape_mpi.job.surface.plan import Plan


@dataclass(frozen=True)
class Workers:
    """What the ranks of a run are, in words."""

    n_ranks: int
    devices: str  # e.g. "32 x NVIDIA H200"
    hosts: str  # e.g. "8 x n1, 8 x n2"
    threads: str  # of a rank, e.g. "2 threads", or "1 to 2 threads" where ranks differ
    ranks_per_point: str  # e.g. "1", or "2 to 3" where they cannot be shared out evenly


def bind_rank(ranks: Ranks, plan: Plan) -> Setting:
    """Choose this rank's device, threads and batch. Collective over the ranks.

    Returns:
        The setting; in float32 where the precision is still to be measured.

    Raises:
        SharedInputError: If they would compute in a type that their device does not have.
    """
    gpus = visible_gpus() if plan.device != "cpu" else []
    device = agree(ranks, lambda: choose_device(ranks, asked=plan.device, gpus=gpus))
    kind = device.split(":")[0]
    check_one_kind(ranks, kind)
    agree(ranks, lambda: check_available(plan.precision, device))
    return Setting(
        device=device,
        precision="fp32" if plan.precision == "auto" else plan.precision,
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
            f"{others[0][0]}. Results differ in their last digits, so one run computes on one "
            f"kind: pass --device cpu, or use nodes that all have GPUs."
        )


def describe_workers(ranks: Ranks, setting: Setting, group: Group) -> Workers:
    """Return what the ranks of this run are. Collective over the ranks."""
    told = ranks.comm.allgather((describe_device(setting.device), ranks.host, setting.threads))
    devices, hosts, threads = zip(*told, strict=True)
    return Workers(
        ranks.size,
        _counted(devices),
        _counted(hosts),
        "1 thread" if set(threads) == {1} else f"{_range(threads)} threads",
        _range(Counter(group.of_rank).values()),
    )


def _range(values: Iterable[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _counted(names: tuple[str, ...]) -> str:
    return ", ".join(f"{n} x {name}" for name, n in Counter(names).items())
