"""Oracle: assignments written out by hand; node-wide calls run on real ranks."""

import os

import pytest

from landscape_mpi.cluster.binding import assign_gpus, choose_device, share_cores, threads_of
from landscape_mpi.errors import InputError


def test_ranks_that_see_every_gpu_take_them_in_order():
    assert assign_gpus([["a", "b", "c"]] * 3, host="n1") == [0, 1, 2]


def test_ranks_bound_by_a_launcher_keep_their_gpu():
    assert assign_gpus([["c"], ["a"], ["b"]], host="n1") == [0, 0, 0]


def test_a_rank_with_a_choice_gives_way():
    assert assign_gpus([["a", "b"], ["a"]], host="n1") == [1, 0]


def test_more_ranks_than_gpus_name_the_node():
    with pytest.raises(InputError) as problem:
        assign_gpus([["a", "b"]] * 3, host="n7")
    assert "node n7: 3 ranks share 2 GPUs" in str(problem.value)
    assert "--device cpu" in str(problem.value)


def test_no_gpu_names_the_node():
    with pytest.raises(InputError, match="node n7: no GPU is visible there"):
        assign_gpus([[]], host="n7")


def test_cores_are_shared_evenly():
    assert [threads_of(8, n_sharing=3, place=place) for place in range(3)] == [3, 3, 2]
    assert threads_of(1, n_sharing=4, place=3) == 1


@pytest.mark.parallel([1, 2, 3])
def test_devices_and_cores_on_real_ranks():
    from landscape_mpi.cluster.communicator import start_ranks

    ranks = start_ranks()
    assert choose_device(ranks, asked="cpu", gpus=["a"]) == "cpu"
    assert choose_device(ranks, asked="auto", gpus=[]) == "cpu"
    everyone = [f"gpu{i}" for i in range(ranks.size)]
    assert choose_device(ranks, asked="auto", gpus=everyone) == f"cuda:{ranks.rank}"
    threads = ranks.comm.allgather(share_cores(ranks))
    assert sum(threads) <= max(ranks.size, len(os.sched_getaffinity(0)) * ranks.size)
    assert min(threads) >= 1
