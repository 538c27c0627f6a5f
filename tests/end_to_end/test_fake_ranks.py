"""Whole commands on ranks of a machine that has fake GPUs.

Oracles: the file of one rank on the CPU, bit for bit; and where each process had a context, which
the fake GPUs note when it ends.
"""

import json
import os
import re
import shutil
import signal
import textwrap

import h5py
import numpy as np
import pytest
from disturbance import ranks_that_write, wait_for_points
from limits import LIMIT_S
from one_process import run_alone

pytestmark = pytest.mark.fake_gpus

NETWORKS = """
    import os
    import time
    import torch
    from torch import nn

    class Slow(nn.Flatten):
        def forward(self, x):
            if x.sum().item() > -1e30:  # so that it cannot be recorded
                time.sleep(float(os.environ.get("LAG", "0")))
            return super().forward(x)

    def build(flat=nn.Flatten):
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(3)
        norm.running_var.uniform_(0.1, 0.5)
        layers = [nn.Conv2d(1, 3, 3, stride=2, bias=False), norm, nn.ReLU(), flat()]
        return nn.Sequential(*layers, nn.Linear(27, 10)).eval()

    def build_slow():
        return build(Slow)
"""
ON_GPUS = ("--compile=off", "--points-at-once=1", "--device=cuda")
ONE_EACH = (
    'export CUDA_VISIBLE_DEVICES=${OMPI_COMM_WORLD_LOCAL_RANK:-${MPI_LOCALRANKID:-}}; exec "$@"'
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("networks")
    (path / "small.py").write_text(textwrap.dedent(NETWORKS))
    return path


def surface(out, *options, model="small:build", x="-1:1:3"):
    words = ["landscape_mpi.surface", f"--model={model}", "--data=digits", "--limit=150"]
    words += ["--subset=first", "--splits=train,test", f"--x={x}", "--y=-1:1:2", "--batch=64"]
    return [*words, f"--out={out}", *options]


@pytest.fixture
def on_gpus(mpiexec, folder, tmp_path):
    """Return a function that runs a command on ranks, and returns its end and the contexts."""
    reports = tmp_path / "reports"
    reports.mkdir()

    def run(n, words, *, gpus, check=True, visible=""):
        env = {"FAKE_GPUS": str(gpus), "FAKE_GPUS_REPORT": str(reports)}
        if visible:
            words = ["bash", "-c", visible, "bash", "python", "-m", *words]
        for path in reports.iterdir():
            path.unlink()
        done = mpiexec(n, words, env=env, check=check, cwd=folder)
        found = [json.loads(path.read_text()) for path in reports.iterdir()]
        return done, {report["rank"]: report["contexts"] for report in found}

    return run


def values_of(path, names=("train_loss", "train_error", "test_loss", "test_error")):
    with h5py.File(path) as file:
        assert (file["done"][...] == 1).all()
        return np.array([file[name][...] for name in names])


@pytest.fixture(scope="module")
def on_the_cpu(mpiexec, folder):
    """The file of one rank on the CPU."""
    out = folder / "cpu.h5"
    mpiexec(1, surface(out, "--device=cpu"), check=True, cwd=folder)
    return out


@pytest.mark.parametrize(
    ("n_ranks", "visible"), [(2, ""), (3, ONE_EACH)], ids=["all visible", "one each"]
)
def test_each_rank_computes_on_its_own_gpu(n_ranks, visible, on_the_cpu, on_gpus, tmp_path):
    out = tmp_path / "gpus.h5"
    words = surface(out, *ON_GPUS)
    done, contexts = on_gpus(n_ranks, words, gpus=n_ranks, visible=visible)
    assert f"{n_ranks} ranks: {n_ranks} x NVIDIA H200; fp32, batch 64, 1 thread a rank" in (
        done.stdout
    )
    assert "one CUDA graph per split" in done.stdout
    assert contexts == {rank: [rank] for rank in range(n_ranks)}
    np.testing.assert_array_equal(values_of(out), values_of(on_the_cpu))


def test_the_doctor_names_the_gpu_of_each_rank(on_gpus, tmp_path):
    done, _ = on_gpus(2, ["landscape_mpi.doctor", "--folder", tmp_path], gpus=2)
    assert re.search(
        r"ranks 0-1 +\S+: NVIDIA H200 of \d+ GiB; driver \S+, CUDA \S+; sees 2 GPUs, and reaches "
        r"the memory of 0 others; may run on \d+ cores?, threads of a run: 1\n",
        done.stdout,
    )
    done, _ = on_gpus(3, ["landscape_mpi.doctor", "--folder", tmp_path], gpus=2, check=False)
    assert done.returncode == 2
    assert "wrong       node " in done.stdout
    assert ": 3 ranks share 2 GPUs. Two ranks on one GPU are slower than one" in done.stdout


def test_more_ranks_than_gpus(on_gpus, tmp_path):
    done, contexts = on_gpus(3, surface(tmp_path / "few.h5", *ON_GPUS), gpus=2, check=False)
    assert done.returncode == 2
    assert "3 ranks share 2 GPUs. Two ranks on one GPU are slower than one" in done.stderr
    assert contexts == {rank: [] for rank in range(3)}
    assert not (tmp_path / "few.h5").exists()


def test_eigenvalues_of_ranks_that_share_each_point(on_the_cpu, on_gpus, folder, tmp_path):
    """They share points, since the start of a search depends on those that a rank has had."""
    found = {}
    for device in ("cpu", "cuda"):
        path = tmp_path / f"{device}.h5"
        shutil.copy(on_the_cpu, path)
        words = ["landscape_mpi.hessian", str(path), "--limit=100", "--tolerance=1e-3"]
        words += ["--batch=32", "--ranks-per-point=2", f"--device={device}"]
        _, contexts = on_gpus(2, words, gpus=2)
        found[device] = values_of(path, ("hessian_min", "hessian_max"))
    assert contexts == {0: [0], 1: [1]}
    np.testing.assert_array_equal(found["cuda"], found["cpu"])


def test_a_rank_that_is_killed_then_one_that_goes_on(start_mpiexec, on_gpus, folder, tmp_path):
    plane = {"model": "small:build_slow", "x": "-1:1:20"}
    out, undisturbed = tmp_path / "killed.h5", tmp_path / "undisturbed.h5"
    words = surface(out, *ON_GPUS, "--round-seconds=0.2", **plane)
    process = start_mpiexec(2, words, env={"LAG": "0.1"}, cwd=folder)
    wait_for_points(process)
    os.kill(ranks_that_write(out)[-1], signal.SIGKILL)
    assert process.wait(timeout=LIMIT_S) != 0
    done, contexts = on_gpus(2, words, gpus=2)
    assert "resuming, " in done.stdout
    assert contexts == {0: [0], 1: [1]}
    on_gpus(2, surface(undisturbed, "--device=cpu", **plane), gpus=2)
    np.testing.assert_array_equal(values_of(out), values_of(undisturbed))


FEWER_SAMPLES, FEWER_POINTS = "--rtol=0.02", "--adaptive=0.1"


def fewer(out, *options):
    """Return the command of a surface that leaves out points, samples or both."""
    words = ["landscape_mpi.surface", "--model=small:build", "--data=digits", "--limit=700"]
    words += ["--x=-1:1:21", "--y=-1:1:21", "--splits=train", "--batch=64", "--compile=off"]
    return [*words, f"--out={out}", *options]


def all_stored(path):
    """Return all datasets of points but those of times and ranks, as bytes."""
    with h5py.File(path) as file:
        assert file["done"][...].all()
        names = [name for name in file if name.startswith(("train_", "done", "check_"))]
        return {name: file[name][...].tobytes() for name in names}


@pytest.fixture(scope="module")
def fewer_on_the_cpu(folder):
    """Return a function that gives the file of one rank on the CPU, made once."""
    known = {}

    def make(*options):
        if options not in known:
            known[options] = out = folder / f"fewer_{len(known)}.h5"
            ended = run_alone(fewer(out, *options, "--device=cpu"))
            assert ended.status == 0, ended.words
            with h5py.File(out) as file:
                assert ((file["done"][...] == 2).sum() > 50) == (FEWER_POINTS in options)
                if FEWER_SAMPLES in options:
                    assert {256, 512} <= set(file["train_n_samples"][...].ravel())
        return known[options]

    return make


@pytest.mark.parametrize("options", [[FEWER_SAMPLES], [FEWER_POINTS]])
def test_fewer_samples_or_points_on_a_gpu(
    options, gpu, fewer_on_the_cpu, folder, tmp_path, monkeypatch
):
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    expected, out = fewer_on_the_cpu(*options), tmp_path / "gpu.h5"
    ended = run_alone(fewer(out, *options, f"--device={gpu}"))
    assert ended.status == 0, ended.words
    assert "NVIDIA H200" in ended.words
    assert all_stored(out) == all_stored(expected)


def test_fewer_samples_and_points_on_two_gpus_that_go_on(
    fewer_on_the_cpu, folder, on_gpus, tmp_path, monkeypatch
):
    """From a file with larger errors, which the CPU may not have begun."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    expected = fewer_on_the_cpu(FEWER_POINTS, FEWER_SAMPLES)
    out = tmp_path / "gpus.h5"
    words = fewer(out, FEWER_POINTS, "--rtol=0.1", "--device=cuda")
    assert run_alone(words).status == 0
    words = fewer(out, FEWER_POINTS, FEWER_SAMPLES, "--device=cuda", "--points-at-once=1")
    done, contexts = on_gpus(2, words, gpus=2)
    assert "resuming, " in done.stdout
    assert contexts == {0: [0], 1: [1]}
    assert all_stored(out) == all_stored(expected)
