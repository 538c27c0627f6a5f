"""The simulation of examples/scaling.md.

Oracle: runs whose length can be told by hand, since all points take the same time; and the table
on the page itself.
"""

import importlib.util
from dataclasses import replace

import numpy as np
import pytest
from folders import ROOT

EXAMPLES = ROOT / "examples"
specification = importlib.util.spec_from_file_location("scaling", EXAMPLES / "scaling.py")
scaling = importlib.util.module_from_spec(specification)
specification.loader.exec_module(scaling)

SAME = [np.full(7, 0.5)]  # every point takes 0.5 s


def cluster(n_ranks, scenario=scaling.EVEN):
    return scaling.Cluster(n_ranks, SAME, scenario, np.random.default_rng(0))


@pytest.mark.parametrize(("n_points", "seconds"), [(3200, 50), (3201, 50.5), (32, 0.5), (1, 0.5)])
def test_ranks_that_are_all_alike(n_points, seconds):
    assert scaling.simulate_run(n_points, cluster(32), write_s=0) == pytest.approx(seconds)


def test_the_writes_of_the_rounds():
    # 64 points a rank are a round of one, one of four fifths of the rest, and the last.
    assert scaling.simulate_run(2048, cluster(32), write_s=1) == pytest.approx(32 + 3)


def test_a_rank_that_hangs_costs_its_round_the_limit_and_the_restart():
    # At 20 s of 100 s, in the second round: 0.5 s were written. A restart measures again.
    taken = scaling.simulate_run(6400, cluster(32), hang_at_s=20, write_s=0)
    assert taken == pytest.approx(20 + 300 + 60 + 99.5)


def test_slow_ranks_take_twice_as_long():
    some = cluster(200, replace(scaling.EVEN, slow_share=0.01))
    assert sorted(some.point_s)[-3:] == [0.5, 1.0, 1.0]


def test_pauses():
    always = cluster(1, replace(scaling.EVEN, pauses_per_hour=720.0))
    n_done, seconds = always.compute(0, 10_000, np.inf)
    assert n_done == 10_000
    assert seconds == pytest.approx(5000 + 1000 * 5, rel=0.1)  # 0.2 pauses of 5 s in a second


def test_1024_ranks_hold_95_percent_of_251_x_251_points():
    times = scaling.read_times()
    assert np.mean(np.concatenate(times)) == pytest.approx(0.655, abs=0.001)
    for scenario in (scaling.EVEN, scaling.UNEVEN, scaling.FAILURES):
        assert scaling.efficiency(251**2, 1024, scenario, times, seed=0) > 0.95


def test_the_page_has_the_numbers_of_this_program():
    page = (EXAMPLES / "scaling.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith("| 51 x 51 | 256 |"))
    shown = [float(cell) for cell in row.split("|")[4:-1]]
    times = scaling.read_times()
    runs = [
        [scaling.efficiency(51**2, 256, scenario, times, seed) for seed in range(scaling.N_RUNS)]
        for scenario in scaling.SCENARIOS
    ]
    computed = [scaling.whole_points(51**2, 256), *np.mean(runs, axis=1)]
    assert shown == pytest.approx(100 * np.array(computed), abs=0.11)
