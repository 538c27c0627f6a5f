"""Ranks of adaptive and sampled runs, killed by SIGKILL, then the same command on other ranks.

Oracle: the file of one rank that nothing happened to, bit for bit. A kill comes in the middle of a
round, or in the middle of a write, after the values of points that had others before and before
the flags that make them count.
"""

import os
import re
import signal

import pytest
from limits import LIMIT_S
from one_process import run_alone
from sine_network import NETWORK, write_network
from stored_points import assert_same_points, points_of
from test_adaptive_surface import SLOW
from test_surface import processes_running

N = 25
COMMON = ["--model=small_network:build", "--data=digits", "--limit=600", "--batch=64"]
COMMON += [f"--x=-6:6:{N}", f"--y=-6:6:{N}", "--splits=train", "--only=none", "--ignore=none"]
ADAPTIVE, SAMPLED = ["--adaptive=0.1"], ["--rtol=0.05"]
KINDS = {"adaptive": ADAPTIVE, "sampled": SAMPLED, "both": [*ADAPTIVE, *SAMPLED]}

# The same network, whose batches take rank 0 a second once this many points are written.
N_KILLED = 200  # an adaptive run is past its first level
SLOW_LATER = f"""{SLOW}
from landscape_mpi.cluster.progress import Progress

report = Progress.report

def report_and_slow_down(progress, done):
    if progress.n_computed + done.n_points >= {N_KILLED} and "LAG" in os.environ:
        os.environ["LAG"] = "1"
    report(progress, done)

Progress.report = report_and_slow_down
"""

# The same network, on a rank 0 that is killed once it has written so many steps of rounds.
KILLED_IN_A_WRITE = f"""{NETWORK}
import os, signal
from mpi4py import MPI
from landscape_mpi.store.round_writer import RoundWriter

n_steps, write = int(os.environ.get("STEPS", "0")), RoundWriter._write

def write_and_die(*arguments, **more):
    global n_steps
    write(*arguments, **more)
    n_steps -= 1
    if n_steps == 0 and MPI.COMM_WORLD.rank == 0:
        os.kill(os.getpid(), signal.SIGKILL)

if n_steps:
    RoundWriter._write = write_and_die
"""
OF_ROUND_2 = {"flags cleared": 4, "values written": 5}  # a round that goes on has three steps


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return a function that gives the file of one rank for some options, made once."""
    folder, known = tmp_path_factory.mktemp("made"), {}
    write_network(folder)

    def make(*options):
        if options not in known:
            path = folder / f"{len(known)}.h5"
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                patch.syspath_prepend(str(folder))
                ended = run_alone(argv(path, *options))
            assert ended.status == 0, ended.words
            known[options] = path
        return known[options]

    return make


def argv(out, *options):
    return ["landscape_mpi.surface", *COMMON, *options, f"--out={out}"]


def wait_for_points(process, n_points):
    """Read the log of a run until it has written so many points."""
    seen = []
    for line in process.stdout:
        seen.append(line)
        told = re.match(r"([\d,]+)(?:/\d+ points \(| points computed)", line)
        if told and int(told[1].replace(",", "")) >= n_points:
            return
    pytest.fail("it ended before it could be killed:\n" + "".join(seen))


@pytest.mark.parametrize("kind", KINDS)
def test_a_rank_killed_in_the_middle_of_a_round(kind, made, tmp_path, start_mpiexec, on_ranks):
    write_network(tmp_path, SLOW_LATER)
    out = tmp_path / "killed.h5"
    command = argv(out, *KINDS[kind])
    slow = [*command, "--round-seconds=0.3"]
    process = start_mpiexec(2, slow, env={"LAG": "0.002"}, cwd=tmp_path)
    wait_for_points(process, N_KILLED)
    os.kill(processes_running(out)[-1], signal.SIGKILL)
    assert process.wait(timeout=LIMIT_S) != 0
    done, expected = points_of(out)["done"], points_of(made(*KINDS[kind]))["done"]
    assert N_KILLED <= (done == 1).sum() < (expected == 1).sum()
    told = on_ranks(3, command, cwd=tmp_path, check=True)
    assert f"resuming, {(done == 1).sum()} of them done" in told.stdout
    assert_same_points(out, made(*KINDS[kind]))


@pytest.mark.parametrize(
    ("kind", "step"), [("sampled", "flags cleared"), ("both", "values written")]
)
def test_a_rank_killed_in_a_write_while_a_run_goes_on_to_a_smaller_error(
    kind, step, made, tmp_path, mpiexec, on_ranks
):
    """The points of the round have values, which are replaced."""
    write_network(tmp_path, KILLED_IN_A_WRITE)
    out, tighter = tmp_path / "killed.h5", [*KINDS[kind][:-1], "--rtol=0.02"]
    out.write_bytes(made(*KINDS[kind]).read_bytes())
    before, command = points_of(out), argv(out, *tighter, "--write=gather")
    killed = mpiexec(2, command, env={"STEPS": str(OF_ROUND_2[step])}, cwd=tmp_path)
    assert "exited on signal 9" in killed.stderr
    found = points_of(out)
    lost = (before["done"] == 1) & (found["done"] == 0)
    is_new = before["train_n_samples"] < found["train_n_samples"]
    assert lost.sum() > 2
    assert (is_new[lost] == (step == "values written")).all()
    on_ranks(3, argv(out, *tighter), cwd=tmp_path, check=True)
    assert_same_points(out, made(*tighter))
