"""Oracle: the writes themselves, recorded between the program and the system (tests/file_calls).

A crash at any moment leaves a prefix of them in the file, perhaps with half of the next one; a
power cut leaves those before the last fsync and any others. Each such file is made and read back.
"""

import itertools
import os
import random
from pathlib import Path

import h5py
import numpy as np
import pytest
from file_calls.library import FileCalls, has_compiler
from mpi4py import MPI
from pytest_mpi import parallel_assert

from landscape_mpi.errors import InputError
from landscape_mpi.store import row_blocks, writer
from landscape_mpi.store.checksums import damaged_points
from landscape_mpi.store.creation import SurfaceContent, create_surface
from landscape_mpi.store.row_blocks import RowBlocks, count_blocks
from landscape_mpi.store.writer import (
    GatheringWriter,
    check_way,
    choose_writers,
    describe_writers,
    has_parallel_hdf5,
    open_writer,
)

SHAPE = (6, 5)
ROUNDS = ([0, 29, 7], [1, 2, 12, 28], [5], [])  # some rewrite rows of the rounds before
WRITE = """
import sys
from pathlib import Path
import numpy as np
from mpi4py.MPI import COMM_WORLD as comm
from landscape_mpi.store.writer import open_writer

n_writers = int(sys.argv[2]) or None
opened = open_writer(Path(sys.argv[1]), comm=comm, n_writers=n_writers)
for points in {rounds}:
    own = np.array(points, np.int64)[comm.rank :: comm.size]
    columns = {{"train_loss": np.sqrt(own), "seconds": own / 7}}
    opened.write_round(own, columns | {{"rank": np.full(len(own), comm.rank, np.int32)}})
opened.close()
"""


def make_file(path, shape=SHAPE):
    axes = [np.linspace(-1, 1, n) for n in shape]
    create_surface(path, SurfaceContent(*axes, ("train_loss",), {"provenance": {}}))
    return path


def columns_of(points):
    return {
        "train_loss": np.sqrt(points),
        "seconds": points / 7,
        "rank": np.zeros(len(points), np.int32),
    }


def in_order(records, until):
    """Return the places of the writes that are in the file after a crash of the process."""
    return [i for i in range(until) if records[i] is not None]


def after_power_cut(records, until, last_sync, draw):
    """Return the places of those that may be on the disk: since the last sync, any of them."""
    return [i for i in in_order(records, until) if i < last_sync or draw.random() < 0.5]


def done_in(path):
    """Return the points that a file says are done, and check their values."""
    with h5py.File(path, locking=False) as file:
        done = np.flatnonzero(file["done"][...])
        assert len(damaged_points(file)) == 0
        assert np.array_equal(file["train_loss"][...].ravel()[done], np.sqrt(done))
        return set(done.tolist())


