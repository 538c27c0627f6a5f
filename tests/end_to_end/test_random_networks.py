"""Random networks: the surface that the command computes is that of a plain loop.

Oracle: plain_loop.py over the unmodified network, and torch's own losses; float64 says how far off
float32 itself may be. For directions: a network whose output channels are rescaled, and rescaled
back behind them, is the same function, and its surface must be the same. `make random-networks`
compares hundreds.
"""

import os
import tempfile
from pathlib import Path

import hypothesis
import pytest
from campaigns.comparison import VARIABLE, compare, compare_rescaled
from campaigns.strategies import networks, planes, rescalable
from folders import TESTS
from hypothesis import HealthCheck, Phase, given
from one_process import Ended, run_alone


def few(n):
    """Return settings for n networks, the same in every run; none is tried again smaller."""
    return hypothesis.settings(
        max_examples=n,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )


@few(30)
@given(networks(), planes())
def test_the_surface_of_a_random_network(network, options):
    with tempfile.TemporaryDirectory() as folder:
        compared = compare(network, options, Path(folder, "surface.h5"))
    assert compared.outcome == "right", compared.words


@few(10)
@given(networks(), planes())
def test_the_surface_of_a_random_network_on_one_thread(network, options):
    with tempfile.TemporaryDirectory() as folder:
        one = lambda words: run_alone(words, threads=1)  # noqa: E731
        compared = compare(network, options, Path(folder, "surface.h5"), one)
    assert compared.outcome == "right", compared.words


@few(10)
@given(rescalable())
def test_rescaled_channels_leave_the_surface_of_a_random_network(network):
    options = ["--x=-1:0.7:2", "--y=0.3:0.9:2", "--batch=16"]
    with tempfile.TemporaryDirectory() as folder:
        compared = compare_rescaled(network, options, Path(folder, "surface.h5"))
    assert compared.outcome == "right", compared.words


@pytest.mark.parametrize("shared", ["points", "samples"])
def test_the_surface_of_random_networks_on_two_ranks(shared, on_ranks):
    sharing = {"points": 1, "samples": 2}[shared]

    def on_two(words):
        own = {VARIABLE: os.environ[VARIABLE]}
        done = on_ranks(2, [*words, f"--ranks-per-point={sharing}"], cwd=TESTS, env=own)
        return Ended(done.returncode, f"{done.stdout}\n{done.stderr}")

    @few(5)
    @given(networks(), planes())
    def check(network, options):
        with tempfile.TemporaryDirectory() as folder:
            compared = compare(network, options, Path(folder, "surface.h5"), on_two)
        assert compared.outcome == "right", compared.words

    check()
