"""Oracle: what the shell sees of real ranks: their status, and who said what how often."""

import re
import sys
from types import SimpleNamespace

import pytest

from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.cluster.guard import run_guarded
from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import read_surface

MAIN = """
import sys
from landscape_mpi.cluster import guard
from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.errors import UserCodeError

def user(ranks):
    raise ValueError(f"no such sample on rank {ranks.rank}")

def main(options, ranks):
    if sys.argv[1] == "all" or ranks.rank == 1:
        try:
            user(ranks)
        except ValueError as problem:
            raise UserCodeError("--model: nets:build failed at a point", problem) from problem
    ranks.comm.Barrier()  # which the others wait in
    return 0

sys.exit(guard.run_guarded(main, 1, None, start_ranks()))
"""


@pytest.mark.parametrize("case", ["all", "one"])
def test_what_a_rank_meets_alone_ends_all_with_status_2_and_is_said_once(case, tmp_path, mpiexec):
    script = tmp_path / "main.py"
    script.write_text(MAIN)
    done = mpiexec(3, [script, case])
    assert done.returncode == 2
    who = r"^error: " if case == "all" else r"^\[1/3 \S+\] error: "
    words = "--model: nets:build failed at a point: ValueError: no such sample on rank "
    assert re.search(who + words, done.stderr, re.MULTILINE)
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.count('raise ValueError(f"no such sample') == 1
    assert "MPI_ABORT" not in done.stderr


LOSS = """
import torch
from torch import nn
from torch.nn import functional

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def loss(outputs, targets):
    losses = functional.cross_entropy(outputs, targets, reduction="none")
    if losses.max() > LIMIT:
        raise ArithmeticError("this is no place for me")
    return losses
"""


@pytest.mark.parametrize(
    ("n_ranks", "options"), [(1, []), (2, []), (2, ["--ranks-per-point=2", "--batch=64"])]
)
def test_a_loss_that_raises_far_out_ends_the_run_with_its_own_traceback(
    n_ranks, options, tmp_path, on_ranks
):
    """At the center and near it all is well: the run has begun, and its file is whole."""
    (tmp_path / "far.py").write_text(f"LIMIT = 20\n{LOSS}")
    argv = ["landscape_mpi.surface", "--model=far:network", "--loss=far:loss", "--data=digits"]
    more = ["--x=-40:40:5", "--out=a.h5", "--round-seconds=0.01", *options]
    done = on_ranks(n_ranks, [*argv, *more], cwd=tmp_path)
    assert done.returncode == 2
    surface = read_surface(tmp_path / "a.h5")
    assert not surface.done_of["train_loss"].all()
    place = tmp_path / "far.py"
    line = 1 + f"LIMIT = 20\n{LOSS}".splitlines().index(
        '        raise ArithmeticError("this is no place for me")'
    )
    told = done.stderr[done.stderr.index("error: ") :]
    assert re.match(
        rf"error: --loss: far:loss failed on outputs float32 \[\d+, 10\] and targets int64 "
        rf"\[\d+\]: ArithmeticError: this is no place for me \({place}:{line}\)\n"
        rf"Traceback \(most recent call last\):\n"
        rf'  File "{place}", line {line}, in loss\n'
        rf'    raise ArithmeticError\("this is no place for me"\)\n'
        rf"ArithmeticError: this is no place for me\n",
        told,
    )
    assert done.stderr.count("Traceback") == 1
    assert "MPI_ABORT" not in done.stderr


OWN = """
import asyncio
import torch
from mpi4py import MPI
from torch import nn
from landscape_mpi import Problem, compute_surface

class OfMyOwn(BaseException):
    pass

class Network(nn.Linear):
    def forward(self, x):
        if PLACE == "forward" and self.weight.abs().max() > 5:
            end()
        return super().forward(x)

    def set_extra_state(self, state):
        if PLACE == "set_extra_state":
            end()

    def get_extra_state(self):
        return {"version": 1}

def end():
    if MPI.COMM_WORLD.rank in RANKS:
        raise KIND("as I like it")

def loss(network, batch):
    if PLACE == "loss" and network.weight.abs().max() > 5:
        end()
    return network(batch).square().sum(1)

def problem():
    if PLACE == "problem":
        end()
    torch.manual_seed(0)
    return Problem(Network(2, 3), [torch.ones(4, 2)] * 4, loss)

if __name__ == "__main__":
    compute_surface(problem(), x=(-40, 40, 5), round_seconds=0.01, progress=False)
"""
KINDS = ["KeyboardInterrupt", "GeneratorExit", "SystemExit", "asyncio.CancelledError", "OfMyOwn"]


def own_code(folder, kind, place, ranks):
    text = OWN.replace("KIND", kind).replace("PLACE", repr(place)).replace("RANKS", ranks)
    (folder / "own.py").write_text(text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["loss", "forward"])
