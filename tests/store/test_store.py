"""Oracle: plain numpy arrays filled beside the file; files are read back with bare h5py.

Both writers go through the same tests, on 1 to 4 real ranks.
"""

import dataclasses
import fcntl
import os
import socket

import h5py
import numpy as np
import pytest
from mpi4py import MPI
from pytest_mpi import parallel_assert

from landscape_mpi.errors import InputError
from landscape_mpi.store import schema
from landscape_mpi.store.checksums import seal
from landscape_mpi.store.creation import SurfaceContent, create_surface
from landscape_mpi.store.provenance import read_provenance
from landscape_mpi.store.resume import (
    check_replaceable,
    check_same_surface,
    pending_points,
)
from landscape_mpi.store.runs import make_row, next_row
from landscape_mpi.store.writer import CollectiveWriter, GatheringWriter, has_parallel_hdf5

HOST = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
on_ranks = pytest.mark.parallel([1, 2, 3, 4])


def make_content(n_alpha=5, n_beta=3, weights="ab" * 32, **identity):
    return SurfaceContent(
        alpha=np.linspace(-1, 1, n_alpha),
        beta=np.linspace(0, 1, n_beta),
        quantities=("train_loss", "train_error"),
        attributes={
            "/": {"model": "resnet20", "batch": 64, "mean": [0.5, 0.25], **identity},
            "directions": {"normalize": "filter"},
            "provenance": {"weights_sha256": weights},
        },
        vectors={"alpha": {"layer.weight": np.ones((2, 3), np.float32)}},
    )


@pytest.fixture
def path(tmp_path):
    """One path for all ranks."""
    return MPI.COMM_WORLD.bcast(tmp_path / "surface.h5", root=0)


class WriterInBlocks(CollectiveWriter):
    """Up to three ranks write rows of their own."""

    def __init__(self, path, *, comm):
        super().__init__(path, comm=comm, n_blocks=min(3, comm.size))


@pytest.fixture(params=[CollectiveWriter, WriterInBlocks, GatheringWriter])
def open_file(request):
    if request.param is not GatheringWriter and not has_parallel_hdf5():
        pytest.skip("h5py here is built without MPI")
    return request.param


def create_once(path, content):
    if MPI.COMM_WORLD.rank == 0:
        create_surface(path, content)
    MPI.COMM_WORLD.Barrier()
    return MPI.COMM_WORLD


def columns_for(points, rank):
    return {
        "train_loss": np.sqrt(points.astype(float)),
        "train_error": points.astype(float) / 7,
        "seconds": np.full(len(points), 0.5),
        "rank": np.full(len(points), rank, np.int32),
    }


def test_the_file_says_what_it_is(tmp_path):
    create_surface(tmp_path / "a.h5", make_content())
    with h5py.File(tmp_path / "a.h5") as file:
        assert file.attrs["format"] == schema.FORMAT
        assert list(file.attrs["axis_labels"]) == ["alpha", "beta"]
        assert file["train_loss"].shape == (5, 3)
        assert np.isnan(file["train_loss"][...]).all()
        assert not file["done"][...].any()
        assert (file["rank"][...] == -1).all()
        assert file["train_loss"].dims[0]["alpha"] == file["alpha"]
        assert file["train_loss"].dims[1]["beta"] == file["beta"]
        assert file["directions/alpha/layer.weight"].shape == (2, 3)
        every = []
        file.visititems(lambda name, item: every.append(item))
        for item in every:
            if isinstance(item, h5py.Dataset):
                assert item.attrs["units"], item.name
                assert item.attrs["long_name"], item.name
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.h5"]


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path):
    create_surface(tmp_path / "a.h5", make_content())
    before = (tmp_path / "a.h5").read_bytes()
    broken = dataclasses.replace(make_content(), attributes={"/": {"model": object()}})
    with pytest.raises(TypeError):
        create_surface(tmp_path / "a.h5", broken)
    assert (tmp_path / "a.h5").read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.h5"]


@on_ranks
def test_uneven_shards_land_where_they_belong(path, open_file):
    comm = create_once(path, make_content())
    writer = open_file(path, comm=comm)
    expected = np.full(15, np.nan)
    generator = np.random.default_rng(0)  # the same on every rank
    left = generator.permutation(15)
    while len(left):
        take, left = left[:4], left[4:]
        shards = np.array_split(take, comm.size + 1)[: comm.size]  # later ranks get none
        writer.write_round(shards[comm.rank], columns_for(shards[comm.rank], comm.rank))
        written = np.concatenate(shards)
        expected[written] = np.sqrt(written)
    writer.close()
    comm.Barrier()
    with h5py.File(path) as file:
        parallel_assert(np.array_equal(file["train_loss"][...].ravel(), expected, equal_nan=True))
        parallel_assert(np.array_equal(file["done"][...].ravel() == 1, ~np.isnan(expected)))


