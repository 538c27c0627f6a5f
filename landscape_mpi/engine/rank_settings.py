"""The setting of each rank: its device, threads and batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from landscape_mpi.cluster.binding import share_cores
from landscape_mpi.cluster.communicator import Ranks, agree
from landscape_mpi.cluster.groups import Group
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.precision import check_available
from landscape_mpi.engine.plan import Plan
from landscape_mpi.engine.rank_device import describe, take_device


@dataclass(frozen=True)
class RankSummary:
    """The ranks of a run in words."""

    n_ranks: int
    devices: str  # e.g. "32 x NVIDIA H200"
    models: str  # distinct models of devices, with all that decides their last bits
    hosts: str  # e.g. "8 x n1, 8 x n2"
    threads: str  # threads of a rank, e.g. "2 threads", or "1 to 2 threads" if ranks differ
    ranks_per_point: str  # e.g. "1", or "2 to 3" if they cannot be shared out evenly


def bind_rank(ranks: Ranks, plan: Plan) -> Setting:
    """Choose this rank's device, threads and batch. Collective over the ranks.

    Returns:
        The setting; in float32 if the precision is not measured yet.

    Raises:
        SharedInputError: If their device does not have the type of the computation.
    """
    device = take_device(ranks, plan.evaluation.device)
    agree(ranks, lambda: check_available(plan.evaluation.precision, device))
    return Setting(
        device=device,
        precision="fp32" if plan.evaluation.precision == "auto" else plan.evaluation.precision,
        batch=plan.evaluation.batch or device.default_batch,
        threads=share_cores(ranks) if device.is_host else 1,
    )


def summarize_ranks(ranks: Ranks, setting: Setting, group: Group) -> RankSummary:
    """Describe the ranks of this run. Collective over the ranks."""
    told = ranks.comm.allgather((describe(ranks, setting.device), ranks.host, setting.threads))
    devices, hosts, threads = zip(*told, strict=True)
    models = sorted(set(ranks.comm.allgather(setting.device.model())))
    return RankSummary(
        ranks.size,
        _counted(devices),
        "; ".join(models),
        _counted(hosts),
        "1 thread" if set(threads) == {1} else f"{_range(threads)} threads",
        _range(Counter(group.of_rank).values()),
    )


def _range(values: Iterable[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _counted(names: tuple[str, ...]) -> str:
    return ", ".join(f"{n} x {name}" for name, n in Counter(names).items())
