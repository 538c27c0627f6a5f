"""The whole command on real ranks.

Oracle for what it computes: a plain loop over the unmodified network (test_evaluation.py
has it for every point; here the file's values are compared with it at a few). Oracle for
how it computes: the file of one rank that was never disturbed, compared bit for bit.
"""

import contextlib
import getpass
import os
import pickle
import re
import shutil
import signal
import socket
import time

import h5py
import numpy as np
import pytest
import torch
from limits import LIMIT_S
from long_runs import SLOW, processes_running, wait_for_round

from landscape_mpi.cluster.signals import LISTENING_FILE
from landscape_mpi.compute.directions import random_direction
from landscape_mpi.store.checksums import seal
from landscape_mpi.store.writer import has_parallel_hdf5
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.networks import build_network

HOST = os.environ.get("SLURMD_NODENAME") or socket.gethostname()
QUANTITIES = ("train_loss", "train_error", "test_loss", "test_error")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """Weights of a network for the digits; where they come from does not matter here."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "resnet8.pt"
    torch.save(build_network("resnet8", n_channels=1, n_classes=10).state_dict(), path)
    return path


def command(checkpoint, out, *options):
    return [
        *("landscape_mpi.surface", "--model", "resnet8", "--checkpoint", str(checkpoint)),
        *("--data", "digits", "--limit", "150", "--subset", "first", "--splits", "train,test"),
        *("--out", str(out)),
        *("--x=-1:1:3", "--y=-0.5:1:4", *options),
    ]


def values_of(path):
    """Return everything of a surface that must not depend on how it was computed."""
    with h5py.File(path) as file:
        names = [name for name in (*QUANTITIES, "alpha", "beta", "done") if name in file]
        arrays = {name: file[name][...] for name in names}
        return arrays | {"directions": np.array(file["directions"].attrs["sha256"])}


def assert_same(path, reference):
    values = values_of(path)
    for name, expected in values_of(reference).items():
        np.testing.assert_array_equal(values[name], expected, err_msg=name)


@pytest.fixture(scope="module")
def undisturbed(checkpoint, tmp_path_factory, on_ranks):
    """The file of one rank."""
    path = tmp_path_factory.mktemp("one") / "one.h5"
    on_ranks(1, command(checkpoint, path), check=True)
    return path


def test_the_values_are_those_of_a_plain_loop(undisturbed, checkpoint):
    network = build_network("resnet8", n_channels=1, n_classes=10)
    network.load_state_dict(torch.load(checkpoint, weights_only=True))
    center = {name: p.detach().clone() for name, p in network.named_parameters()}
    moved = {name: p.numpy() for name, p in center.items() if p.ndim > 1}
    steps = [
        random_direction(moved, seed=1, axis=axis, normalize="filter") for axis in ("alpha", "beta")
    ]
    data = load_dataset("digits")
    with h5py.File(undisturbed) as file:
        for row, column in [(0, 0), (1, 1), (2, 3), (1, 2)]:
            a, b = file["alpha"][row], file["beta"][column]
            with torch.no_grad():
                for name in moved:
                    step = torch.from_numpy(a * steps[0][name] + b * steps[1][name])
                    network.get_parameter(name).copy_(center[name] + step)
            for split, n in (("train", 150), ("test", 359)):
                samples = data.splits[split].first(n)
                loss, error = evaluate_plainly(network, samples, data)
                assert file[f"{split}_loss"][row, column] == pytest.approx(loss, rel=1e-5)
                assert file[f"{split}_error"][row, column] == pytest.approx(error, rel=1e-12)


def evaluate_plainly(network, samples, data):
    images = torch.from_numpy(samples.inputs).permute(0, 3, 1, 2).float() / 255
    images = (images - data.mean[0]) / data.std[0]
    targets = torch.from_numpy(samples.targets)
    with torch.no_grad():
        logits = network.eval()(images)
    loss = torch.nn.functional.cross_entropy(logits, targets, reduction="none").double().mean()
    return loss.item(), 100 * (logits.argmax(1) != targets).double().mean().item()


def test_the_file_says_how_it_came_about(undisturbed, checkpoint):
    with h5py.File(undisturbed) as file:
        assert file.attrs["model"] == "resnet8"
        assert file["train_loss"].shape == (3, 4)
        assert (file["done"][...] == 1).all()
        assert (file["rank"][...] == 0).all()
        assert (file["seconds"][...] > 0).all()
        provenance = file["provenance"].attrs
        assert str(checkpoint) in provenance["command"]
        assert re.fullmatch("[0-9a-f]{64}", provenance["checkpoint_sha256"])
        assert "torch" in provenance["versions"]
        directions = file["directions"].attrs
        assert directions["seed"] == 1
        assert abs(directions["cosine"]) < 0.1
        assert (directions["ignore"], directions["only"]) == ("bias,bn", "none")
        run = file["provenance/runs"][0]
        assert run["outcome"] == b"complete"
        assert run["points"] == 12
        assert run["ended"] >= run["started"] > b"2026"
        assert run["user"].decode() == provenance["user"] == getpass.getuser()
        assert provenance["host"] in run["hosts"].decode()


@pytest.mark.parametrize("n_ranks", [2, 3, 4])
def test_any_number_of_ranks_gives_the_same_bits(
    n_ranks, undisturbed, checkpoint, tmp_path, on_ranks
):
    out = tmp_path / "surface.h5"
    # Rounds of next to no length: many of them, with uneven shards.
    on_ranks(n_ranks, command(checkpoint, out, "--round-seconds", "0.05"), check=True)
    assert_same(out, undisturbed)
    with h5py.File(out) as file:
        assert set(file["rank"][...].ravel()) == set(range(n_ranks))


def test_more_ranks_than_points(checkpoint, tmp_path, on_ranks):
    out = tmp_path / "point.h5"
    options = ["--x=0", "--y=0:0:1", "--model=resnet8", "--data=digits", "--limit=50"]
    options.append("--subset=first")
    argv = ["landscape_mpi.surface", f"--checkpoint={checkpoint}", f"--out={out}", *options]
    done = on_ranks(3, argv, check=True)
    assert "1 x 1 points" in done.stdout
    targets = load_dataset("digits").splits["train"].targets[:50]
    trivial = 100 - 2 * np.bincount(targets).max()
    always = f"{trivial} for always answering the commonest class"
    assert re.search(rf"train_error: .*; {always}\n", done.stdout)
    with h5py.File(out) as file:
        assert file["done"][...].tolist() == [[1]]


@pytest.mark.parametrize(("n_ranks", "ranks_per_point"), [(2, 2), (3, 2), (4, 2)])
def test_ranks_that_share_a_point_give_the_bits_of_one(
    n_ranks, ranks_per_point, undisturbed, checkpoint, tmp_path, on_ranks
):
    out = tmp_path / "surface.h5"
    options = ["--ranks-per-point", str(ranks_per_point), "--round-seconds", "0.2"]
    done = on_ranks(n_ranks, command(checkpoint, out, *options), check=True)
    n_groups = n_ranks // ranks_per_point
    sharing = "2 to 3" if n_ranks % n_groups else str(n_ranks // n_groups)
    assert f"1 thread a rank, {sharing} ranks sharing each point" in done.stdout
    with h5py.File(out) as file:
        run = file["provenance/runs"][0]
    assert (run["ranks_per_point"].decode(), run["threads"].decode()) == (sharing, "1 thread")
    assert_same(out, undisturbed)
    with h5py.File(out) as file:
        leaders = {0, 2} if n_groups == 2 else {0}
        assert set(file["rank"][...].ravel()) == leaders


@pytest.fixture(scope="module")
def stacked(checkpoint, tmp_path_factory, on_ranks):
    """The file of one rank that takes three points at once, and what it said."""
    path = tmp_path_factory.mktemp("stacked") / "stacked.h5"
    return path, on_ranks(1, command(checkpoint, path, "--points-at-once=3"), check=True).stdout


def test_points_at_once_are_those_of_one_by_one(stacked, undisturbed):
    path, said = stacked
    assert ", 3 points at a time, " in said
    with h5py.File(path) as file, h5py.File(undisturbed) as one_by_one:
        assert file.attrs["points_at_once"] == 3
        assert one_by_one.attrs["points_at_once"] == 1
        assert "3 points stacked" in file.attrs["preparation"]
        for name in QUANTITIES:
            rtol = 1e-5 if "loss" in name else 1e-12
            np.testing.assert_allclose(file[name][...], one_by_one[name][...], rtol=rtol)


def test_points_at_once_on_several_ranks_give_the_same_bits(
    stacked, checkpoint, tmp_path, on_ranks
):
    out = tmp_path / "surface.h5"
    options = ["--points-at-once=3", "--round-seconds=0.05"]
    on_ranks(3, command(checkpoint, out, *options), check=True)
    assert_same(out, stacked[0])
    with h5py.File(out) as file:
        assert set(file["rank"][...].ravel()) == {0, 1, 2}


def test_a_resumed_run_takes_as_many_points_at_once_as_it_began_with(
    stacked, checkpoint, tmp_path, alone
):
    out = tmp_path / "surface.h5"
    shutil.copy(stacked[0], out)
    with h5py.File(out, "r+") as file:
        file["done"][1:] = 0
    assert "3 points at a time" in alone(command(checkpoint, out), check=True).stdout
    assert_same(out, stacked[0])
    refused = alone(command(checkpoint, out, "--points-at-once=2"))
    assert refused.returncode == 2
    assert "was computed with points at once 3, but this run requests points at once 2" in (
        refused.stderr
    )
    assert "pass --points-at-once 3, or a new --out" in refused.stderr


def test_a_file_from_before_points_at_once_has_one_at_a_time(
    undisturbed, checkpoint, tmp_path, alone
):
    out = tmp_path / "old.h5"
    shutil.copy(undisturbed, out)
    with h5py.File(out, "r+") as file:
        del file.attrs["points_at_once"]
    seal(out)
    assert alone(command(checkpoint, out, "--points-at-once=1")).returncode == 0
    assert "points at once 1, but this run requests points at once 2" in (
        alone(command(checkpoint, out, "--points-at-once=2")).stderr
    )


def test_ranks_share_points_by_themselves_where_points_are_few(
    checkpoint, tmp_path, on_ranks, alone
):
    paths = []
    for n_ranks in (1, 4):
        out = tmp_path / f"{n_ranks}.h5"
        argv = [*command(checkpoint, out), "--x=-1:1:2", "--y=0.5"]
        done = alone(argv, check=True) if n_ranks == 1 else on_ranks(4, argv, check=True)
        paths.append(out)
    assert "2 ranks sharing each point" in done.stdout
    assert_same(*paths)


def test_the_precision_that_is_measured_is_used_again(checkpoint, tmp_path, on_ranks, alone):
    """Whatever this machine takes: the file says it, and its bits are those of that type."""
    out, plain = tmp_path / "auto.h5", tmp_path / "plain.h5"
    options = ["--precision", "auto", "--tolerance", "0.5"]
    done = on_ranks(2, command(checkpoint, out, *options), check=True)
    with h5py.File(out) as file:
        precision = file.attrs["precision"]
        provenance = dict(file["provenance"].attrs)
        file_points = file["done"].size
    assert f"precision {precision}, auto within 0.5: bf16 deviates by" in done.stdout
    assert "points, 150 samples, beside fp32" in provenance["precision_trials"]
    assert 0 <= provenance["precision_deviation"] < 0.5
    assert (precision == "fp32") == (provenance["precision_deviation"] == 0)
    on_ranks(1, command(checkpoint, plain, "--precision", precision), check=True)
    assert_same(out, plain)
    resumed = alone(command(checkpoint, out, *options), check=True)
    assert f"all {file_points} points are done, nothing is left" in resumed.stdout
    assert "auto within" not in resumed.stdout  # not measured a second time


def test_a_tolerance_that_no_other_type_meets(checkpoint, tmp_path, undisturbed, alone):
    out = tmp_path / "auto.h5"
    options = ["--precision", "auto", "--tolerance", "1e-9"]
    done = alone(command(checkpoint, out, *options), check=True)
    assert "precision fp32, auto within 1e-09: bf16 deviates by" in done.stdout
    assert_same(out, undisturbed)


def test_a_file_in_a_type_that_deviates_more_than_the_tolerance(
    checkpoint, tmp_path, on_ranks, alone
):
    out = tmp_path / "bf16.h5"
    on_ranks(1, command(checkpoint, out, "--precision", "bf16"), check=True)
    with h5py.File(out) as file:
        assert file["provenance"].attrs["precision_deviation"] > 1e-5
    done = alone(command(checkpoint, out, "--precision", "auto", "--tolerance", "1e-5"))
    assert done.returncode == 2
    assert "was computed in bf16, which deviates from fp32 by" in done.stderr
    assert "--tolerance 1e-05 allows less" in done.stderr


SMALL_MEMORY = """
import os, torch