@on_ranks
def test_more_ranks_than_points_and_results_that_are_not_numbers(path, open_file):
    comm = create_once(path, make_content(n_alpha=1, n_beta=1))
    writer = open_file(path, comm=comm)
    points = np.arange(1) if comm.rank == comm.size - 1 else np.arange(0)
    columns = columns_for(points, comm.rank)
    columns["train_loss"] = np.full(len(points), np.nan)
    columns["train_error"] = np.full(len(points), np.inf)
    writer.write_round(points, columns)
    writer.write_round(np.arange(0), columns_for(np.arange(0), comm.rank))
    writer.close()
    comm.Barrier()
    with h5py.File(path) as file:
        parallel_assert(file["done"][0, 0] == 1)
        parallel_assert(np.isnan(file["train_loss"][0, 0]))
        parallel_assert(np.isinf(file["train_error"][0, 0]))
        parallel_assert(file["rank"][0, 0] == comm.size - 1)


@on_ranks
def test_the_table_of_runs(path, open_file):
    comm = create_once(path, make_content())
    writer = open_file(path, comm=comm)
    row = np.zeros((), schema.RUN)
    row["ranks"] = comm.size
    row["outcome"] = b"complete"
    writer.write_run(2, row)
    writer.close()
    comm.Barrier()
    with h5py.File(path) as file:
        parallel_assert(file["provenance/runs"][2]["outcome"] == b"complete")
        parallel_assert(file["provenance/runs"][2]["ranks"] == comm.size)
        parallel_assert(file["provenance/runs"][1]["ranks"] == 0)


@on_ranks
def test_a_table_of_runs_from_before_it_named_users_is_gone_on_with(path, open_file):
    comm = create_once(path, make_content())
    old = np.dtype(
        [(name, schema.RUN[name]) for name in schema.RUN.names if name not in {"user", "checksum"}]
    )
    if comm.rank == 0:
        with h5py.File(path, "r+") as file:
            del file["provenance/runs"]
            file["provenance"].create_dataset("runs", data=np.zeros(schema.MAX_RUNS, old))
        seal(path)
    comm.Barrier()
    writer = open_file(path, comm=comm)
    now = "2026-11-01T10:00:00+00:00"
    writer.write_run(next_row(path), make_row(started=now, ended=now, command="x", user="ada"))
    writer.close()
    comm.Barrier()
    (run,) = read_provenance(path).runs
    parallel_assert(run.texts["command"] == "x" and "user" not in run.texts)
    parallel_assert(len(pending_points(path, np.arange(15))) == 15)


@on_ranks
def test_lengths_that_differ(path, open_file):
    comm = create_once(path, make_content())
    writer = open_file(path, comm=comm)
    with pytest.raises(ValueError, match="train_loss has 2 values for 3 points"):
        writer.write_round(np.arange(3), {"train_loss": np.zeros(2)})
    writer.close()


FAILING = """
import resource, sys
from pathlib import Path
import numpy as np
from landscape_mpi.cluster import guard
from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.store.writer import open_writer

def main(path, ranks):
    opened = open_writer(path, comm=ranks.comm, n_writers=int(sys.argv[2]) or None)
    for n in (0, 1):
        points = np.array([3 * n + ranks.rank])
        names = ("train_loss", "train_error", "seconds", "rank")
        if n == 1 and ranks.is_root:  # which writes for the others too
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        opened.write_round(points, dict.fromkeys(names, np.ones(1)))
    return 0

sys.exit(guard.run_guarded(main, Path(sys.argv[1]), None, start_ranks()))
"""


@pytest.mark.parametrize("n_writers", [0, 1, 3])
def test_a_write_that_fails_on_one_rank_ends_the_job_with_its_words(n_writers, tmp_path, mpiexec):
    if n_writers and not has_parallel_hdf5():
        pytest.skip("h5py here is built without MPI")
    path = tmp_path / "a.h5"
    create_surface(path, make_content())
    (tmp_path / "failing.py").write_text(FAILING)
    done = mpiexec(3, [tmp_path / "failing.py", path, str(n_writers)])
    assert done.returncode == 1
    assert f"[0/3 {HOST}] error: {path}: cannot be written (" in done.stderr
    assert (
        "All earlier rounds are saved in it. Free some disk space, or restore this user's"
        in done.stderr
    )
    assert "run the same command again to continue." in done.stderr
    assert "Traceback" not in done.stderr
    check_same_surface(path, make_content())
    assert pending_points(path, np.arange(15)).tolist() == list(range(3, 15))


