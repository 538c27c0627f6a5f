"""Oracle: files whose every number is written down here, and a process without MPI and torch."""

import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime

import h5py
import numpy as np
import pytest
import surface_files
from limits import LIMIT_S
from long_runs import SLOW, processes_running, wait_for_round
from mpi4py import MPI

from landscape_mpi.engine.grid import coarse_to_fine
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.surface.status import describe
from landscape_mpi.store.checksums import seal
from landscape_mpi.store.creation import SurfaceContent, create_surface
from landscape_mpi.store.provenance import read_provenance
from landscape_mpi.store.reader import read_surface
from landscape_mpi.store.runs import make_row, settle_killed_run
from landscape_mpi.store.schema import MAX_RUNS, RUN
from landscape_mpi.store.status import read_status
from landscape_mpi.store.writer import GatheringWriter
from landscape_mpi.views.report.tables import provenance_table

ORDER = coarse_to_fine(4, 5)
STARTED = "2026-11-21T12:00:00+00:00"
NOW = datetime(2026, 11, 21, 12, 1, 30, tzinfo=UTC)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "net.h5"
    attributes = {"/": {"model": "resnet8", "data": "digits"}, "directions": {}, "provenance": {}}
    content = SurfaceContent(np.arange(4.0), np.arange(5.0), ("train_loss",), attributes)
    create_surface(path, content)
    return path


def fill(path, n_done, runs, *, last_write=datetime(2026, 11, 21, 12, 1, 20, tzinfo=UTC)):
    """Mark the first points done, by ranks 0 and 1 in turn with 1 s and 3 s a point."""
    turns = np.arange(n_done) % 2
    columns = {"rank": turns, "seconds": 1.0 + 2 * turns, "train_loss": np.zeros(n_done)}
    writer = GatheringWriter(path, comm=MPI.COMM_SELF)
    writer.write_round(ORDER[:n_done], columns)
    for number, row in enumerate(runs):
        writer.write_run(number, row)
    writer.close()
    os.utime(path, (last_write.timestamp(),) * 2)


def row(**fields):
    words = {"started": STARTED, "ranks": 2, "hosts": "1 x n1, 1 x n2", "devices": "2 x H200"}
    return make_row(**{**words, **fields})


FIRST = row(ended="2026-11-21T11:00:00+00:00", outcome="stopped by SIGTERM", points=4)


def test_a_run_that_goes_on(path):
    fill(path, 12, [FIRST, row()])
    assert describe(read_status(path), now=NOW).splitlines() == [
        f"{path}: resnet8 on digits, 4 x 5 points",
        "12 of 20 points done (60 %), last write 10 s ago",
        # 8 points from 12:00:00 to 12:01:20
        "run 2, 2026-11-21 12:00:00 UTC: running, or killed; 8 points, 10 s a point, "
        "1 min 20 s left",
        # the ranks were busy for 4 s and 12 s
        "2 ranks, 1 on n1, 1 on n2: 2 x H200; balance 1.50",
    ]


def test_a_run_that_ended(path):
    ended = row(ended="2026-11-21T12:00:04+00:00", outcome="complete", points=16, ranks=1)
    fill(path, 20, [FIRST, ended])
    lines = describe(read_status(path), now=NOW).splitlines()
    assert lines[1] == "20 of 20 points done (100 %), last write 10 s ago"
    assert lines[2] == (
        "run 2, 2026-11-21 12:00:00 UTC to 2026-11-21 12:00:04 UTC: complete; 16 points, 4 points/s"
    )
    assert lines[3].startswith("1 rank, ")


def test_a_run_without_a_round(path):
    fill(path, 4, [FIRST, row()])
    lines = describe(read_status(path), now=NOW).splitlines()
    assert lines[2].endswith(": running, or killed; no round written yet")
    assert lines[3].endswith(": 2 x H200")


def test_a_full_table_of_runs(path):
    fill(path, 12, [row()] * MAX_RUNS)
    lines = describe(read_status(path), now=NOW).splitlines()
    assert lines[2].endswith("its rate is unknown, because the table of runs is full")


def test_before_the_first_run(path):
    assert len(describe(read_status(path), now=NOW).splitlines()) == 2


def test_a_file_of_the_reference_implementation(tmp_path):
    path = surface_files.write_reference(
        tmp_path / "m.h5", [0.0, 1.0], [0.0, 1.0], lambda x, y: (1, 90), missing=(3,)
    )
    lines = describe(read_status(path), now=NOW).splitlines()
    assert lines[0] == f"{path}: 2 x 2 points"
    assert lines[1].startswith("3 of 4 points done (75 %)")


def test_a_file_that_is_no_surface(tmp_path):
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file["weights"] = [1.0]
    with pytest.raises(
        InputError, match="is an HDF5 file, but not a surface file. It holds weights"
    ):
        read_status(path)


