"""Oracle: exhaustive search over all ways to share a few points out, and counting."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from landscape_mpi.cluster.shards import ShardPlan, deal, is_over, round_length, shard_sizes

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
        given_out += sorted(np.concatenate(shards).tolist())
        for rank, shard in enumerate(shards):
            plan.record(rank, n_points=len(shard), seconds=0.5 * (rank + 1) * len(shard))
    assert given_out == list(range(0, 3 * n_points, 3))


@given(
    st.integers(0, 60),
    st.integers(1, 5),
    st.sampled_from([1, 4]),
    st.randoms(use_true_random=False),
)
def test_points_given_back_are_handed_out_again(n_points, n_ranks, at_once, random):
    """Ranks do any part of their shard, at least a point: in the end all is done, nothing twice."""
    order = np.arange(n_points) * 7 % 61
    plan = ShardPlan(order, n_ranks, round_seconds=2, at_once=at_once)
    done = []
    while plan.n_pending:
        shards = plan.next_round()
        assert sum(len(shard) % at_once > 0 for shard in shards) <= 1  # the last points
        for rank, shard in enumerate(shards):
            n_blocks = -(-len(shard) // at_once)
            n_blocks = random.randint(min(1, n_blocks), n_blocks)
            n_done = min(n_blocks * at_once, len(shard))
            done += shard[:n_done].tolist()
            plan.record(rank, n_points=n_done, seconds=random.uniform(0.01, 3) * n_done)
        assert len(done) + plan.n_pending == n_points
    assert sorted(done) == sorted(order)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6))
def test_every_rank_gets_its_share_of_each_part_of_a_round(counts):
    """A prefix of the points of a round has of each rank its share, to within one point."""
    places = deal(np.array(counts))
    n = sum(counts)
    assert [len(each) for each in places] == counts
    assert sorted(np.concatenate(places).tolist()) == list(range(n))
    assert all((np.diff(each) > 0).all() for each in places)
    for end in range(n + 1):
        for each, count in zip(places, counts, strict=True):
            assert abs((each < end).sum() - count * end / max(n, 1)) < len(counts)


def simulate(cost, n_ranks, round_seconds):
    """Return the share of time in which ranks wait, where points cost what they cost."""
    plan = ShardPlan(np.arange(len(cost)), n_ranks, round_seconds=round_seconds)
    took = busy = 0.0
    while plan.n_pending:
        shards, seconds = plan.next_round(), np.zeros(n_ranks)
        for rank, shard in enumerate(shards):
            n_done = 0
            while n_done < len(shard):
                if n_done and is_over(n_done, seconds[rank], plan.deadline_seconds):
                    break
                seconds[rank] += cost[shard[n_done]]
                n_done += 1
            plan.record(rank, n_points=n_done, seconds=seconds[rank])
        took, busy = took + seconds.max(), busy + seconds.sum()
    return 1 - busy / (n_ranks * took)


@pytest.mark.parametrize("n_ranks", [2, 4, 16])
def test_ranks_wait_little_where_regions_cost_more_than_others(n_ranks):
    """A plane whose middle takes sixteen times as many samples as its rim, row by row."""
    axis = np.linspace(-1, 1, 101)
    cost = np.where(np.hypot(*np.meshgrid(axis, axis)) < 0.3, 1.6, 0.1).ravel()
    assert simulate(cost, n_ranks, 30.0) < 0.05


def test_points_given_back_come_first_in_their_order():
    plan = ShardPlan(np.array([50, 40, 30, 20, 10, 0]), 2, round_seconds=1.0)
    assert [shard.tolist() for shard in plan.next_round()] == [[50], [40]]
    plan.record(0, n_points=0, seconds=0.0)
    plan.record(1, n_points=1, seconds=1.0)
    shards = plan.next_round()
    assert sorted(np.concatenate(shards).tolist()) == [10, 20, 30, 50]
    assert all(sorted(shard, reverse=True) == shard.tolist() for shard in shards)


def test_a_shard_is_more_than_its_rank_does_until_the_deadline():
    plan = ShardPlan(np.arange(100_000), 2, round_seconds=30)
    plan.next_round()
    for rank, seconds in enumerate((0.1, 0.2)):
        plan.record(rank, n_points=1, seconds=seconds)
    sizes = [len(shard) for shard in plan.next_round()]
    assert sizes == pytest.approx([1.25 * 300, 1.25 * 150], rel=0.02)
    # half a typical point later than the round is long
    assert plan.deadline_seconds == pytest.approx(30.075, rel=0.02)
    assert not is_over(299, 299 * 0.1, plan.deadline_seconds)
    assert is_over(302, 302 * 0.1, plan.deadline_seconds)


@pytest.mark.parametrize(
    ("n_points", "seconds"),
    [
        (100_000, 29.94),  # 167 rounds of 29.94 s, not 166 of 30 s and a short one
        (1300, 32.5),  # one of 65 s would be two and a short one
        (900, 36.0),  # 45 s: a long round and the last one, not two and the last one
        (600, 24.0),  # one round, and the last one of the fifth that is left
        (64, 2.56),  # likewise
        (32, np.inf),  # the last round
        (1, np.inf),
    ],
)
def test_no_round_is_short(n_points, seconds):
    cost = np.array([0.1, 0.1])
    length = round_length(cost, n_points=n_points, round_seconds=30)
    assert length == pytest.approx(seconds, rel=1e-3)


def test_a_slow_rank_sets_the_pace_and_one_with_a_mishap_does_not():
    slow, mishap = np.array([20.0, 20.0, 20.0, 70.0]), np.array([0.3, 0.3, 0.3, 300.0])
    assert round_length(slow, n_points=10_000, round_seconds=30) == pytest.approx(70, rel=0.03)
    assert round_length(mishap, n_points=10_000, round_seconds=30) == pytest.approx(30, rel=0.03)
