"""The ranks of a run as processes of torch.distributed, which train one network together."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
from torch import distributed

from landscape_mpi.cluster.binding import share_cores
from landscape_mpi.cluster.communicator import ROOT, Ranks, agree, on_root
from landscape_mpi.cluster.window import NodeArrays
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.engine.processes import Processes
from landscape_mpi.engine.rank_device import take_device
from landscape_mpi.zoo.dataset import DataSet, Split
from landscape_mpi.zoo.process_group import ALONE, ProcessGroup

T = TypeVar("T")


def _listen(host: str) -> socket.socket:
    """Return a socket on one interface: the one that the host's name resolves to.

    Torch listens on all interfaces. If a host's name is a loopback address, as Debian sets it up,
    other hosts reach it on another address, which the host does not know.
    """
    address = socket.gethostbyname(host)
    is_known_to_others = address == host or not ipaddress.ip_address(address).is_loopback
    return socket.create_server((address if is_known_to_others else "", 0))


class RankProcesses(Processes):
    """All ranks of a run."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._arrays: NodeArrays | None = None
        self.size = ranks.size
        self.is_root = ranks.is_root

    def on_root(self, work: Callable[[], T]) -> T | None:
        """Do work on rank 0 while the others wait; bad input stops all. Collective."""
        return on_root(self._ranks, work)

    def agree(self, work: Callable[[], T]) -> T:
        """Do work on every rank; bad input stops all. Collective."""
        return agree(self._ranks, work)

    def share(self, value: T | None) -> T:
        """Return the value of rank 0. Collective."""
        return self._ranks.comm.bcast(value, root=ROOT)

    def share_data(self, data: DataSet | None) -> DataSet:
        """Return the data that rank 0 has read, in memory of the node. Collective."""
        about, arrays = None, {}
        if data is not None:
            about = replace(data, splits={}), list(data.splits)
            for name, split in data.splits.items():
                arrays[f"{name}/inputs"] = split.inputs
                arrays[f"{name}/targets"] = split.targets
        empty, names = self.share(about)
        self._arrays = NodeArrays(self._ranks, arrays)
        splits = {
            name: Split(self._arrays[f"{name}/inputs"], self._arrays[f"{name}/targets"])
            for name in names
        }
        return replace(empty, splits=splits)

    def scatter(self, parts: Sequence[T] | None) -> T:
        """Return this rank's part of those that rank 0 has, one for each rank. Collective."""
        return self._ranks.comm.scatter(parts, root=ROOT)

    def gather(self, value: T) -> list[T] | None:
        """Return the values of all ranks on rank 0, None elsewhere. Collective."""
        return self._ranks.comm.gather(value, root=ROOT)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is true on any rank. Collective."""
        return any(self._ranks.comm.allgather(flag))

    def take_device(self, asked: str, threads: int | None) -> Device:
        """Return this rank's device: its own GPU, or its share of the cores. Collective.

        Args:
            asked: ``auto``, or a kind of device.
            threads: Number of CPU threads; None for this rank's share of the node's cores.
        """
        device = take_device(self._ranks, asked)
        torch.set_num_threads(threads or share_cores(self._ranks))
        device.bind()
        return device

    def start_process_group(self, device: Device) -> ProcessGroup:
        """Start torch.distributed among the ranks and return this one's place. Collective."""
        if self.size == 1:
            return ALONE
        if self._ranks.node.size == self.size:
            # A single node uses the loopback address, whatever its name resolves to.
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
        rank = self._ranks.rank
        distributed.init_process_group(
            device.backend, store=self._meet(), rank=rank, world_size=self.size
        )
        # A rank that soon leaves would close connections that others still wait for.
        self._ranks.comm.Barrier()
        return ProcessGroup(rank, self.size)

    def _meet(self) -> distributed.TCPStore:
        """Return the store in which the ranks find one another, on a free port of rank 0's host."""
        ranks = self._ranks
        host = ranks.comm.bcast(ranks.host, root=ROOT)
        if ranks.node.size == ranks.size:
            host = "127.0.0.1"
        store = None
        if ranks.is_root:
            listening = _listen(host)
            store = distributed.TCPStore(
                host,
                listening.getsockname()[1],
                ranks.size,
                True,
                wait_for_workers=False,
                master_listen_fd=listening.detach(),
            )
        port = self.share(store.port if store else None)
        return distributed.TCPStore(host, port, ranks.size, False) if store is None else store

    def end_process_group(self) -> None:
        """End torch.distributed in this process, if it has started."""
        if self.size > 1 and distributed.is_initialized():
            distributed.destroy_process_group()

    def free(self) -> None:
        """Give the node's memory back. Collective."""
        if self._arrays is not None:
            self._arrays.free()
