"""Oracle: exhaustive search over all ways to share a few points out, and counting."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape_mpi.cluster.shards import ShardPlan, shard_sizes

costs = st.lists(st.floats(0.01, 10), min_size=1, max_size=4)


def best_end(cost, n_points):
    ways = itertools.product(range(n_points + 1), repeat=len(cost))
    return min(max(np.multiply(way, cost)) for way in ways if sum(way) == n_points)


@given(costs, st.integers(1, 6))
def test_the_last_round_ends_as_early_as_any_sharing_could(cost, n_points):
    sizes = shard_sizes(np.array(cost), n_points=n_points, round_seconds=1e9)
    assert sizes.sum() == n_points
    assert max(sizes * cost) == pytest.approx(best_end(cost, n_points))


def test_a_rank_twice_as_fast_gets_twice_as_many():
    sizes = shard_sizes(np.array([0.1, 0.2]), n_points=10_000, round_seconds=30)
    assert sizes.tolist() == pytest.approx([300, 150], abs=1)


def test_the_first_round_measures_one_point_a_rank():
    assert shard_sizes(np.full(4, np.nan), n_points=100, round_seconds=30).tolist() == [1] * 4


def test_ranks_without_a_measure_are_taken_for_the_slowest():
    sizes = shard_sizes(np.array([1.0, np.nan, 3.0]), n_points=1000, round_seconds=30)
    assert sizes.tolist() == [30, 10, 10]


def test_points_longer_than_a_round_come_one_at_a_time():
    assert shard_sizes(np.array([60.0, 50.0]), n_points=9, round_seconds=30).tolist() == [1, 1]


@pytest.mark.parametrize("round_seconds", [6e18, 1e300, np.inf])
def test_rounds_longer_than_any_run(round_seconds):
    sizes = shard_sizes(np.array([1.0, 1.0]), n_points=10, round_seconds=round_seconds)
    assert sizes.tolist() == [5, 5]


def test_more_ranks_than_points():
    assert shard_sizes(np.full(5, np.nan), n_points=2, round_seconds=30).sum() == 2
    sizes = shard_sizes(np.array([1.0, 0.5, 2.0]), n_points=1, round_seconds=30)
    assert sizes.tolist() == [0, 1, 0]


@given(st.integers(0, 50), st.integers(1, 7))
def test_every_point_is_handed_out_once_and_in_order(n_points, n_ranks):
    plan = ShardPlan(np.arange(n_points) * 3, n_ranks, round_seconds=2)
    given_out = []
    while plan.n_pending:
        shards = plan.next_round()
        given_out += np.concatenate(shards).tolist()
        for rank, shard in enumerate(shards):
            plan.record(rank, n_points=len(shard), seconds=0.5 * (rank + 1) * len(shard))
    assert given_out == list(range(0, 3 * n_points, 3))
