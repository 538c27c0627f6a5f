"""Oracle: lines written out by hand."""

import contextlib
import os
import pty
import sys
import termios

import pytest

from landscape_mpi.cluster.duration import describe_duration
from landscape_mpi.cluster.progress import Progress
from landscape_mpi.cluster.rounds import RoundReport


def test_a_log_gets_one_plain_line_a_round(capsys):
    with Progress(n_points=200, n_done=100, samples_per_point=1000) as progress:
        progress.report(RoundReport(n_points=50, n_pending=50, seconds=10.0, balance=1.25))
    line = capsys.readouterr().out
    assert line.startswith("150/200 points (75 %), 5,000 images/s, balance 1.25, ")
    assert line.endswith(" left\n")
    assert progress.n_computed == 50


@pytest.mark.parametrize(
    ("n_points", "words"), [(7, "42 points/min"), (647, "3,882 points/min"), (0, "0 points/min")]
)
def test_points_whose_samples_are_not_counted(n_points, words, capsys):
    with Progress(n_points=1000, n_done=0, samples_per_point=None) as progress:
        progress.report(RoundReport(n_points=n_points, n_pending=1, seconds=10.0, balance=1.0))
    assert f", {words}, balance" in capsys.readouterr().out


def test_without_a_point_there_is_no_estimate(capsys):
    with Progress(n_points=200, n_done=0, samples_per_point=1000) as progress:
        progress.report(RoundReport(n_points=0, n_pending=200, seconds=1.0, balance=1.0))
    assert "time left unknown" in capsys.readouterr().out


def read_until_closed(reader):
    text = b""
    with contextlib.suppress(OSError):  # Linux answers so when the other end is closed
        while part := os.read(reader, 65536):
            text += part
    return text.decode()


def test_a_terminal_gets_a_bar(monkeypatch):
    reader, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    with open(terminal, "w") as screen:
        monkeypatch.setattr(sys, "stderr", screen)
        with Progress(n_points=4, n_done=1, samples_per_point=10) as progress:
            progress.report(RoundReport(n_points=3, n_pending=0, seconds=1.0, balance=1.0))
    shown = read_until_closed(reader)
    assert "4/4" in shown
    assert "30 images/s, balance 1.00" in shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (61, "1 min 01 s"),
        (3599.6, "1 h 00 min"),
        (7500, "2 h 05 min"),
        (90000, "25 h 00 min"),
    ],
)
def test_durations(seconds, words):
    assert describe_duration(seconds) == words