class Small(torch.nn.Linear):
    def forward(self, images):
        if {where} and len(images) > 20 and images.sum() > -1e30:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")
        return super().forward(images.flatten(1))

def build():
    torch.manual_seed(0)
    return Small(64, 10)
"""
LAST_RANK = "os.environ.get('OMPI_COMM_WORLD_RANK', os.environ.get('PMI_RANK')) == '1'"


@pytest.mark.parametrize("where", ["True", LAST_RANK])
def test_a_batch_that_does_not_fit_is_halved_on_all_ranks(where, tmp_path, on_ranks, alone):
    (tmp_path / "small.py").write_text(SMALL_MEMORY.format(where=where))
    out, again = tmp_path / "small.h5", tmp_path / "again.h5"
    argv = ["landscape_mpi.surface", "--model=small:build", "--data=digits", "--limit=100"]
    done = on_ranks(2, [*argv, f"--out={out}", "--x=-1:1:4"], check=True, cwd=tmp_path)
    assert "out of memory, so the batch becomes 32: CUDA out of memory" in done.stdout
    assert "out of memory, so the batch becomes 16: CUDA out of memory" in done.stdout
    with h5py.File(out) as file:
        assert file.attrs["batch"] == 16
        losses = file["train_loss"][...]
    asked = [*argv, f"--out={again}", "--x=-1:1:4", "--batch=16"]
    alone(asked, check=True, cwd=tmp_path)
    with h5py.File(again) as file:
        np.testing.assert_array_equal(file["train_loss"][...], losses)
    resumed = alone([*argv, f"--out={out}", "--x=-1:1:4"], check=True, cwd=tmp_path)
    assert "out of memory" not in resumed.stdout
    third = tmp_path / "third.h5"
    asked = on_ranks(2, [*argv, f"--out={third}", "--x=0", "--batch=64"], cwd=tmp_path)
    assert asked.returncode == 2
    assert "--batch: 64 samples per pass do not fit into the memory of the device" in asked.stderr
    assert not third.exists()


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile on a CPU needs g++")
def test_a_compiled_network(tmp_path, on_ranks, alone):
    out, plain = tmp_path / "compiled.h5", tmp_path / "plain.h5"
    argv = quickly_compiled(tmp_path, out)
    done = on_ranks(2, [*argv, "--compile=on"], check=True)
    assert ", compiled; batch by batch" in done.stdout
    alone([*argv, f"--out={plain}"], check=True)
    with h5py.File(out) as file, h5py.File(plain) as other:
        assert file.attrs["compile"] == "on"
        np.testing.assert_allclose(file["train_loss"][...], other["train_loss"][...], rtol=1e-5)
    refused = alone([*argv, "--compile=off"])
    assert refused.returncode == 2
    assert "torch.compile on, but this run requests torch.compile off" in refused.stderr


def quickly_compiled(folder, out):
    """Return the command of a small surface of a network that compiles in a few seconds."""
    weights = folder / "cnn1.pt"
    torch.save(build_network("cnn1", sample=Sample("image", (1, 8, 8), 10)).state_dict(), weights)
    return [*command(weights, out), "--model=cnn1", "--limit=128", "--splits=train"]


def test_a_compiler_that_is_not_there(tmp_path, mpiexec):
    out = tmp_path / "compiled.h5"
    env = {"CXX": "/nonexistent/g++", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "cache")}
    done = mpiexec(1, [*quickly_compiled(tmp_path, out), "--compile=on"], env=env)
    assert done.returncode == 2
    assert "--compile on: the compiler failed (" in done.stderr
    assert not out.exists()


def test_a_line(checkpoint, tmp_path, alone):
    out = tmp_path / "line.h5"
    options = ["--x=0:1:5", "--model=resnet8", "--data=digits", "--limit=50"]
    argv = ["landscape_mpi.surface", f"--checkpoint={checkpoint}", f"--out={out}", *options]
    alone(argv, check=True)
    with h5py.File(out) as file:
        assert file["train_loss"].shape == (5, 1)
        assert file["alpha"][...].tolist() == [0, 0.25, 0.5, 0.75, 1]
        assert file["beta"][...].tolist() == [0]
        assert file["directions"].attrs["norm_beta"] == 0


# A run that is long enough to be disturbed.

N_LONG = 225
LAG = {"LAG": "0.05"}  # seconds a batch


def long_command(out, *options):
    """Return the command of a run of 225 points of two batches, by the network in slow.py."""
    argv = ["landscape_mpi.surface", "--model=slow:build", "--data=digits", "--limit=100"]
    argv += ["--subset=first", "--batch=64", "--x=-1:1:15", "--y=-1:1:15", "--round-seconds=0.3"]
    return [*argv, f"--out={out}", *options]


@pytest.fixture(scope="module")
def long_undisturbed(tmp_path_factory, on_ranks):
    folder = tmp_path_factory.mktemp("long")
    (folder / "slow.py").write_text(SLOW)
    on_ranks(1, long_command(folder / "one.h5"), check=True, cwd=folder)
    return folder / "one.h5"


@pytest.fixture
def slow_folder(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    return tmp_path


def n_done(path):
    with h5py.File(path) as file:
        return int(file["done"][...].sum())


def assert_done_points_hold_values(path, names=QUANTITIES):
    with h5py.File(path) as file:
        for name in (*names, "seconds"):
            assert np.isfinite(file[name][...][file["done"][...] == 1]).all()


def wait_until(condition):
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def wait_for_calls(folder, n_calls):
    """Wait until the slow network has been called so many more times, on all ranks together."""
    calls = folder / "calls"
    n_before = calls.stat().st_size
    wait_until(lambda: calls.stat().st_size >= n_before + n_calls)


def test_a_rank_killed_in_the_middle_of_a_round_then_other_ranks(
    slow_folder, on_ranks, start_mpiexec, long_undisturbed
):
    out = slow_folder / "killed.h5"
    for n_ranks in (2, 1):
        process = start_mpiexec(n_ranks, long_command(out), env=LAG, cwd=slow_folder)
        wait_for_round(process, 2)
        os.kill(processes_running(out)[-1], signal.SIGKILL)
        assert process.wait(timeout=LIMIT_S) != 0
        assert 0 < n_done(out) < N_LONG
        assert_done_points_hold_values(out, ("train_loss", "train_error"))
    done_before = n_done(out)
    finished = on_ranks(4, long_command(out), check=True, cwd=slow_folder)
    assert f"resuming, {done_before} of them done" in finished.stdout
    assert_same(out, long_undisturbed)
    with h5py.File(out) as file:
        outcomes = file["provenance/runs"]["outcome"][:4].tolist()
        assert outcomes == [b"", b"", b"complete", b""]
        points = file["provenance/runs"]["points"][:3]
        assert points.min() > 0
        assert points[:2].sum() == done_before
        assert points[2] == N_LONG - done_before


@pytest.mark.parametrize(
    ("number", "whom", "options"),
    [
        (signal.SIGINT, "all ranks", []),
        (signal.SIGTERM, "the last rank", []),
        (signal.SIGUSR1, "the last rank", ["--ranks-per-point=2"]),
        # Batch systems signal mpirun: SIGUSR1 is passed on, and mpirun ends as its ranks did.
        (signal.SIGUSR1, "the launcher", []),
    ],
)
def test_a_signal_ends_the_run_after_the_point_in_hand(
    number, whom, options, slow_folder, alone, start_mpiexec, long_undisturbed
):
    """The second round, in which the signal comes, would last until all points are done."""
    out = slow_folder / "stopped.h5"
    command = long_command(out, "--round-seconds=60", *options)
    process = start_mpiexec(2, command, env=LAG, cwd=slow_folder)
    wait_for_round(process, 1)
    wait_for_calls(slow_folder, 8)  # four points
    if whom == "the launcher":
        process.send_signal(number)
    else:
        for pid in processes_running(out)[-1 if whom == "the last rank" else 0 :]:
            os.kill(pid, number)
    log, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 75
    assert f"stopped by {number.name} with {n_done(out)} of {N_LONG} points done" in log
    assert 2 < n_done(out) < N_LONG
    assert_done_points_hold_values(out, ("train_loss", "train_error"))
    alone(long_command(out), cwd=slow_folder, check=True)
    assert_same(out, long_undisturbed)


SLOW_TO_BUILD = """
import pathlib, time, torch

