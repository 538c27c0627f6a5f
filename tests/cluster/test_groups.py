"""Oracle: run lengths counted by hand, numpy's array_split, and a plain concatenation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_mpi import parallel_assert

from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.cluster.groups import (
    Group,
    choose_ranks_per_point,
    group_of_ranks,
    make_groups,
)


@given(n_ranks=st.integers(1, 100), ranks_per_point=st.integers(1, 100))
def test_groups_are_neighbours_and_none_is_too_small(n_ranks, ranks_per_point):
    groups = group_of_ranks(n_ranks, ranks_per_point)
    sizes = np.bincount(groups)
    assert groups == sorted(groups)
    assert len(sizes) == max(1, n_ranks // ranks_per_point)
    assert sizes.min() >= min(ranks_per_point, n_ranks)
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize(
    ("n_points", "n_ranks", "n_batches", "expected"),
    [
        (961, 32, [782], 1),  # 31 rounds
        (1, 4, [8], 4),
        (1, 4, [2], 2),  # nothing to do for the others
        (2, 8, [8], 4),
        (10, 16, [100], 3),  # 2 rounds of 34 batches; with 1 rank a point 1 of 100
        (2601, 2000, [782], 3),  # 4 rounds of 261 batches; with 1 rank a point 2 of 782
        (5, 1, [782], 1),
    ],
)
def test_the_size_that_ends_first(n_points, n_ranks, n_batches, expected):
    assert expected == choose_ranks_per_point(
        n_points=n_points, n_ranks=n_ranks, n_batches=n_batches
    )


@pytest.mark.parametrize(
    ("n_points", "n_ranks", "expected"),
    [
        (40_401, 64, 1),  # 632 rounds of 16 batches, and 47 more of the longest point
        (245, 64, 4),  # 16 rounds of 4 batches, and 12 more; with 1 rank a point 4 of 16, and 47
        (245, 4, 1),  # 62 rounds of 16 batches, and 47; with 2 ranks a point 123 of 8, and 24
        (1, 64, 31),  # the longest point alone: 5 batches, one of each portion
    ],
)
def test_the_longest_point_counts_where_costs_differ(n_points, n_ranks, expected):
    """Portions of a sampled point with 4,000 samples in batches of 64; three are typical."""
    portions = [4, 4, 8, 16, 31]
    assert expected == choose_ranks_per_point(
        n_points=n_points, n_ranks=n_ranks, n_batches=portions[:3], of_longest=portions
    )


class Searched(tuple):
    """Groups of the ranks that count how many a search went through."""

    n_steps = 0

    def index(self, *args):
        found = super().index(*args)
        self.n_steps += found + 1
        return found


@pytest.mark.parametrize(("n_ranks", "ranks_per_point"), [(1, 1), (7, 1), (7, 3), (16_384, 3)])
def test_leaders_are_found_in_one_pass(n_ranks, ranks_per_point):
    of_rank = Searched(group_of_ranks(n_ranks, ranks_per_point))
    leaders = Group(comm=None, index=0, of_rank=of_rank).leaders
    assert of_rank.n_steps <= 10 * n_ranks
    before = (-1, *of_rank)
    assert leaders == [rank for rank in range(n_ranks) if of_rank[rank] != before[rank]]


@pytest.mark.parallel([1, 2, 3, 4])
def test_parts_in_the_order_of_the_ranks():
    ranks = start_ranks()
    group = make_groups(ranks, 2)
    everything = np.arange(11, dtype=np.float32) + 100 * group.index
    part = everything[group.part(11)]
    whole = group.gather(part)
    parallel_assert((whole is None) == (group.comm.rank > 0))
    parallel_assert(whole is None or whole.tolist() == everything.tolist())
    parallel_assert(group.leaders == ([0, 2] if ranks.size == 4 else [0]))


@pytest.mark.parallel([3])
def test_more_ranks_than_parts():
    group = make_groups(start_ranks(), 3)
    bits = np.array([True, False])[group.part(2)]
    whole = group.gather(bits)
    parallel_assert(len(bits) <= 1)
    parallel_assert(whole is None or whole.tolist() == [True, False])
    parallel_assert(group.any(group.comm.rank == 2))
    parallel_assert(not group.any(False))
