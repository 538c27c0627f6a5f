"""Oracle: a list of points beside the run, and time itself. Runs on 1 to 4 real ranks."""

import time
from types import SimpleNamespace

import numpy as np
import pytest
from pytest_mpi import parallel_assert

from landscape_mpi.cluster.communicator import SharedInputError, start_ranks
from landscape_mpi.cluster.groups import make_groups
from landscape_mpi.cluster.rounds import one_by_one, run_rounds
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.cluster.watch import Watch
from landscape_mpi.errors import InputError

on_ranks = pytest.mark.parallel([1, 2, 3, 4])


class Written:
    """The points that this rank wrote, and the reports to rank 0."""

    def __init__(self):
        self.points, self.values, self.shards, self.reports = [], [], [], []

    def write(self, result):
        self.shards.append(len(result.points))
        self.points += result.points.tolist()
        self.values += result.values[:, 0].tolist()


def run(ranks, n_points, evaluate, *, round_seconds=0.05, stop=None, ranks_per_point=1):
    written = Written()
    with Watch(ranks, stall_seconds=60) as watch:
        finished = run_rounds(
            ranks,
            make_groups(ranks, ranks_per_point),
            np.arange(n_points)[::-1] if ranks.is_root else None,
            n_quantities=1,
            round_seconds=round_seconds,
            evaluate_points=one_by_one(lambda point: np.array([evaluate(point)])),
            write_round=written.write,
            report=written.reports.append,
            stop=stop or StopRequest(),
            watch=watch,
        )
    return finished, written


@on_ranks
@pytest.mark.parametrize("n_points", [0, 1, 2, 37])
def test_every_point_is_computed_once_by_some_rank(n_points):
    ranks = start_ranks()
    finished, written = run(ranks, n_points, lambda point: point**2)
    everyone = [point for part in ranks.comm.allgather(written.points) for point in part]
    parallel_assert(finished)
    parallel_assert(sorted(everyone) == list(range(n_points)))
    parallel_assert(written.values == [point**2 for point in written.points])


@on_ranks
@pytest.mark.parametrize("ranks_per_point", [1, 2])
def test_a_point_that_meets_bad_input_stops_all_ranks_and_what_was_done_is_written(
    ranks_per_point,
):
    ranks = start_ranks()
    computed, written = [], Written()
    group = make_groups(ranks, ranks_per_point)

    def work(point):
        is_last_of_group = group.comm.rank == group.comm.size - 1
        if point == 20 and is_last_of_group:
            raise InputError("--loss: fails here")

    def evaluate(point):
        group.agree(lambda: work(point))
        computed.append(point)
        return np.array([point**2.0])

    with Watch(ranks, stall_seconds=60) as watch, pytest.raises(SharedInputError) as caught:
        run_rounds(
            ranks,
            group,
            np.arange(37) if ranks.is_root else None,
            n_quantities=1,
            round_seconds=0.05,
            evaluate_points=one_by_one(evaluate),
            write_round=written.write,
            report=written.reports.append,
            stop=StopRequest(),
            watch=watch,
        )
    everyone = ranks.comm.allgather((computed, written.points, group.is_leader))
    parallel_assert(str(caught.value) == "--loss: fails here")
    parallel_assert(all(done == points for done, points, leads in everyone if leads))
    parallel_assert(not any(20 in done for done, _, _ in everyone))


@on_ranks
def test_every_rank_writes_in_every_round_also_without_points():
    ranks = start_ranks()
    _, written = run(ranks, 5, lambda point: 0.0)
    everyone = ranks.comm.allgather(len(written.shards))
    parallel_assert(len(set(everyone)) == 1)
    if ranks.is_root:
        assert len(written.reports) == len(written.shards)
        assert written.reports[-1].n_pending == 0
        assert sum(report.n_points for report in written.reports) == 5


@pytest.mark.parallel([2, 3])
def test_a_slow_rank_gets_fewer_points(monkeypatch):
    """By a clock that nothing but points moves: the first round measures one point of each rank."""
    ranks = start_ranks()
    now = 0.0

    def evaluate(point):
        nonlocal now
        now += 0.02 if ranks.rank == 1 else 0.004
        return 0.0

    clock = SimpleNamespace(perf_counter=lambda: now)
    monkeypatch.setattr("landscape_mpi.cluster.rounds.time", clock)
    _, written = run(ranks, 300, evaluate, round_seconds=0.4)
    shares = ranks.comm.allgather(written.shards[1])  # the round after the first measurement
    others = [share for rank, share in enumerate(shares) if rank != 1]
    parallel_assert(min(others) > 2 * shares[1])


def slow_from_its_20th_point(ranks):
    """Return an evaluation that takes rank 1 ten times as long after 20 of its points."""
    n_own = 0

    def evaluate(point):
        nonlocal n_own
        n_own += 1
        time.sleep(0.1 if ranks.rank == 1 and n_own > 20 else 0.01)
        return float(point)

    return evaluate


@pytest.mark.clock
@pytest.mark.parallel([4])
def test_a_rank_that_gets_slow_makes_no_round_long():
    """100 points a rank in a round of 1 s; one of them gets ten times slower in the second."""
    ranks = start_ranks()
    _, written = run(ranks, 300, slow_from_its_20th_point(ranks), round_seconds=1.0)
    if ranks.is_root:
        assert max(report.seconds for report in written.reports) < 1.5


