"""Find the facts of one rank on its node: its device, its cores, its memory."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from landscape_mpi.cluster.binding import share_cores
from landscape_mpi.cluster.communicator import Ranks, SharedInputError
from landscape_mpi.cluster.window import SHARED_MEMORY
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.engine import provenance
from landscape_mpi.engine.rank_device import take_device
from landscape_mpi.node_memory import node_memory


@dataclass(frozen=True)
class RankFacts:
    """Facts of a rank; sizes in bytes."""

    host: str
    versions: str
    device: str  # in words
    driver: str  # empty on the CPU
    n_cores: int  # number of cores on which it may run
    n_threads: int  # number of threads that a run would use
    memory: tuple[int, int]  # memory of the node, whole and free
    shared_memory: tuple[int, int] | None  # the same of SHARED_MEMORY; None if there is none


def find_rank_facts(ranks: Ranks, asked: str) -> tuple[RankFacts, str | None]:
    """Return the facts of this rank, and the problems with devices. Collective over the ranks.

    Args:
        ranks: All ranks of the run.
        asked: Value of --device.
    """
    device, problem = None, None
    try:
        device = take_device(ranks, asked)
    except SharedInputError as error:
        problem = str(error)
    n_threads = share_cores(ranks)
    facts = RankFacts(
        host=ranks.host,
        versions=provenance.versions(),
        device="no device" if device is None else device.model(),
        driver="" if device is None else _driver_and_peers(device),
        n_cores=len(os.sched_getaffinity(0)),
        n_threads=n_threads if device is None or device.is_host else 1,
        memory=node_memory(),
        shared_memory=_size_of(SHARED_MEMORY),
    )
    return facts, problem


def _driver_and_peers(device: Device) -> str:
    if device.is_host:
        return ""
    n_seen = len(device.visible())
    reached = f", and reaches the memory of {device.n_peers()} others" if n_seen > 1 else ""
    return f"; {device.driver()}; sees {n_seen} GPU{'s' * (n_seen > 1)}{reached}"


def _size_of(folder: Path) -> tuple[int, int] | None:
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.total, usage.free
