"""Oracle: ranks that differ on purpose. Runs on real ranks."""

import pytest

from landscape_mpi.cluster.communicator import SharedInputError, start_ranks
from landscape_mpi.job.shared import compare_digests
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
