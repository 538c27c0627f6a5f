"""The list of commands, and each command by its short name.

Oracles: the modules that have a main(), read from their source; each module run by itself with -m.
"""

import os
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
from command_modules import COMMANDS
from folders import ROOT

from landscape_mpi.errors import EXIT_BAD_INPUT

NETWORK = """
import torch

def network():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
"""


def run_package(*words, code=None):
    start = ["-m", "landscape_mpi"] if code is None else ["-c", code]
    argv = [sys.executable, *start, *words]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_command_is_listed_once_with_its_own_first_sentence():
    done = run_package()
    listed = re.findall(r"^  ([a-z]+) +(\S.*)$", done.stdout.partition("Examples:")[0], re.M)
    assert sorted(name for name, _ in listed) == COMMANDS
    for name, sentence in listed:
        source = (ROOT / f"landscape_mpi/{name}.py").read_text()
        assert source.removeprefix("r").startswith(f'"""{sentence}\n')
    assert done.returncode == 0
    assert run_package("--help").stdout == done.stdout


def test_the_list_waits_for_nothing_heavy():
    code = (
        "import sys; from landscape_mpi.__main__ import overview; overview()\n"
        "print(*({'numpy', 'torch', 'mpi4py', 'h5py', 'matplotlib'} & set(sys.modules)))"
    )
    done = run_package(code=code)
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


@pytest.mark.parametrize("words", [["plot", "--list=kinds"], ["train", "--list=data"]])
def test_a_command_by_its_name_is_the_module(words):
    argv = [sys.executable, "-m", f"landscape_mpi.{words[0]}", *words[1:]]
    alone = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=True)
    assert run_package(*words).stdout == alone.stdout


def test_a_command_on_two_ranks(mpiexec, on_ranks, tmp_path):
    (tmp_path / "net.py").write_text(NETWORK)
    words = ["--model=net:network", "--data=digits", "--limit=20", "--x=-1:1:3", "--device=cpu"]
    own = ["-m", "landscape_mpi", "surface", *words, "--out=a.h5"]
    mpiexec(2, own, check=True, cwd=tmp_path)
    on_ranks(2, ["landscape_mpi.surface", *words, "--out=b.h5"], check=True, cwd=tmp_path)
    with h5py.File(tmp_path / "a.h5") as short, h5py.File(tmp_path / "b.h5") as full:
        np.testing.assert_array_equal(short["train_loss"], full["train_loss"])
        again = f"python -m landscape_mpi.surface {' '.join(words)} --out=a.h5"
        assert short["provenance"].attrs["command"] == again


def test_the_next_step_is_typed_as_the_command_was(mpiexec, tmp_path):
    (tmp_path / "net.py").write_text(NETWORK)
    script = tmp_path / "landscape-mpi"  # as pip writes it
    script.write_text(
        f"#!{sys.executable}\nimport sys\n"
        "from landscape_mpi.__main__ import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    words = ["--model=net:network", "--data=digits", "--limit=20", "--x=0", "--device=cpu"]
    done = mpiexec(2, [script, "surface", *words, "--out=a.h5"], check=True, cwd=tmp_path)
    assert done.stdout.endswith("\ndone: a.h5; next: landscape-mpi plot a.h5\n")
    own = ["-m", "landscape_mpi", "surface", *words, "--out=b.h5"]
    done = mpiexec(2, own, check=True, cwd=tmp_path)
    assert done.stdout.endswith("\ndone: b.h5; next: python -m landscape_mpi plot b.h5\n")


def test_an_unknown_command_is_refused_with_the_nearest(mpiexec):
    done = mpiexec(2, ["-m", "landscape_mpi", "surfaces"])
    assert done.returncode == EXIT_BAD_INPUT
    sentence = (
        "python -m landscape_mpi: 'surfaces' is not known. Did you mean surface? Known: surface, "
    )
    assert done.stderr.count(sentence) == 1


def test_a_reader_of_the_list_that_has_seen_enough_is_no_error():
    read, write = os.pipe()
    os.close(read)  # as head does after its lines
    argv = [sys.executable, "-m", "landscape_mpi"]
    done = subprocess.run(argv, cwd=ROOT, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (done.returncode, done.stderr) == (141, b"")


def test_bad_input_keeps_its_status():
    done = run_package("plot", "nowhere.h5")
    assert done.returncode == EXIT_BAD_INPUT
    assert done.stderr.startswith("error: nowhere.h5: ")
