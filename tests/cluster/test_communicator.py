"""Oracle: what each rank sent, compared on every rank. Runs on 1 to 4 real ranks."""

import socket

import numpy as np
import pytest
from pytest_mpi import parallel_assert

from landscape_mpi.errors import InputError

on_ranks = pytest.mark.parallel([1, 2, 3, 4])


@pytest.fixture
def ranks():
    from landscape_mpi.cluster.communicator import start_ranks

    return start_ranks()


@pytest.mark.parametrize(
    ("of_slurm", "host"), [("n17", "n17"), ("", socket.gethostname()), (None, socket.gethostname())]
)
def test_a_node_has_slurms_name_where_there_is_one(of_slurm, host, monkeypatch):
    from landscape_mpi.cluster.communicator import start_ranks

    monkeypatch.delenv("SLURMD_NODENAME", raising=False)
    if of_slurm is not None:
        monkeypatch.setenv("SLURMD_NODENAME", of_slurm)
    assert start_ranks().host == host


@on_ranks
def test_the_roots_work_is_done_once(ranks):
    from landscape_mpi.cluster.communicator import on_root

    done = []
    result = on_root(ranks, lambda: done.append(ranks.rank) or "read")
    parallel_assert(result == ("read" if ranks.is_root else None))
    parallel_assert(len(done) == (1 if ranks.is_root else 0))


@on_ranks
def test_bad_input_on_the_root_stops_every_rank(ranks):
    from landscape_mpi.cluster.communicator import SharedInputError, on_root

    def work():
        raise InputError("weights.pt: no such file")

    with pytest.raises(SharedInputError, match=r"weights.pt: no such file"):
        on_root(ranks, work)


@on_ranks
def test_bad_input_on_the_last_rank_stops_every_rank(ranks):
    from landscape_mpi.cluster.communicator import SharedInputError, agree

    def work():
        if ranks.rank == ranks.size - 1:
            raise InputError(f"node n{ranks.rank}: no GPU")
        return ranks.rank

    with pytest.raises(SharedInputError, match=f"node n{ranks.size - 1}: no GPU"):
        agree(ranks, work)
    parallel_assert(agree(ranks, lambda: ranks.rank) == ranks.rank)


@on_ranks
def test_one_copy_of_the_roots_arrays_on_the_node(ranks):
    from landscape_mpi.cluster.window import NodeArrays

    arrays = {
        "images": np.arange(1000, dtype=np.uint8).reshape(10, 5, 5, 4),
        "empty": np.empty((0, 3), np.float32),
        "scalar": np.array(7, np.int64),
        "weights": np.linspace(0, 1, 77, dtype=np.float32),
    }
    shared = NodeArrays(ranks, arrays if ranks.is_root else None)
    for name, array in arrays.items():
        parallel_assert(np.array_equal(shared[name], array))
        parallel_assert(shared[name].dtype == array.dtype)
        # The last bits of a product depend on where its factors lie.
        parallel_assert(shared[name].ctypes.data % 64 == 0)
    # All ranks of the node read the values that the root writes: it is one memory.
    if ranks.is_root:
        shared["images"][0, 0, 0, 0] = 99
    ranks.comm.Barrier()
    parallel_assert(shared["images"][0, 0, 0, 0] == 99)
    shared.free()


@on_ranks
def test_arrays_longer_than_one_message(ranks, monkeypatch):
    from landscape_mpi.cluster import window

    monkeypatch.setattr(window, "MESSAGE_BYTES", 100)
    values = np.arange(12345, dtype=np.int32)
    shared = window.NodeArrays(ranks, {"values": values} if ranks.is_root else None)
    parallel_assert(np.array_equal(shared["values"], values))
    shared.free()


@on_ranks
def test_nothing_to_share(ranks):
    from landscape_mpi.cluster.window import NodeArrays

    shared = NodeArrays(ranks, {} if ranks.is_root else None)
    parallel_assert(len(shared) == 0)
    shared.free()
