"""Oracle: ranks that differ on purpose. Runs on real ranks."""

import math
from types import SimpleNamespace

import pytest
from pytest_mpi import parallel_assert

from landscape_mpi.cluster.communicator import SharedInputError, start_ranks
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.job.surface.points import compare_losses, group_ranks
from landscape_mpi.job.surface.shared import compare_digests
from landscape_mpi.job.workers import check_one_kind

on_ranks = pytest.mark.parallel([2, 3])


@on_ranks
def test_ranks_with_other_directions_stop_on_all_ranks():
    ranks = start_ranks()
    compare_digests(ranks, "ab" * 32)
    last = ranks.size - 1
    sha256 = ("cd" if ranks.rank == last else "ab") * 32
    with pytest.raises(SharedInputError) as problem:
        compare_digests(ranks, sha256)
    assert f"has SHA-256 abababababababab, rank {last} on" in str(problem.value)


@on_ranks
def test_a_rank_without_a_gpu_among_others_stops_all_ranks():
    ranks = start_ranks()
    check_one_kind(ranks, "cuda")
    with pytest.raises(SharedInputError, match=r"--device auto: node \S+ computes on cuda, node"):
        check_one_kind(ranks, "cpu" if ranks.rank == 1 else "cuda")


@on_ranks
def test_ranks_with_different_numbers_of_threads_form_the_same_groups():
    ranks = start_ranks()
    plan = SimpleNamespace(n_samples={"train": 100}, ranks_per_point=None, n_pending=3)
    setting = Setting("cpu", "fp32", 16, threads=5 - ranks.rank)
    groups = ranks.comm.allgather(group_ranks(ranks, plan, setting).of_rank)
    parallel_assert(len(set(groups)) == 1)


@on_ranks
@pytest.mark.parametrize("other", [2.5, math.nan, math.inf])
def test_a_rank_with_another_network_stops_all_ranks(other):
    ranks = start_ranks()
    compare_losses(ranks, 2.0)
    compare_losses(ranks, math.nan)  # all of them: a result
    last = ranks.size - 1
    with pytest.raises(SharedInputError, match="their networks differ") as problem:
        compare_losses(ranks, other if ranks.rank == last else 2.0)
    assert f"rank 0 has the loss 2, rank {last} on" in str(problem.value)
