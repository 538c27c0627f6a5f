"""Oracle: assignments written out by hand; node-wide calls run on real ranks."""

import os

import pytest

from landscape_mpi.cluster.binding import assign_gpus, share_cores, threads_of
from landscape_mpi.errors import InputError


def test_ranks_that_see_every_gpu_take_them_in_order():
    assert assign_gpus([["a", "b", "c"]] * 3, host="n1", mask="MASK") == [0, 1, 2]


def test_ranks_bound_by_a_launcher_keep_their_gpu():
    assert assign_gpus([["c"], ["a"], ["b"]], host="n1", mask="MASK") == [0, 0, 0]


def test_a_rank_with_a_choice_gives_way():
    assert assign_gpus([["a", "b"], ["a"]], host="n1", mask="MASK") == [1, 0]


def test_more_ranks_than_gpus_name_the_node():
    with pytest.raises(InputError) as problem:
        assign_gpus([["a", "b"]] * 3, host="n7", mask="MASK")
    assert "node n7: 3 ranks share 2 GPUs" in str(problem.value)
    assert "--device cpu" in str(problem.value)


def test_ranks_that_see_no_gpu_are_counted():
    words = "node n7: 2 of 3 ranks see no GPU, the first of them the node's rank 1. Check MASK of"
    with pytest.raises(InputError, match=words):
        assign_gpus([["a"], [], []], host="n7", mask="MASK")


def test_cores_are_shared_evenly():
    assert [threads_of(8, n_sharing=3, place=place) for place in range(3)] == [3, 3, 2]
    assert threads_of(1, n_sharing=4, place=3) == 1


@pytest.mark.parallel([1, 2, 3])
def test_cores_on_real_ranks():
    from landscape_mpi.cluster.communicator import start_ranks

    ranks = start_ranks()
    threads = ranks.comm.allgather(share_cores(ranks))
    assert sum(threads) <= max(ranks.size, len(os.sched_getaffinity(0)) * ranks.size)
    assert min(threads) >= 1
