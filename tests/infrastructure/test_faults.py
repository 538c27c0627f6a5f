"""Every kind of fault once, as `make faults` tries them 50 times.

Oracle: the file of a run that nothing happened to, compared bit for bit, and the log of the
disturbed run, which says what rounds the file has to hold. What runs undisturbed, or is to
be refused, runs on one rank in this process.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
from folders import TESTS
from limits import LIMIT_S

sys.path.insert(0, str(TESTS / "faults"))
import count
import kinds
from command_runs import SURFACES, Ended, write_network
from two_hosts import ip, two_hosts


@pytest.fixture
def run(alone):
    """Return a function that runs the command on one rank, however many are asked for."""

    def on_one_rank(n_ranks, out, *options, cwd):
        done = alone(["landscape_mpi.surface", f"--out={out}", *options], cwd=cwd)
        return Ended(done.returncode, done.stdout + done.stderr)

    return on_one_rank


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


@pytest.fixture
def case_of(run, folder, tmp_path):
    """Return a function that gives the case of a surface."""

    def make(name):
        surface = SURFACES[name]
        reference, begun = folder / f"{name}.h5", folder / f"begun {name}.h5"
        if not reference.exists():
            write_network(folder)
            assert run(1, reference, *surface.options, cwd=folder).status == 0
            begun.write_bytes(reference.read_bytes())
            with h5py.File(begun, "r+") as file:
                file["done"][2:] = 0
                file["done"][...] = file["done"][...] == 1
        write_network(tmp_path)
        return kinds.Case(tmp_path, surface, random.Random(1), reference, begun, run)

    return make


@pytest.fixture
def case(case_of):
    return case_of("exact")


@pytest.mark.parametrize(
    "fault",
    [
        kinds.kill_a_rank,
        kinds.stop_a_rank,
        kinds.lose_a_link,
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


def hosts_of_this_machine():
    return set(ip("netns", "list").split())


def test_two_runs_have_hosts_of_their_own_and_leave_nothing_behind(tmp_path):
    with contextlib.ExitStack() as stack:
        try:
            hosts = stack.enter_context(two_hosts(tmp_path))
        except OSError as problem:
            pytest.skip(f"two hosts are not possible here: {problem}")
        with two_hosts(tmp_path) as others:
            assert {*hosts.names, *others.names} <= hosts_of_this_machine()
        assert not hosts_of_this_machine() & {*others.names}
        words = [hosts.agent, hosts.names[1], "echo on $(hostname); exec sleep 600"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert process.stdout.readline() == f"on {hosts.names[1]}\n"
    with process:
        assert process.wait(timeout=LIMIT_S) == -signal.SIGKILL
    assert not hosts_of_this_machine() & {*hosts.names}


def test_a_link_is_not_cut_with_another_launcher(case, tmp_path, monkeypatch):
    (tmp_path / "bin").mkdir()
    launcher = tmp_path / "bin/mpirun"
    launcher.write_text("#!/bin/sh\necho HYDRA build details:\n")
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(kinds.ImpossibleError, match="mpirun is not that of Open MPI 4"):
        kinds.lose_a_link(case)


@pytest.mark.parametrize("name", [name for name in SURFACES if name != "exact"])
def test_a_damaged_point_of_a_run_with_fewer_points_or_samples(name, case_of):
    """Tests that kill ranks are in test_killed_surfaces."""
    case = case_of(name)
    with h5py.File(case.reference) as file:
        assert ((file["done"][...] == 2).sum() > 50) == ("adaptive" in name)
        if "sampled" in name:
            assert len(np.unique(file["train_n_samples"][...])) > 1
    result = kinds.damaged_point(case)
    assert result.said, result.words
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
