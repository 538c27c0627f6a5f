"""The ranks that stay up do what new ones would.

Oracle: the same command under mpiexec.
"""

import os
import sys

import h5py
import numpy as np
import pytest
from conftest import command_on_ranks, environment_of_ranks, runs_on
from rank_pool import RankPool

COUNTING = """
import os, sys, time, torch

torch.manual_seed(0)
sys.stdout.write(f"variable {os.environ.get('VARIABLE')}\\n")  # in one piece

def build():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))

def fail():
    os.kill(os.getpid(), 9)

def hang():
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def on_ranks():
    """The fixture of that name with two ranks of its own, which the tests here end."""
    pool = RankPool(command_on_ranks(2, [sys.executable]), environment_of_ranks(), n_ranks=2)
    yield runs_on(pool)
    pool.close()


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "counting.py").write_text(COUNTING)
    return tmp_path


def surface(out, *options, model="build"):
    words = ["landscape_mpi.surface", f"--model=counting:{model}", "--data=digits", "--limit=50"]
    return [*words, "--x=-1:1:3", f"--out={out}", *options]


def test_a_command_ends_as_under_mpiexec(folder, on_ranks, mpiexec):
    settings = {"cwd": folder, "env": {"VARIABLE": "set"}, "check": True}
    ended = [run(2, surface(f"{i}.h5"), **settings) for i, run in enumerate((on_ranks, mpiexec))]
    for done in ended:
        assert done.stdout.count("variable set\n") == 2
        assert "3 x 1 points" in done.stdout
    assert "VARIABLE" not in os.environ


def test_bad_input_and_what_comes_after_it(folder, on_ranks, mpiexec):
    for run in (on_ranks, mpiexec):
        done = run(2, surface("x.h5", "--x=1:1:0"), cwd=folder)
        assert done.returncode == 2
        assert done.stderr.count("error: ") == 1
    on_ranks(2, surface("x.h5"), cwd=folder, check=True)


def test_a_module_of_the_test_before_is_forgotten(folder, tmp_path_factory, on_ranks):
    other = tmp_path_factory.mktemp("other")
    (other / "counting.py").write_text(COUNTING.replace("manual_seed(0)", "manual_seed(1)"))
    losses = []
    for where in (folder, other, folder):
        on_ranks(1, surface("x.h5", "--fresh"), cwd=where, check=True)
        with h5py.File(where / "x.h5") as file:
            losses.append(file["train_loss"][...])
    np.testing.assert_array_equal(losses[0], losses[2])
    assert (losses[0] != losses[1]).all()


def test_ranks_that_a_command_ended_are_started_again(folder, on_ranks, mpiexec):
    for run in (on_ranks, mpiexec):
        done = run(2, surface("x.h5", model="fail"), cwd=folder)
        assert done.returncode == 128 + 9
    on_ranks(2, surface("x.h5"), cwd=folder, check=True)


def test_a_command_that_hangs_fails_its_test_and_no_other(folder, on_ranks):
    with pytest.raises(pytest.fail.Exception, match="2 ranks, .* not done after 5 s"):
        on_ranks(2, surface("x.h5", model="hang"), cwd=folder, timeout=5)
    on_ranks(2, surface("y.h5"), cwd=folder, check=True)
