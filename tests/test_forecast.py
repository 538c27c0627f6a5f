"""Oracle: arithmetic by hand, and a function that sleeps as long as it says."""

import time

import numpy as np
import pytest

from landscape_mpi.compute.cost import MachineRates, SampleCost
from landscape_mpi.job.forecast import Measured, describe, run_seconds, seconds_per_point


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

    assert seconds_per_point(evaluate, 3) == pytest.approx(0.4, rel=0.25)
    assert points[:5] == [0, 0, 1, 2, 0]


@pytest.mark.parametrize(
    ("precision", "rates", "limit"),
    [
        ("fp32", MachineRates(1e9, 1e9), "what limits it is matrix products: 100 s a point"),
        ("fp32", MachineRates(1e9, 1e7), "what limits it is memory traffic: 400 s a point"),
        ("bf16", MachineRates(1e9, 1e7), "what limits it is memory traffic: 200 s a point"),
        ("fp32", MachineRates(1e7, 1e9), "10,000 s a point, as measured while other jobs disturb"),
    ],
)
def test_the_words(precision, rates, limit):
    """1e6 operations and 1e4 values a sample at 5 ms, 100,000 samples, 4 points on 2 ranks."""
    measured = Measured(precision, np.full(2, 0.005), SampleCost(1e6, 1e4), rates)
    words = describe(measured, grid=(2, 2), n_samples=100_000)
    assert limit in words
    assert "200 images/s a rank, 500 s a point of 100,000 images" in words
    assert words.endswith("2 x 2 points on 2 ranks: about 16 min 40 s")
    share = 1e6 / rates.operations_per_s / 0.005
    assert f"arithmetic: {share:.0%} of the matrix products" in words