def test_no_exception_of_the_users_is_taken_for_the_end_of_the_job(kind, place, tmp_path, on_ranks):
    own_code(tmp_path, kind, place, "(1,)")
    argv = ["landscape_mpi.surface", "--problem=own:problem", "--x=-40:40:5", "--out=a.h5"]
    done = on_ranks(2, [*argv, "--round-seconds=0.01"], cwd=tmp_path)
    assert (done.returncode, "MPI_ABORT" in done.stderr) == (2, False), done.stderr
    name = kind.rpartition(".")[2]
    assert re.search(
        rf"error: Problem: loss raised on batch \d of data\['train'\] at alpha = -?40, beta = 0: "
        rf"{name}: as I like it \({tmp_path}/own.py:\d+\)\nTraceback ",
        done.stderr,
    ), done.stderr
    assert done.stderr.count("Traceback") == 1
    assert not read_surface(tmp_path / "a.h5").done_of["train_loss"].all()


@pytest.mark.parametrize("kind", ["RuntimeError", "KeyboardInterrupt"])
@pytest.mark.parametrize("ranks", ["(0, 1)", "(1,)"])
@pytest.mark.parametrize("place", ["problem", "set_extra_state"])
def test_a_method_that_raises_ends_with_the_users_traceback(kind, ranks, place, tmp_path, on_ranks):
    own_code(tmp_path, kind, place, ranks)
    argv = ["landscape_mpi.surface", "--problem=own:problem", "--x=-1:1:3", "--out=a.h5"]
    done = on_ranks(2, argv, cwd=tmp_path)
    assert (done.returncode, "MPI_ABORT" in done.stderr) == (2, False), done.stderr
    told = done.stderr[done.stderr.index("error: ") :]
    assert re.match(rf"error: .*: {kind}: as I like it \({tmp_path}/own.py:\d+\)\nTraceback", told)
    assert f'  File "{tmp_path}/own.py", line ' in told
    assert "landscape_mpi/" not in told
    assert done.stderr.count("Traceback") == 1
    assert done.stderr.count("error: ") == 1


def test_in_python_too(tmp_path, on_ranks):
    kind = "KeyboardInterrupt"
    own_code(tmp_path, kind, "loss", "(1,)")
    done = on_ranks(2, ["own.py"], cwd=tmp_path)
    assert "MPI_ABORT" not in done.stderr
    assert re.search(rf"SharedInputError: Problem: loss raised .* {kind}: as I like", done.stderr)


ALONE = """
import sys
from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.jobs.live.quiet_job import do_quietly

ranks = start_ranks()
sys.stderr = open(f"{sys.argv[2]}.{ranks.rank}", "w", buffering=1)

def work(stop):
    if sys.argv[1] == "all" or ranks.rank == 1:
        raise KeyboardInterrupt("I end here")
    ranks.comm.Barrier()

do_quietly(ranks, work, ())
"""


@pytest.mark.parametrize("case", ["all", "one"])
def test_a_rank_that_is_alone_in_python_says_so_and_leaves(case, tmp_path, mpiexec):
    script = tmp_path / "alone.py"
    script.write_text(ALONE)
    done = mpiexec(2, [script, case, tmp_path / "told"])
    assert "MPI_ABORT" not in done.stderr
    told = [(tmp_path / f"told.{rank}").read_text() for rank in range(2)]  # a launcher mixes them
    words = r"your own code raised: KeyboardInterrupt: I end here \("
    if case == "all":  # each rank has its own, as Python has it
        assert done.returncode == 1
        for text in told:
            assert re.search(f"^landscape_mpi.errors.InputError: {words}", text, re.MULTILINE)
            assert "[1/2 " not in text
    else:
        assert done.returncode == 2
        assert len(re.findall(rf"^\[1/2 \S+\] error: {words}", told[1], re.MULTILINE)) == 1
        assert "error" not in told[0]


def test_a_defect_of_ours_still_aborts(tmp_path, mpiexec):
    """If a module of this package raises, no frame is the user's."""
    script = tmp_path / "defect.py"
    script.write_text(
        "import sys\n"
        "from landscape_mpi.cluster import guard\n"
        "from landscape_mpi.cluster.communicator import start_ranks\n"
        "sys.exit(guard.run_guarded(int, 1, None, start_ranks()))\n"  # int takes no ranks
    )
    done = mpiexec(2, [script])
    assert done.returncode == 1
    assert re.search(r"^\[\d/2 \S+\] TypeError: ", done.stderr, re.MULTILINE)
    assert "error: " not in done.stderr


def test_the_lines_of_ranks_cannot_mix(monkeypatch):
    """One write each: between two, a launcher puts what another rank has written."""
    writes = []
    monkeypatch.setattr(
        sys, "stderr", SimpleNamespace(write=writes.append, flush=lambda: writes.append(None))
    )
    assert run_guarded(int, None, InputError("--x: a\n  and more"), start_ranks()) == 2
    assert writes == ["error: --x: a\n  and more\n", None]