def test_pending_points_keep_their_order(tmp_path):
    create_surface(tmp_path / "a.h5", make_content())
    writer = GatheringWriter(tmp_path / "a.h5", comm=MPI.COMM_SELF)
    writer.write_round(np.array([5]), columns_for(np.array([5]), 0))
    writer.close()
    order = np.arange(15)[::-1]
    assert pending_points(tmp_path / "a.h5", order).tolist() == [i for i in order if i != 5]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"model": "resnet56"},
            "with model resnet20, but this run requests model resnet56",
        ),
        ({"weights": "cd" * 32}, "with weights of SHA-256 abababababababab, but this run requests"),
        ({"batch": 32}, "pass --batch 64, or a new --out"),
        ({"limit": 4}, "with training samples limited to none, but this run requests"),
        ({"mean": [0.5, 0.2]}, "with mean 0.5,0.25, but this run requests mean 0.5,0.2."),
    ],
)
def test_another_run_is_not_resumed(tmp_path, change, words):
    create_surface(tmp_path / "a.h5", make_content())
    check_same_surface(tmp_path / "a.h5", make_content())
    with pytest.raises(InputError) as problem:
        check_same_surface(tmp_path / "a.h5", make_content(**change))
    assert words in str(problem.value)


def test_another_grid_is_not_resumed(tmp_path):
    create_surface(tmp_path / "a.h5", make_content())
    with pytest.raises(InputError) as problem:
        check_same_surface(tmp_path / "a.h5", make_content(n_alpha=7))
    assert (
        "axis alpha has 5 points from -1.0 to 1.0, but --x requests 7 points from -1.0 to 1.0"
        in str(problem.value)
    )
    assert "pass --x=-1.0:1.0:5, or a new --out" in str(problem.value)
    moved = dataclasses.replace(make_content(), beta=np.array([0, 0.5, 2.0]))
    with pytest.raises(InputError, match="axis beta has 3 points from 0.0 to 1.0"):
        check_same_surface(tmp_path / "a.h5", moved)


def test_what_is_no_surface_file_is_not_resumed(tmp_path):
    (tmp_path / "text.h5").write_text("loss")
    with pytest.raises(InputError, match="not a readable HDF5 file.*not replaced"):
        check_same_surface(tmp_path / "text.h5", make_content())
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    with pytest.raises(InputError, match="without the mark of a surface file"):
        check_same_surface(tmp_path / "other.h5", make_content())
    create_surface(tmp_path / "newer.h5", make_content())
    with h5py.File(tmp_path / "newer.h5", "r+") as file:
        file.attrs["format_version"] = 9
    seal(tmp_path / "newer.h5")
    with pytest.raises(InputError, match="has format version 9, but this program writes 2"):
        check_same_surface(tmp_path / "newer.h5", make_content())


def test_a_surface_file_that_lacks_a_part(tmp_path):
    create_surface(tmp_path / "a.h5", make_content())
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file["done"]
    with pytest.raises(InputError, match="a.h5: is damaged: HDF5 cannot read a part of it"):
        pending_points(tmp_path / "a.h5", np.arange(15))


def test_a_locked_file_is_read_all_the_same(tmp_path):
    """Other programs that hold a lock on it, and file systems that lock nothing, are no matter."""
    create_surface(tmp_path / "a.h5", make_content())
    with open(tmp_path / "a.h5") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        check_same_surface(tmp_path / "a.h5", make_content())
        assert len(pending_points(tmp_path / "a.h5", np.arange(15))) == 15


def test_only_a_surface_file_may_be_replaced(tmp_path):
    create_surface(tmp_path / "a.h5", make_content())
    check_replaceable(tmp_path / "a.h5")
    for text in (b"PK", b"landscape_mpi surface"):
        (tmp_path / "weights.pt").write_bytes(text)
        with pytest.raises(InputError, match="lacks the mark of a surface file.*--fresh does not"):
            check_replaceable(tmp_path / "weights.pt")


def test_a_damaged_or_empty_file_may_be_replaced_and_not_resumed(tmp_path):
    create_surface(tmp_path / "a.h5", make_content())
    os.truncate(tmp_path / "a.h5", 9000)
    with pytest.raises(InputError, match="is damaged: HDF5 cannot open it .*truncated"):
        check_same_surface(tmp_path / "a.h5", make_content())
    check_replaceable(tmp_path / "a.h5")
    os.truncate(tmp_path / "a.h5", 0)
    with pytest.raises(InputError, match="not a readable HDF5 file"):
        check_same_surface(tmp_path / "a.h5", make_content())
    check_replaceable(tmp_path / "a.h5")


def test_vectors_that_were_not_kept_are_not_kept_later(tmp_path):
    create_surface(tmp_path / "a.h5", dataclasses.replace(make_content(), vectors={}))
    check_same_surface(tmp_path / "a.h5", dataclasses.replace(make_content(), vectors={}))
    with pytest.raises(InputError, match="was started without --save-directions"):
        check_same_surface(tmp_path / "a.h5", make_content())
