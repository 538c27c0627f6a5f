"""Stop signals, and what the job script is told of them. On 1 to 4 real ranks."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from one_process import handlers_kept
from pytest_mpi import parallel_assert

from landscape_mpi.cluster import signals
from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.cluster.signals import LISTENING_FILE, STOP_SIGNALS, StopRequest

on_ranks = pytest.mark.parallel([1, 2, 3, 4])


@pytest.fixture(autouse=True)
def _handlers():
    """Give the signals back what they did before."""
    with handlers_kept():
        yield


@on_ranks
@pytest.mark.parametrize("number", STOP_SIGNALS, ids=lambda number: number.name)
def test_a_signal_and_its_echo_are_one_request(number, monkeypatch):
    monkeypatch.setattr(signals, "SAME_SIGNAL_S", 600.0)  # however late this process comes on
    stop = StopRequest()
    stop.listen(start_ranks())
    came_before = stop.came
    os.kill(os.getpid(), number)
    os.kill(os.getpid(), number)
    parallel_assert((came_before, stop.came, stop.name) == (False, True, number.name))


@on_ranks
def test_the_job_script_hears_of_it_once_all_ranks_listen(tmp_path, monkeypatch):
    ranks = start_ranks()
    listening = Path(ranks.comm.bcast(str(tmp_path / "listening")))
    monkeypatch.setenv(LISTENING_FILE, str(listening))
    early = False
    if ranks.rank == ranks.size - 1:
        time.sleep(0.2)
        early = listening.exists()
    StopRequest().listen(ranks)
    ranks.comm.Barrier()
    parallel_assert((early, listening.exists()) == (False, True))


def test_a_process_that_runs_alone_tells_the_job_script_too(tmp_path, monkeypatch):
    monkeypatch.setenv(LISTENING_FILE, str(tmp_path / "listening"))
    StopRequest().listen(None)
    assert (tmp_path / "listening").exists()


def test_without_a_job_script_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.delenv(LISTENING_FILE, raising=False)
    monkeypatch.chdir(tmp_path)
    StopRequest().listen(None)
    assert not list(tmp_path.iterdir())


LATE = """
import os, signal, sys
from landscape_mpi.cluster.signals import StopRequest

class Late:  # ends when Python has given up its handlers, as MPI does
    def __del__(self, kill=os.kill, pid=os.getpid(), number=int(sys.argv[1])):
        kill(pid, number)

late = Late()
if sys.argv[2] == "listens":
    StopRequest().listen(None)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1], ids=lambda n: n.name)
@pytest.mark.parametrize("listens", [True, False])
def test_a_signal_when_all_is_done_does_not_make_it_a_failure(number, listens):
    words = [sys.executable, "-c", LATE, str(int(number)), "listens" if listens else ""]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0 if listens else -number, "")
