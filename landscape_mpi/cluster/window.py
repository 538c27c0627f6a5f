"""Share arrays that rank 0 has read: one copy in the memory of each node.

If a thousand ranks each opened the data set, the file system would have to serve a thousand files
at once, and memory would hold a thousand copies.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from mpi4py import MPI

from landscape_mpi.cluster.communicator import ROOT, Ranks, agree
from landscape_mpi.errors import InputError
from landscape_mpi.node_memory import in_words

SHARED_MEMORY = Path("/dev/shm")  # location of MPI's shared memory on Linux
PAGE_BYTES = 4096  # the window is rounded up to pages, and MPI keeps its own notes beside it:
NOTES_BYTES = 8192, 256  # on every node, and for each of its ranks
ALIGNMENT_BYTES = 64
MESSAGE_BYTES = 1 << 30  # MPI counts are 32-bit


class NodeArrays(dict[str, np.ndarray]):
    """Arrays by name in one shared window of this node. Do not write to them."""

    def __init__(self, ranks: Ranks, arrays: Mapping[str, np.ndarray] | None) -> None:
        """Send the arrays of rank 0 to every node. Collective over the ranks.

        Args:
            ranks: All ranks of the run.
            arrays: On rank 0 the arrays; ignored elsewhere.
        """
        super().__init__()
        described = _describe(arrays or {}) if ranks.is_root else None
        layout, n_bytes = ranks.comm.bcast(described, root=ROOT)
        is_leader = ranks.node.rank == 0
        n_owned = n_bytes + ALIGNMENT_BYTES - 1
        window = _window_bytes(n_owned, ranks.node.size)
        agree(ranks, lambda: _check_room(ranks.host, window) if is_leader else None)
        self._window = MPI.Win.Allocate_shared(n_owned if is_leader else 0, comm=ranks.node)
        owned, _ = self._window.Shared_query(0)
        whole = np.frombuffer(owned, np.uint8, n_owned)  # type: ignore[call-overload]
        # The address at which MPI's memory begins depends on the number of ranks, and the last bits
        # of a matrix product depend on the addresses of its factors. All ranks map the same pages,
        # so one shift suits all.
        start = ranks.node.bcast(-whole.ctypes.data % ALIGNMENT_BYTES, root=0)
        memory = whole[start : start + n_bytes]
        for name, (dtype, shape, start) in layout.items():
            self[name] = np.ndarray(shape, dtype, buffer=memory, offset=start)
        if ranks.is_root:
            for name, array in (arrays or {}).items():
                self[name][...] = array
        _send_to_leaders(ranks, memory if is_leader else None)
        # No rank reads before the leader of its node has everything.
        ranks.node.Barrier()

    def free(self) -> None:
        """Free the memory; the arrays are then gone. Collective over the node."""
        self.clear()
        self._window.Free()


def _window_bytes(n_bytes: int, n_ranks: int) -> int:
    """Return the shared memory that MPI takes for arrays on a node of so many ranks."""
    of_node, of_rank = NOTES_BYTES
    return -(-n_bytes // PAGE_BYTES) * PAGE_BYTES + of_node + of_rank * n_ranks


def _check_room(host: str, n_bytes: int) -> None:
    """Check the room in this node's shared memory: without it, MPI ends in a bus error. Local.

    Raises:
        InputError: If it has too little room.
    """
    try:
        free = shutil.disk_usage(SHARED_MEMORY).free
    except OSError:  # without it, MPI shares memory in another way
        return
    if n_bytes > free:
        raise InputError(
            f"node {host}: the data and weights take {in_words(n_bytes)} in {SHARED_MEMORY}, "
            f"where the ranks of a node share them, but only {in_words(free)} are free there. "
            "Enlarge it (mount -o remount,size=..., or --shm-size of docker and podman), remove "
            "files left there by other programs, or pass --limit for fewer samples."
        )


def _describe(arrays: Mapping[str, np.ndarray]) -> tuple[dict, int]:
    """Return dtype, shape and offset of each array, and the total size in bytes."""
    layout, end = {}, 0
    for name, array in arrays.items():
        start = -(-end // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
        layout[name] = (array.dtype, array.shape, start)
        end = start + array.nbytes
    return layout, max(end, 1)


def _send_to_leaders(ranks: Ranks, memory: np.ndarray | None) -> None:
    """Broadcast the memory of rank 0's node to one rank of each other node."""
    # Rank 0 leads its node, since node ranks follow the order of comm.
    leaders = ranks.comm.Split(MPI.UNDEFINED if memory is None else 0, key=ranks.rank)
    if memory is None:
        return
    for start in range(0, len(memory), MESSAGE_BYTES):
        leaders.Bcast(memory[start : start + MESSAGE_BYTES], root=ROOT)
    leaders.Free()
