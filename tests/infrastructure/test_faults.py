"""Every kind of fault once, as `make faults` tries them 50 times.

Oracle: the file of a run that nothing happened to, compared bit for bit, and the log of the
disturbed run, which says what rounds the file has to hold. What runs undisturbed, or is to
be refused, runs on one rank in this process.
"""

import os
import random
import sys

import h5py
import pytest
from folders import TESTS

sys.path.insert(0, str(TESTS / "faults"))
import count
import kinds
from command_runs import OPTIONS, Ended, write_network


@pytest.fixture
def run(alone):
    """Return a function that runs the command on one rank, however many are asked for."""

    def on_one_rank(n_ranks, out, *options, cwd):
        done = alone(["landscape_mpi.surface", *OPTIONS, f"--out={out}", *options], cwd=cwd)
        return Ended(done.returncode, done.stdout + done.stderr)

    return on_one_rank


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


@pytest.fixture
def case(run, folder, tmp_path):
    reference, begun = folder / "reference.h5", folder / "begun.h5"
    if not reference.exists():
        write_network(folder)
        assert run(1, reference, cwd=folder).status == 0
        begun.write_bytes(reference.read_bytes())
        with h5py.File(begun, "r+") as file:
            file["done"][2:] = 0
    write_network(tmp_path)
    return kinds.Case(tmp_path, random.Random(1), reference, begun, run)


@pytest.mark.parametrize(
    "fault",
    [
        kinds.kill_a_rank,
        kinds.stop_a_rank,
        kinds.full_disk_at_the_start,
        kinds.full_disk_in_a_run,
        kinds.truncate,
        kinds.corrupt,
        kinds.unwritable_file,
        kinds.unwritable_folder,
        kinds.unwritable_in_a_run,
        kinds.two_jobs,
        kinds.hang_at_start,
        kinds.full_shared_memory,
        kinds.damaged_point,
        kinds.wrong_pmi,
    ],
)
def test_a_fault(fault, case):
    if fault is kinds.unwritable_in_a_run and os.geteuid() != 0:
        pytest.skip("without root, a file that is open stays writable")
    try:
        result = fault(case)
    except kinds.ImpossibleError as reason:
        pytest.skip(str(reason))
    assert result.said, result.words
    assert result.n_rounds_lost == 0
    assert result.same, result.words


def test_the_table_counts_what_came_of_them():
    good = kinds.Result("", said=True, same=True)
    bad = kinds.Result("", said=False, same=False, n_rounds_lost=2)
    refused = kinds.Result("", said=True, same=True, refused=True)
    assert count.table({"full disk": [good, bad], "truncated file": [refused]})[2:] == [
        "| full disk | 2 | 2 | 1 | 1 of 2 | - |",
        "| truncated file | 1 | 0 | 1 | - | 1 of 1 |",
    ]
    assert [count.is_good(result) for result in (good, bad, refused)] == [True, False, True]