def build():
    print("building", flush=True)
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
"""


def test_a_signal_before_the_first_round_loses_nothing(tmp_path, alone, start_mpiexec):
    (tmp_path / "late.py").write_text(SLOW_TO_BUILD)
    out = tmp_path / "late.h5"
    argv = ["landscape_mpi.surface", "--model=late:build", "--data=digits", "--x=-1:1:15"]
    all_listen = {LISTENING_FILE: str(tmp_path / "listening")}  # before the first of them builds
    process = start_mpiexec(2, [*argv, f"--out={out}"], env=all_listen, cwd=tmp_path)
    assert any("building" in line for line in process.stdout)
    for pid in processes_running(out):
        os.kill(pid, signal.SIGUSR1)
    (tmp_path / "go").touch()
    log, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 75
    assert "stopped by SIGUSR1 with 0 of 15 points done" in log
    alone([*argv, f"--out={out}"], cwd=tmp_path, check=True)
    assert n_done(out) == 15


STUCK = """
import os, pathlib, time, torch

class Stuck(torch.nn.Linear):
    def forward(self, images):
        if images.sum() > -1e30 and pathlib.Path("go").exists():
            pathlib.Path(f"{os.getpid()}.waits").touch()
            time.sleep(1000)
        time.sleep(0.05)
        return super().forward(images.flatten(1))

