"""Oracle: the system's own answers to who and where, asked through the environment and pwd."""

import os
import pwd
import subprocess
import sys

import h5py
import mpi4py
import numpy as np
import pytest

from landscape_mpi.engine.provenance import made_by, user_name
from landscape_mpi.store.runs import make_row


@pytest.fixture(autouse=True)
def of_no_name(monkeypatch):
    """The variables that getpass looks at first are not set."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "LANDSCAPE_NO_USER"):
        monkeypatch.delenv(name, raising=False)


def test_who_made_a_file_and_where():
    made = made_by("landscape_mpi.surface")
    assert made["user"] == pwd.getpwuid(os.getuid()).pw_name
    assert made["host"] == os.environ.get("SLURMD_NODENAME", os.uname().nodename)
    assert made["command"].startswith("python -m landscape_mpi.surface")


def test_a_surface_from_python_names_the_program_that_made_it(tmp_path):
    """In a notebook there is none, and no command of ours would make the surface again."""
    lines = (
        "import sys, torch, landscape_mpi",
        "data = torch.ones(4, 2), torch.zeros(4, dtype=torch.long)",
        "landscape_mpi.compute_surface(torch.nn.Linear(2, 2), data, out=sys.argv[1], x=(-1, 1, 3))",
    )
    program = tmp_path / "mine.py"
    program.write_text("\n".join(lines))
    made = {}
    for name, words in (("file", [str(program)]), ("notebook", ["-c", "\n".join(lines)])):
        out = tmp_path / f"{name}.h5"
        subprocess.run([sys.executable, *words, str(out)], check=True, capture_output=True)
        with h5py.File(out) as file:
            made[name] = file["provenance"].attrs["command"]
    assert made == {"file": f"python {program} {tmp_path / 'file.h5'}", "notebook": ""}


def test_mpi_is_told_where_it_was_started_and_not_started_for_that():
    code = (
        "import sys\nfrom landscape_mpi.engine.provenance import versions\n"
        "print(versions(), 'mpi4py' in sys.modules)\n"
        "from mpi4py import MPI\nprint(versions())"
    )
    argv = [sys.executable, "-c", code]
    alone, on_ranks = subprocess.run(argv, capture_output=True, check=True).stdout.splitlines()
    assert b"torch" in alone
    assert alone.endswith(b"False")
    assert b", mpi4py " + mpi4py.__version__.encode() in on_ranks


def test_the_name_of_the_user_can_be_left_out(monkeypatch):
    monkeypatch.setenv("LANDSCAPE_NO_USER", "1")
    assert "user" not in made_by("landscape_mpi.surface")
    monkeypatch.setenv("LANDSCAPE_NO_USER", "0")
    assert made_by("landscape_mpi.surface")["user"]


def test_a_user_without_a_name_as_in_a_container(monkeypatch):
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    monkeypatch.setattr(
        os, "getuid", lambda: next(n for n in range(54321, 60000) if n not in taken)
    )
    assert user_name() == ""
    assert "user" not in made_by("landscape_mpi.surface")


def test_a_name_that_the_table_of_runs_cannot_hold_is_shown_as_far_as_it_can():
    assert make_row(user="Ada é")["user"] == b"Ada ?"
    assert make_row(user="x" * 100)["user"] == b"x" * 61 + b"..."
    assert np.dtype(make_row().dtype).names[-2:] == ("user", "checksum")
