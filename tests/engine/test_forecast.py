"""Oracle: arithmetic by hand, and a function that sleeps as long as it says."""

import time

import numpy as np
import pytest

from landscape_mpi.compute.cost import MachineRates, SampleCost
from landscape_mpi.engine.forecast import (
    Measured,
    Work,
    describe,
    describe_adaptive,
    group_seconds,
    run_seconds,
    seconds_per_point,
)


def test_a_run_takes_as_long_as_its_slowest_share():
    # One rank of 3 s and one of 1 s a point: of 4 points the slow one takes 1, the fast one 3.
    seconds = run_seconds(np.array([1.0, 3.0]), n_points=4, n_samples=10)
    assert seconds == pytest.approx(30)
    assert run_seconds(np.array([2.0]), n_points=5, n_samples=1) == pytest.approx(10)


def test_seconds_per_point():
    points = []

    def evaluate(point):
        points.append(point)
        time.sleep(0.4)

    assert seconds_per_point(evaluate, 3) >= 0.4
    assert points[:5] == [0, 0, 1, 2, 0]


def test_short_points_are_measured_for_a_shorter_time():
    """At most 250 points of 2 ms fit into 0.5 s; one more is called before the clock starts."""
    points = []

    def evaluate(point):
        points.append(point)
        time.sleep(0.002)

    assert seconds_per_point(evaluate, 3) >= 0.002
    assert len(points) <= 252


@pytest.mark.parametrize(
    ("precision", "rates", "limit"),
    [
        (
            "fp32",
            MachineRates(1e9, 1e9),
            "at full speed, matrix products alone would take 100 s a point",
        ),
        (
            "fp32",
            MachineRates(1e9, 1e7),
            "at full speed, memory traffic alone would take 400 s a point",
        ),
        (
            "bf16",
            MachineRates(1e9, 1e7),
            "at full speed, memory traffic alone would take 200 s a point",
        ),
        ("fp32", MachineRates(1e7, 1e9), "10,000 s a point, as measured while other jobs disturb"),
    ],
)
def test_the_words(precision, rates, limit):
    """1e6 operations and 1e4 values a sample at 5 ms, 100,000 samples, 4 points on 2 ranks."""
    measured = Measured(precision, np.full(2, 0.005), SampleCost(1e6, 1e4), rates)
    words = describe(measured, Work((2, 2), 4, 100_000, "images"), range(2))
    assert limit in words
    assert "200 images/s per rank, 500 s per point of 100,000 images" in words
    assert words.endswith("2 x 2 points on 2 ranks: about 16 min 40 s")
    share = 1e6 / rates.operations_per_s / 0.005
    assert f"arithmetic: {100 * share:.0f} % of the rate of matrix products" in words


def test_a_run_with_a_tolerance_takes_a_part_of_the_time():
    """It takes 500 or 2,000 of 100 x 100 points, 0.01 s each, and at least 180 of 20 x 20."""
    measured = Measured("fp32", np.array([0.001]), None, MachineRates(1e9, 1e9))
    told = [
        describe_adaptive(
            measured, Work((n, n), n * n, 10, "images"), [0], least=180, tolerance="0.03 decades"
        )
        for n in (100, 20)
    ]
    assert "about 500 if the surface is smooth (5 s), about 2,000 if" in told[0]
    assert "chaotic (20 s), at most all" in told[0]
    assert "about 180 if the surface is smooth (2 s), about 180 if" in told[1]


@pytest.mark.parametrize(
    ("n_pending", "of_rank", "words"),
    [
        (3, [0, 1], "3 points left of 2 x 2 points on 2 ranks: about 16 min 40 s"),
        (4, [0, 0], "2 x 2 points on 2 ranks that share each: about 16 min 40 s"),
        (4, [0, 0, 1, 1], "2 x 2 points on 4 ranks, 2 points at a time: about 8 min 20 s"),
    ],
)
def test_points_that_are_left_or_shared(n_pending, of_rank, words):
    """500 s a point on one rank."""
    rates = MachineRates(1e9, 1e9)
    measured = Measured("fp32", np.full(len(of_rank), 0.005), SampleCost(1e6, 1e4), rates)
    found = describe(measured, Work((2, 2), n_pending, 100_000, "rows"), of_rank)
    assert found.endswith(words)
    assert "200 rows/s per rank" in found


def test_a_group_ends_with_its_slowest_rank():
    seconds = group_seconds(np.array([1.0, 3.0, 4.0]), [0, 0, 1])
    assert seconds.tolist() == [1.5, 4.0]