def build():
    torch.manual_seed(0)
    return Stuck(64, 10)
"""


def test_a_second_signal_ends_it_at_once(tmp_path, start_mpiexec):
    (tmp_path / "stuck.py").write_text(STUCK)
    out = tmp_path / "twice.h5"
    argv = ["landscape_mpi.surface", "--model=stuck:build", "--data=digits", "--limit=64"]
    argv += ["--x=-1:1:999", "--round-seconds=60", f"--out={out}"]
    process = start_mpiexec(2, argv, cwd=tmp_path)
    wait_for_round(process, 1)
    n_before = n_done(out)
    (tmp_path / "go").touch()
    wait_until(lambda: len(list(tmp_path.glob("*.waits"))) == 2)
    # One that follows within a second counts as the same.
    for _ in range(20):
        for pid in processes_running(out):
            with contextlib.suppress(ProcessLookupError):  # mpiexec ends it with the first of them
                os.kill(pid, signal.SIGTERM)
        time.sleep(1.3)
        if process.poll() is not None:
            break
    assert process.wait(timeout=LIMIT_S) not in (0, 75)
    assert n_done(out) == n_before  # the round that was written before


FAILING = """
import torch
from mpi4py import MPI

class Failing(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(64, 10)
        self.passes = 0

    def forward(self, images):
        self.passes += int(images.sum() > -1e30)  # this cannot be traced away
        if self.passes > 60 and MPI.COMM_WORLD.rank == 1:
            raise RuntimeError("no such kernel")
        return self.linear(images.flatten(1))

def build():
    torch.manual_seed(0)
    return Failing()
"""


def test_a_network_that_raises_on_one_rank_ends_the_run_with_the_users_traceback(
    tmp_path, on_ranks
):
    """In good order: MPI_Abort would end these ranks with another status."""
    (tmp_path / "failing.py").write_text(FAILING)
    out = tmp_path / "failed.h5"
    argv = ["landscape_mpi.surface", "--model=failing:build", "--data=digits", f"--out={out}"]
    done = on_ranks(2, [*argv, "--x=-1:1:15", "--y=-1:1:15", "--round-seconds=0.01"], cwd=tmp_path)
    assert done.returncode == 2
    file = tmp_path / "failing.py"
    assert re.search(
        rf"^error: --model: failing:build raised at \(\S+, \S+\) of the plane: RuntimeError: no "
        rf"such kernel \({file}:\d+\)\nTraceback .*\n  File \"{file}\"",
        done.stderr,
        re.MULTILINE,
    )
    assert done.stderr.count("RuntimeError: no such kernel\n") == 1
    assert 0 < n_done(out) < 225
    assert_done_points_hold_values(out, ("train_loss", "train_error"))


def test_a_finished_surface_is_left_alone(checkpoint, tmp_path, undisturbed, alone):
    before = undisturbed.read_bytes()
    done = alone(command(checkpoint, undisturbed), check=True)
    assert "all 12 points are done" in done.stdout
    assert undisturbed.read_bytes() == before


def test_an_estimate_is_printed_and_nothing_is_written(checkpoint, tmp_path, on_ranks):
    out = tmp_path / "later.h5"
    done = on_ranks(2, command(checkpoint, out, "--estimate"), check=True)
    seconds = float(
        re.search(r"images/s per rank, (\S+) s per point of 509 images", done.stdout)[1]
    )
    assert seconds > 0
    assert " % of the rate of matrix products on this machine (" in done.stdout
    assert "GFLOP/s a rank, fp32" in done.stdout
    assert re.search(r"^3 x 4 points on 2 ranks: about \d+ s$", done.stdout, re.MULTILINE)
    assert not list(tmp_path.iterdir())


def test_an_estimate_of_what_is_left(checkpoint, tmp_path, undisturbed, on_ranks, alone):
    half = tmp_path / "half.h5"
    shutil.copy(undisturbed, half)
    with h5py.File(half, "r+") as file:
        file["done"][:2] = 0
    words = command(checkpoint, half, "--estimate")
    done = on_ranks(2, [*words, "--ranks-per-point", "2"], check=True)
    assert "8 points left of 3 x 4 points on 2 ranks that share each: about" in done.stdout
    refused = alone([*words, "--ranks-per-point", "2"])
    assert "--ranks-per-point 2: the run has only 1" in refused.stderr
    done = alone(command(checkpoint, undisturbed, "--estimate"), check=True)
    assert "all 12 points are done; nothing is left to compute" in done.stdout


def test_fresh_starts_over(checkpoint, tmp_path, alone):
    out = tmp_path / "again.h5"
    alone(command(checkpoint, out), check=True)
    done = alone(command(checkpoint, out, "--seed=7", "--fresh"), check=True)
    assert "none of them done yet" in done.stdout
    with h5py.File(out) as file:
        assert file["directions"].attrs["seed"] == 7


def test_saved_directions_make_the_same_surface(checkpoint, tmp_path, undisturbed, on_ranks, alone):
    saved, again = tmp_path / "saved.h5", tmp_path / "again.h5"
    alone(command(checkpoint, saved, "--save-directions"), check=True)
    on_ranks(2, command(checkpoint, again, "--directions", str(saved)), check=True)
    assert_same(saved, undisturbed)
    assert_same(again, undisturbed)


def test_the_reference_implementations_direction_files(checkpoint, tmp_path, undisturbed, alone):
    """The same directions as lists in the network's order, with zeros where nothing moves."""
    network = build_network("resnet8", n_channels=1, n_classes=10)
    state = torch.load(checkpoint, weights_only=True)
    network.load_state_dict(state)
    moved = {name: p.detach().numpy() for name, p in network.named_parameters() if p.ndim > 1}
    theirs = tmp_path / "theirs.h5"
    with h5py.File(theirs, "w") as file:
        for axis, name in (("alpha", "xdirection"), ("beta", "ydirection")):
            direction = random_direction(moved, seed=1, axis=axis, normalize="filter")
            for i, (key, parameter) in enumerate(network.named_parameters()):
                zeros = np.zeros(parameter.shape, np.float32)
                file[f"{name}/{i}"] = direction.get(key, zeros)
    out = tmp_path / "out.h5"
    alone(command(checkpoint, out, "--directions", str(theirs)), check=True)
    values, expected = values_of(out), values_of(undisturbed)
    for name in QUANTITIES:
        np.testing.assert_array_equal(values[name], expected[name])


def test_half_precision_weights_are_converted_and_that_is_said(checkpoint, tmp_path, alone):
    state = torch.load(checkpoint, weights_only=True)
    torch.save(
        {name: t.half() if t.is_floating_point() else t for name, t in state.items()},
        tmp_path / "half.pt",
    )
    done = alone(command(tmp_path / "half.pt", tmp_path / "half.h5"), check=True)
    assert "the weights are in float16; they were converted to float32" in done.stdout
    with h5py.File(tmp_path / "half.h5") as file:
        assert file["provenance"].attrs["checkpoint_types"] == "float16"


def test_results_that_are_not_numbers_are_stored(checkpoint, tmp_path, on_ranks, alone):
    out = tmp_path / "far.h5"
    on_ranks(2, command(checkpoint, out, "--x=-1e30:1e30:3", "--normalize=none"), check=True)
    with h5py.File(out) as file:
        assert (file["done"][...] == 1).all()
        assert not np.isfinite(file["train_loss"][0]).any()
        assert np.isfinite(file["train_loss"][1]).all()
    again = alone(command(checkpoint, out, "--x=-1e30:1e30:3", "--normalize=none"), check=True)
    assert "all 12 points are done" in again.stdout
    assert "not finite at 8 points" in again.stdout


def test_the_way_of_writing_is_said_in_the_log_and_in_the_file(undisturbed, checkpoint, alone):
    words = "rank 0 gathers and writes"
    assert words in alone(command(checkpoint, undisturbed), check=True).stdout
    with h5py.File(undisturbed) as file:
        assert file["provenance/runs"][0]["writer"].decode() == words


def test_a_run_goes_on_with_the_other_way_of_writing(undisturbed, checkpoint, tmp_path, on_ranks):
    if not has_parallel_hdf5():
        pytest.skip("h5py here is built without MPI")
    out = tmp_path / "surface.h5"
    on_ranks(2, command(checkpoint, out, "--write=parallel"), check=True)
    assert_same(out, undisturbed)
    with h5py.File(out, "r+") as file:
        file["done"][1:] = 0
    done = on_ranks(2, command(checkpoint, out, "--write=gather"), check=True)
    assert "rank 0 gathers and writes" in done.stdout
    assert_same(out, undisturbed)
    with h5py.File(out) as file:
        ways = [row["writer"].decode() for row in file["provenance/runs"][:2]]
    assert ways == ["parallel HDF5, 1 rank writes", "rank 0 gathers and writes"]


def test_cifar10_as_published(data_dir, tmp_path, on_ranks):
    """One point that two ranks share, where the publisher's files are at hand."""
    if not (data_dir / "cifar-10-batches-py").is_dir():
        pytest.skip(f"{data_dir} holds no cifar-10-batches-py")
    out = tmp_path / "point.h5"
    weights = next((data_dir / "checkpoints").glob("resnet20-*.th"))
    argv = ["landscape_mpi.surface", "--model=resnet20_pad", f"--checkpoint={weights}"]
    options = ["--data=cifar10", f"--data-dir={data_dir}", "--x=0", f"--out={out}", "--limit=2000"]
    pixels = ["--mean=0.485,0.456,0.406", "--std=0.229,0.224,0.225"]  # of its training
    on_ranks(2, [*argv, *options, *pixels], check=True)
    with h5py.File(out) as file:
        assert (file["done"][...] == 1).all()
        assert file["train_error"][0, 0] < 20  # 14 for pixels through JPEG; 90 by chance


LINEAR = """
import torch

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 10))
"""


def test_each_of_the_50000_images_of_cifar10_counts(data_dir, tmp_path, on_ranks):
    """Oracle: the cross-entropy of a linear network in float64, from the publisher's files."""
    batches = [data_dir / "cifar-10-batches-py" / f"data_batch_{k}" for k in range(1, 6)]
    if not all(batch.is_file() for batch in batches):
        pytest.skip(f"{data_dir} holds no cifar-10-batches-py")
    (tmp_path / "linear.py").write_text(LINEAR)
    out = tmp_path / "full.h5"
    argv = ["landscape_mpi.surface", "--model=linear:build", "--data=cifar10"]
    argv += [f"--data-dir={data_dir}", "--mean=0.5,0.5,0.5", "--std=0.25,0.25,0.25"]
    on_ranks(2, [*argv, "--x=0", f"--out={out}"], check=True, cwd=tmp_path)
    torch.manual_seed(0)
    layer = torch.nn.Linear(3072, 10).double()
    # Of (pixels / 255 - 0.5) / 0.25, in one pass over the pixels.
    weight, bias = layer.weight / (255 * 0.25), layer.bias - 2 * layer.weight.sum(1)
    losses = []
    for batch in batches:
        read = pickle.loads(batch.read_bytes(), encoding="bytes")
        pixels, targets = torch.from_numpy(read[b"data"]), torch.tensor(read[b"labels"])
        outputs = torch.nn.functional.linear(pixels.double(), weight, bias)
        losses.append(torch.nn.functional.cross_entropy(outputs, targets, reduction="none"))
    losses = torch.cat(losses)
    assert len(losses) == 50_000
    with h5py.File(out) as file:
        assert file["train_loss"][0, 0] == pytest.approx(losses.mean().item(), rel=1e-6)
