"""Oracle: the system itself, which stops a process for good, or code that never returns.

Every case is a run of its own on real ranks, since what is tested ends it.
"""

import os
import re
import socket

import pytest

from landscape_mpi.cluster.watch import STALL_FILE

HOST = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
RUN = """
import os, signal, sys, time
from dataclasses import replace
from landscape_mpi.cluster.communicator import agree, meet, on_root, start_ranks
from landscape_mpi.cluster.set_up_watch import SetUpWatch
from landscape_mpi.cluster.watch import Watch
from landscape_mpi.cluster.window import NodeArrays
from own import hang

case, culprit = sys.argv[1], int(sys.argv[2])
ranks = start_ranks()
watch = SetUpWatch(ranks, stall_seconds=0.3, shortest_limit_s=0)
ranks = replace(ranks, set_up_watch=watch)
is_culprit = ranks.rank == culprit
for _ in range(4):  # of 1 s each, while the others wait: more than the limit of 3 s
    on_root(ranks, lambda: time.sleep(1) if case == "slow" else None)
if case == "function":
    agree(ranks, lambda: hang() if is_culprit else None)
if case == "root":
    on_root(ranks, hang)
if case == "stopped" and is_culprit:
    os.kill(os.getpid(), signal.SIGSTOP)
if case == "bcast" and is_culprit:
    hang()
if case == "bcast":
    NodeArrays(ranks, {})
with Watch(ranks, stall_seconds=60):
    meet(ranks.comm)
watch.end()  # once more does nothing
print("finished", flush=True)
"""
OWN = """
import time

def hang():
    time.sleep(1000)
"""


@pytest.fixture
def script(tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    path = tmp_path / "run.py"
    path.write_text(RUN)
    return path


@pytest.mark.parametrize(
    ("n_ranks", "case", "culprit", "words"),
    [
        (3, "function", 2, r"rank 2 on {host} has been at one step of its set-up for {n} s, .*"),
        (3, "root", 0, r"rank 0 on {host} has been at one step of its set-up for {n} s, .*"),
        (1, "root", 0, r"rank 0 on {host} has been at one step of its set-up for {n} s, .*"),
        (3, "bcast", 1, r"rank 1 on {host} has been at one step of its set-up for {n} s, .*"),
        (3, "stopped", 1, r"rank 1 on {host} has not responded for {n} s, before the first "),
    ],
)
def test_a_rank_that_hangs_is_named_and_the_job_ends(
    n_ranks, case, culprit, words, script, mpiexec
):
    noted = script.with_name("stalled")
    env = {STALL_FILE: str(noted)}
    done = mpiexec(n_ranks, [script, case, str(culprit)], env=env)
    assert done.returncode == 75, done.stderr
    lines = [line for line in done.stderr.splitlines() if "stalled: " in line]
    assert len(lines) == 1
    assert re.search(words.format(host=HOST, n=r"[1-9]\d*"), lines[0])
    if case != "stopped":
        assert f"before the first round, at {script.with_name('own.py')}:5 (hang): " in lines[0]
        assert "pass a tenth of that time as --stall-seconds; now it is 0.3." in lines[0]
    assert lines[0].endswith(f"and without {HOST} if it hangs there again.")
    assert noted.read_text() == f"{HOST}\n"


def test_ranks_that_wait_for_a_slow_one_are_not_taken_for_a_hang(script, mpiexec):
    done = mpiexec(3, [script, "slow", "0"], check=True)
    assert done.stdout.count("finished") == 3