def test_a_killed_run_is_entered_by_the_next_one(path):
    fill(path, 12, [FIRST, row()])
    settle_killed_run(path)
    settle_killed_run(path)
    with h5py.File(path) as file:
        assert file["provenance/runs"]["points"][:3].tolist() == [4, 8, 0]


@pytest.mark.parametrize("runs", [[], [FIRST], [row()] * MAX_RUNS])
def test_where_no_run_was_killed_or_nobody_knows_the_file_stays(path, runs):
    fill(path, 12, runs)
    before = path.read_bytes()
    settle_killed_run(path)
    assert path.read_bytes() == before


def changed_run(path, number, column, place=0):
    """Change one bit of a row of the table of runs."""
    with h5py.File(path) as file:
        node = file["provenance/runs"]
        begin = node.id.get_offset() + number * node.dtype.itemsize
        begin += node.dtype.fields[column][1] + place
    data = bytearray(path.read_bytes())
    data[begin] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("column", ["started", "ended", "outcome", "points", "hosts", "checksum"])
def test_a_changed_row_of_the_table_of_runs_is_left_out(column, path):
    fill(path, 12, [FIRST, row()])
    before = path.read_bytes()
    changed_run(path, 1, column)
    lines = describe(read_status(path), now=NOW).splitlines()
    words = "1 row of the table of runs is damaged and left out; no value of the surface depends"
    assert lines[2:] == [f"{words} on it"]
    found = read_provenance(path)
    assert [run.n_points for run in found.runs] == [4]
    assert f"<p>{words} on it.</p>" in provenance_table(read_surface(path), found)
    changed = path.read_bytes()
    settle_killed_run(path)  # nobody knows how many points it computed
    assert path.read_bytes() == changed
    path.write_bytes(before)
    changed_run(path, 0, column)
    lines = describe(read_status(path), now=NOW).splitlines()
    assert lines[2] == f"{words} on it"
    assert lines[3].endswith("its rate is unknown, because the table of runs is damaged")


def test_illegible_rows_of_older_versions_are_left_out(path):
    """Their tables have no checksums."""
    old = np.dtype([(name, RUN[name]) for name in RUN.names if name != "checksum"])
    with h5py.File(path, "r+") as file:
        del file["provenance/runs"]
        file["provenance"].create_dataset("runs", data=np.zeros(MAX_RUNS, old))
    seal(path)
    fill(path, 12, [FIRST, row()])
    assert len(describe(read_status(path), now=NOW).splitlines()) == 4
    changed_run(path, 1, "started", place=4)  # the first hyphen of the date
    lines = describe(read_status(path), now=NOW).splitlines()
    assert lines[2].startswith("1 row of the table of runs is damaged")
    assert [run.n_points for run in read_provenance(path).runs] == [4]


COMMAND = (
    "import runpy, sys; sys.modules.update(dict.fromkeys(['torch', 'mpi4py']))\n"
    "sys.argv = ['surface', *sys.argv[1:]]\n"
    "runpy.run_module('landscape_mpi.surface', run_name='__main__')"
)


def run_status(*options):
    argv = [sys.executable, "-c", COMMAND, *map(str, options)]
    return subprocess.run(argv, check=False, capture_output=True, text=True)


def test_the_command_beside_a_running_job(tmp_path, start_mpiexec):
    (tmp_path / "slow.py").write_text(SLOW)
    out = tmp_path / "slow.h5"
    argv = ["landscape_mpi.surface", "--model=slow:build", "--data=digits", "--limit=64"]
    options = ["--x=-1:1:999", "--round-seconds=0.5", f"--out={out}"]
    job = start_mpiexec(2, [*argv, *options], env={"LAG": "0.1"}, cwd=tmp_path)
    wait_for_round(job, 3)
    done = run_status("--status", out)
    assert done.returncode == 0, done.stderr
    assert re.search(r": slow:build on digits, 999 x 1 points\n\d+ of 999 points done", done.stdout)
    assert re.search(r"running, or killed; \d+ points, .* left\n2 ranks, 2 on ", done.stdout)
    for pid in processes_running(out):
        os.kill(pid, signal.SIGTERM)
    job.communicate(timeout=LIMIT_S)
    assert job.returncode == 75
    assert "stopped by SIGTERM; " in run_status("--status", out).stdout


@pytest.mark.parametrize(
    ("name", "words"),
    [("gone.h5", "gone.h5: does not exist."), ("plain.h5", "plain.h5: is not an HDF5 file.")],
)
def test_the_command_on_another_file(name, words, tmp_path):
    (tmp_path / "plain.h5").write_text("text")
    done = run_status(f"--status={tmp_path / name}", "--x=0")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert words in done.stderr
    assert done.stdout == ""
