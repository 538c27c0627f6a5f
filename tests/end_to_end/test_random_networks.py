"""Random networks: one thread, and rescaled channels.

Oracle: plain_loop.py over the unmodified network, and torch's own losses; float64 says how far off
float32 itself may be. For directions: a network whose output channels are rescaled, and rescaled
back behind them, is the same function, and its surface must be the same. test_cases.py has the
surfaces on two threads and on ranks; `make random-networks` compares hundreds.
"""

import functools
import tempfile
from pathlib import Path

import hypothesis
import pytest
from campaigns.comparison import compare_rescaled
from cases import table
from cases.random_draws import rescalable, settings
from hypothesis import given
from one_process import run_alone


@pytest.mark.parametrize("case", table.random_networks()[:10], ids=str)
def test_the_surface_of_a_random_network_on_one_thread(case, tmp_path):
    out = tmp_path / "surface.h5"
    case.surface(out, run=functools.partial(run_alone, threads=1))
    case.check(out)


@hypothesis.seed(1)
@settings(10)
@given(rescalable())
def test_rescaled_channels_leave_the_surface_of_a_random_network(network):
    options = ["--x=-1:0.7:2", "--y=0.3:0.9:2", "--batch=16"]
    with tempfile.TemporaryDirectory() as folder:
        compared = compare_rescaled(network, options, Path(folder, "surface.h5"))
    assert compared.outcome == "right", compared.words