def done_after(place, before, records, kept, torn=None):
    """Return the points that are done if these writes are in the file, and half of another."""
    data = bytearray(before)
    parts = [records[i] for i in kept]
    if torn is not None:
        parts.append((torn[0], torn[1][: len(torn[1]) // 2]))
    for offset, written in parts:
        data[offset : offset + len(written)] = written
    place.write_bytes(data)
    return done_in(place)


@pytest.mark.parametrize(("n_ranks", "n_writers"), [(1, 0), (1, 1), (3, 2)])
def test_a_crash_at_any_moment(n_ranks, n_writers, tmp_path, mpiexec):
    if n_writers and not has_parallel_hdf5():
        pytest.skip("h5py here is built without MPI")
    if not has_compiler():
        pytest.skip("there is no C compiler to build the recorder with")
    path, copy = make_file(tmp_path / "crash.h5"), tmp_path / "copy.h5"
    before = path.read_bytes()
    calls = FileCalls(tmp_path, file=path, journal=True)
    (tmp_path / "write.py").write_text(WRITE.format(rounds=ROUNDS))
    words = [tmp_path / "write.py", path, str(n_writers)]
    mpiexec(n_ranks, words, env=calls.variables, check=True)
    records, draw = calls.records(), random.Random(1)
    n_records = len(records)
    with h5py.File(path) as file:
        begin, size = file["done"].id.get_offset(), file["done"].size
    is_flag = [r is not None and begin <= r[0] < begin + size for r in records]
    killed_at = [
        done_after(copy, before, records, in_order(records, n)) for n in range(n_records + 1)
    ]
    whole_rounds = [set(itertools.chain(*ROUNDS[:n])) for n in range(len(ROUNDS) + 1)]
    assert killed_at[-1] == whole_rounds[-1] == done_in(path)
    for n, done in enumerate(killed_at):
        assert done in whole_rounds or any(is_flag[n : n + 1])  # in the middle of its flags
        # The 48 bytes at place 0, which open and close write, lie in one sector of a disk.
        if n < n_records and records[n] is not None and records[n][0] > 0:
            torn = done_after(copy, before, records, in_order(records, n), torn=records[n])
            assert done <= torn
        last_sync = max((i for i in range(n) if records[i] is None), default=0)
        for _ in range(8):
            kept = after_power_cut(records, n, last_sync, draw)
            left = done_after(copy, before, records, kept)
            assert killed_at[last_sync] <= left <= done


def test_values_are_on_disk_before_their_flags(tmp_path, monkeypatch):
    path = make_file(tmp_path / "a.h5")
    seen, real = [], os.fsync

    def look_and_sync(fd):
        with h5py.File(path, "r", locking=False) as file:
            seen.append((file["train_loss"][...].ravel(), file["done"][...].ravel()))
        real(fd)

    monkeypatch.setattr(os, "fsync", look_and_sync)
    opened = GatheringWriter(path, comm=MPI.COMM_SELF)
    for points in (np.array([3, 8]), np.array([0, 29])):
        opened.write_round(points, columns_of(points))
    opened.close()
    assert len(seen) == 2  # one a round
    for (values, done), new, old in zip(seen, ([3, 8], [0, 29]), ([], [3, 8]), strict=True):
        assert np.array_equal(values[new], np.sqrt(new))
        assert np.flatnonzero(done).tolist() == old


@pytest.mark.parametrize("n_writers", [None, 1])
def test_calls_of_a_round_do_not_grow_with_its_points(n_writers, tmp_path):
    """The system itself counts the calls of this process."""
    if n_writers and not has_parallel_hdf5():
        pytest.skip("h5py here is built without MPI")
    path = make_file(tmp_path / "a.h5", (60, 50))
    opened = open_writer(path, comm=MPI.COMM_SELF, n_writers=n_writers)
    points = np.random.default_rng(0).permutation(3000)
    opened.write_round(points[:2], columns_of(points[:2]))  # HDF5 reads on first use
    n_calls = [0]
    for part in (points[2:4], points[4:]):
        before = calls_so_far()
        opened.write_round(part, columns_of(part))
        n_calls.append(calls_so_far() - before)
    opened.close()
    assert 0 < n_calls[2] <= n_calls[1] + 2
    assert n_calls[2] < 5 * 4  # values, checksum and flags: written, and perhaps read back
    assert done_in(path) == set(range(3000))


def calls_so_far():
    """Return the calls of this thread: others of pytest-xdist read and write now and then."""
    text = Path("/proc/thread-self/io").read_text()
    lines = dict(line.split(": ") for line in text.splitlines())
    return int(lines["syscr"]) + int(lines["syscw"])


@pytest.mark.parallel([1, 2, 3, 4])
@pytest.mark.parametrize(
    ("shape", "n_blocks"), [((7, 3), 2), ((2, 9), 4), ((1, 4), 3), ((5, 1), 1)]
)
def test_every_point_reaches_the_rank_that_writes_its_row(shape, n_blocks):
    comm = MPI.COMM_WORLD
    blocks = RowBlocks(shape, min(n_blocks, comm.size), comm=comm)
    every = np.random.default_rng(1).permutation(shape[0] * shape[1])
    own = every[comm.rank :: comm.size]
    points, columns = blocks.collect(own, {"value": own + 0.5})
    rows = blocks.own_rows or slice(0, 0)
    expected = np.arange(rows.start * shape[1], rows.stop * shape[1])
    parallel_assert(np.array_equal(np.sort(points), expected))
    parallel_assert(np.array_equal(columns["value"], points + 0.5))
    told = comm.allgather((rows.start, rows.stop))
    parallel_assert(sum(stop - start for start, stop in told) == shape[0])


def test_how_many_ranks_write():
    assert [count_blocks(n, 1000) for n in (1, 262_143, 262_144, 1_002_001, 10**7)] == [
        1,
        1,
        2,
        7,
        32,
    ]
    assert count_blocks(10**7, 3) == 3


@pytest.mark.parallel([2, 3])
def test_the_faster_way_is_tried_where_the_grid_is_large(tmp_path, monkeypatch):
    if not has_parallel_hdf5():
        pytest.skip("h5py here is built without MPI")
    comm = MPI.COMM_WORLD
    path = comm.bcast(tmp_path / "a.h5", root=0)
    if comm.rank == 0:
        make_file(path)
        points = np.arange(9)
        opened = GatheringWriter(path, comm=MPI.COMM_SELF)
        opened.write_round(points, columns_of(points))
        opened.close()
    comm.Barrier()
    before = path.read_bytes()
    n_points = SHAPE[0] * SHAPE[1]
    parallel_assert(choose_writers(path, "auto", comm=comm, n_points=n_points) is None)
    parallel_assert(choose_writers(path, "parallel", comm=comm, n_points=n_points) == 1)
    monkeypatch.setattr(row_blocks, "BLOCK_BYTES", 100)
    parallel_assert(choose_writers(path, "gather", comm=comm, n_points=n_points) is None)
    tried = []

    def try_writers(*args, **options):
        tried.append(args[1])
        real(*args, **options)
        return 2.0 - len(tried)  # the second is the faster one

    real = writer._try_writers
    monkeypatch.setattr(writer, "_try_writers", try_writers)
    chosen = choose_writers(path, "auto", comm=comm, n_points=n_points)
    parallel_assert(chosen == 2 and tried == [None, 2])
    parallel_assert(path.read_bytes() == before)


def test_parallel_hdf5_that_is_not_there(monkeypatch):
    monkeypatch.setattr(writer, "has_parallel_hdf5", lambda: False)
    check_way("auto")
    check_way("gather")
    with pytest.raises(InputError, match="--write parallel: this h5py .* is built without MPI"):
        check_way("parallel")


def test_words_for_the_way():
    assert describe_writers(None) == "rank 0 gathers and writes"
    assert describe_writers(1) == "parallel HDF5, 1 rank writes"
    assert len(describe_writers(32)) <= 32  # bytes, in the table of runs
