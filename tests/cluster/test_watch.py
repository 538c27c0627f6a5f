"""Oracle: the system itself, which stops a process for good (SIGSTOP) or for a while.

Every case is a run of its own on real ranks, since what is tested ends it.
"""

import os
import re
import signal
import socket
import time

import pytest
from limits import LIMIT_S

from landscape_mpi.cluster.watch import STALL_FILE

HOST = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
RUN = """
import os, signal, sys, time
import numpy as np
from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.cluster.groups import make_groups
from landscape_mpi.cluster.rounds import one_by_one, run_rounds
from landscape_mpi.cluster.signals import StopRequest
from landscape_mpi.cluster.watch import Watch

case, culprit, stall_seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
ranks = start_ranks()
pair = ranks.comm.Split(ranks.rank // 2)
n_points = n_rounds = 0
stop = StopRequest()

def evaluate(point):
    global n_points
    n_points += 1
    if os.path.exists(sys.argv[0] + ".enough"):
        stop.name = "enough"
    if case == "pair":
        pair.Barrier()
    if ranks.rank == culprit and n_points == 8:
        if case in ("stopped", "pair"):
            os.kill(os.getpid(), signal.SIGSTOP)
        if case == "device":
            time.sleep(1000)
    time.sleep({"slow": 0.5, "uneven": 0.25 if ranks.rank == culprit else 0.03}.get(case, 0.03))
    return np.zeros(1)

def write(result):
    global n_rounds
    n_rounds += 1
    if n_rounds == 3 and case == "disk":
        time.sleep(1000)
    if n_rounds == 3 and case == "write" and ranks.rank == culprit:
        os.kill(os.getpid(), signal.SIGSTOP)
    ranks.comm.Barrier()

with Watch(ranks, stall_seconds=stall_seconds) as watch:
    run_rounds(
        ranks, make_groups(ranks, 2 if case == "pair" else 1),
        np.arange({"slow": 12, "uneven": 100_000}.get(case, 200)) if ranks.is_root else None,
        n_quantities=1, round_seconds=0.1, evaluate_points=one_by_one(evaluate), write_round=write,
        report=lambda done: print("round", flush=True), stop=stop, watch=watch,
    )
print("finished", flush=True)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "run.py"
    path.write_text(RUN)
    return path


@pytest.mark.parametrize(
    ("case", "culprit", "words"),
    [
        ("stopped", 1, r"rank 1 on {host} has not responded for {n} s \(a point usually takes 0"),
        ("stopped", 0, r"rank 0 on {host} has not responded for {n} s \(a point usually takes 0"),
        ("pair", 1, "rank 1 on {host} has not responded for"),
        ("write", 2, "rank 2 on {host} has not responded for"),
        (
            "device",
            2,
            r"rank 2 on {host} has been in point \d+ for {n} s .*: its device or its node",
        ),
    ],
)
def test_a_rank_that_hangs_is_named_and_the_job_ends(case, culprit, words, script, mpiexec):
    noted = script.with_name("stalled")
    env = {STALL_FILE: str(noted)}
    done = mpiexec(4, [script, case, str(culprit), "1.5"], env=env)
    assert done.returncode == 75, done.stderr
    lines = [line for line in done.stderr.splitlines() if "stalled: " in line]
    assert len(lines) == 1
    assert re.search(words.format(host=HOST, n=r"[1-9]\d*"), lines[0])
    assert lines[0].endswith(
        "All written rounds are kept, and the job ends with status 75: run the same command "
        f"again, and without {HOST} if it hangs there again."
    )
    assert noted.read_text() == f"{HOST}\n"


def test_a_file_system_that_hangs_is_no_ranks_fault(script, mpiexec):
    noted = script.with_name("stalled")
    done = mpiexec(2, [script, "disk", "0", "1.5"], env={STALL_FILE: str(noted)})
    assert done.returncode == 75
    assert "rank 0 on" in done.stderr
    assert "has been in the write of a round for" in done.stderr
    assert ": the file system or the network hangs. All written rounds are kept" in done.stderr
    assert done.stderr.count("stalled: ") == 1
    assert noted.read_text() == "\n"


def test_one_rank_alone_is_watched_too(script, mpiexec):
    done = mpiexec(1, [script, "device", "0", "1"])
    assert done.returncode == 75
    assert re.search(r"stalled: rank 0 on \S+ has been in point 7 for [1-9]\d* s", done.stderr)


def test_slow_points_are_not_taken_for_a_hang(script, mpiexec):
    """Points of 0.5 s, and a limit of 0.3 s: the first and the others have 10 times as much."""
    assert "finished" in mpiexec(2, [script, "slow", "0", "0.3"], check=True).stdout


def ranks_of(script):
    """Return the process ids of the ranks that run a script."""
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdecimal():
            continue
        try:
            with open(f"{entry.path}/cmdline", "rb") as words, open(f"{entry.path}/environ") as env:
                is_rank = "COMM_WORLD_RANK=" in (text := env.read()) or "PMI_RANK=" in text
                if os.fsencode(script) in words.read().split(b"\0") and is_rank:
                    found.append(int(entry.name))
        except OSError:
            continue  # gone, or another user's
    return found


def test_a_suspended_job_goes_on(script, start_mpiexec):
    process = start_mpiexec(3, [script, "uneven", "0", "1"])
    assert process.stdout.readline() == "round\n"
    pids = ranks_of(script)
    assert len(pids) == 3
    time.sleep(0.15)  # ranks 1 and 2 wait for rank 0 now, which is in a point of 0.25 s
    for number in (signal.SIGSTOP, signal.SIGCONT):
        for pid in pids:
            os.kill(pid, number)
        if number == signal.SIGSTOP:
            time.sleep(4)  # the limit is 10 such points
    for _ in range(3):  # one may be of before
        assert process.stdout.readline() == "round\n"
    script.with_name("run.py.enough").touch()
    log, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 0, log
    assert log.count("finished") == 3