@pytest.mark.clock
@pytest.mark.parallel([4])
def test_a_round_takes_the_seconds_that_it_was_given():
    ranks = start_ranks()
    pause = 0.02 if ranks.rank == 1 else 0.004
    _, written = run(ranks, 300, lambda point: time.sleep(pause) or 0.0, round_seconds=0.4)
    if ranks.is_root:
        assert written.reports[1].balance < 1.5
        assert written.reports[1].seconds == pytest.approx(0.4, rel=0.5)


@pytest.mark.clock
@pytest.mark.parallel([4])
@pytest.mark.parametrize(("slowdown", "least"), [(1, 0.98), (4, 0.90)])
def test_ranks_compute_nearly_all_of_the_time(slowdown, least):
    """By the clock of each rank in its points: the rest is waiting for others and for messages."""
    ranks = start_ranks()
    pause = 0.02 * (slowdown if ranks.rank == 1 else 1)
    shares = []
    while not shares or (shares[-1] < least and len(shares) < 5):  # other programs may be running
        in_points = []

        def evaluate(point, in_points=in_points):
            began = time.perf_counter()
            time.sleep(pause)
            in_points.append(time.perf_counter() - began)
            return 0.0

        ranks.comm.Barrier()
        began = time.perf_counter()
        run(ranks, 1000, evaluate, round_seconds=2.0)
        ranks.comm.Barrier()
        taken = ranks.comm.allreduce(time.perf_counter() - began)
        shares.append(ranks.comm.allreduce(sum(in_points)) / taken)
    parallel_assert(shares[-1] >= least, msg=f"{shares} of the time")


@pytest.mark.parallel([2])
def test_a_rank_that_gets_slow_in_a_round_gives_points_back():
    """100 points a rank in a round of 1 s; one of them gets ten times slower in the second."""
    ranks = start_ranks()
    finished, written = run(ranks, 300, slow_from_its_20th_point(ranks), round_seconds=1.0)
    everyone = [point for part in ranks.comm.allgather(written.points) for point in part]
    parallel_assert(finished)
    parallel_assert(sorted(everyone) == list(range(300)))


@on_ranks
def test_a_stop_on_one_rank_ends_the_run_on_all():
    ranks = start_ranks()
    stop = StopRequest()

    def evaluate(point):
        if ranks.rank == ranks.size - 1 and point < 80:
            stop.name = "SIGUSR1"
        time.sleep(0.001)
        return 1.0

    finished, written = run(ranks, 100, evaluate, round_seconds=0.01, stop=stop)
    n_written = sum(ranks.comm.allgather(len(written.points)))
    parallel_assert(not finished)
    parallel_assert(0 < n_written < 100)


@pytest.mark.parallel([1])
def test_a_stop_ends_the_shard_after_the_point_in_hand():
    stop = StopRequest()

    def evaluate(point):
        if point == 90:
            stop.name = "SIGTERM"
        return float(point)

    finished, written = run(start_ranks(), 100, evaluate, round_seconds=1e6, stop=stop)
    assert not finished
    assert written.points == list(range(99, 89, -1))


@on_ranks
def test_a_stop_with_the_last_point_is_a_finished_run():
    ranks = start_ranks()
    stop = StopRequest()

    def evaluate(point):
        stop.name = "SIGTERM"
        return 1.0

    finished, written = run(ranks, ranks.size, evaluate, stop=stop)
    parallel_assert(finished)
    parallel_assert(len(written.points) == 1)


@pytest.mark.parallel([2, 3, 4])
def test_ranks_of_a_group_compute_the_same_points_and_the_leader_writes_them():
    ranks = start_ranks()
    computed = []
    finished, written = run(
        ranks, 20, lambda point: computed.append(point) or 2.0 * point, ranks_per_point=2
    )
    of_rank = {2: [0, 0], 3: [0, 0, 0], 4: [0, 0, 1, 1]}[ranks.size]
    leader = of_rank.index(of_rank[ranks.rank])
    parallel_assert(finished)
    parallel_assert(ranks.comm.allgather(computed)[leader] == computed)
    parallel_assert(written.points == (computed if ranks.rank == leader else []))
    everyone = [point for part in ranks.comm.allgather(written.points) for point in part]
    parallel_assert(sorted(everyone) == list(range(20)))


@pytest.mark.parallel([2, 4])
def test_a_stop_on_one_rank_of_a_group_ends_the_shard_of_all_before_the_same_point():
    ranks = start_ranks()
    stop, computed = StopRequest(), []

    def evaluate(point):
        computed.append(point)
        if ranks.rank == ranks.size - 1 and len(computed) == 5:
            stop.name = "SIGUSR1"
        return 1.0

    finished, _ = run(ranks, 400, evaluate, round_seconds=1e6, stop=stop, ranks_per_point=2)
    group = [0, 0, 1, 1][: ranks.size]
    everyone = ranks.comm.allgather(computed)
    parallel_assert(not finished)
    parallel_assert(len(everyone[-1]) == 5)
    parallel_assert(everyone[group.index(group[ranks.rank])] == computed)
