"""The whole command on real ranks.

Oracle for the values: numpy's dense eigenvalues of a Hessian that torch.autograd.functional makes
of the network as its function builds it. Oracle for how they are computed: the file of one rank
that was never disturbed.
"""

import contextlib
import os
import shutil
import signal
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from limits import LIMIT_S
from refusals import message_of
from torch.func import functional_call

from landscape_mpi.command import request_of
from landscape_mpi.compute.directions import random_direction
from landscape_mpi.jobs.hessian.request import HessianRequest
from landscape_mpi.store.checksums import seal
from landscape_mpi.store.reader import read_surface
from landscape_mpi.zoo.datasets import load_dataset

NETWORK = """
    import time
    import torch
    from torch import nn

    class Slow(nn.Flatten):
        def forward(self, x):
            time.sleep({lag})
            return super().forward(x)

    def build():
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(3)
        norm.running_var.uniform_(0.1, 0.5)
        layers = [nn.Conv2d(1, 3, 3, stride=2, bias=False), norm, nn.ReLU(), Slow()]
        return nn.Sequential(*layers, nn.Linear(27, 10)).eval()
"""
N_SAMPLES, LIMIT = 200, 150
SMALL = ("--limit", str(LIMIT), "--subset", "first", "--tolerance", "1e-5")
VALUES = ("hessian_min", "hessian_max")


def write_network(folder, lag=0):
    (folder / "small.py").write_text(textwrap.dedent(NETWORK).format(lag=lag))
    return {"PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("network")


@pytest.fixture(scope="module")
def environment(folder):
    return write_network(folder)


@pytest.fixture(scope="module")
def surface(folder, environment, on_ranks):
    """A surface without eigenvalues."""
    path = folder / "surface.h5"
    argv = ["landscape_mpi.surface", "--model=small:build", "--data=digits", "--x=-1:1:4"]
    argv += ["--y=-1:1:3", f"--limit={N_SAMPLES}", "--subset=first", "--splits=train,test"]
    argv.append(f"--out={path}")
    on_ranks(2, argv, env=environment, check=True)
    return path


@pytest.fixture(scope="module")
def undisturbed(surface, folder, environment, on_ranks):
    """The file of one rank."""
    path = folder / "one.h5"
    shutil.copy(surface, path)
    done = on_ranks(1, ["landscape_mpi.hessian", path, *SMALL], env=environment, check=True)
    return path, done.stdout


def values_of(path):
    with h5py.File(path) as file:
        return {name: file[name][...] for name in (*VALUES, "hessian_done")}


def assert_same(path, reference):
    values = values_of(path)
    for name, expected in values_of(reference).items():
        np.testing.assert_allclose(values[name], expected, rtol=1e-6, err_msg=name)


def dense_hessian(alpha, beta):
    """Return the Hessian in the convolution and linear weights, float64, and the directions."""
    torch.manual_seed(0)
    norm = torch.nn.BatchNorm2d(3)
    norm.running_var.uniform_(0.1, 0.5)
    first = torch.nn.Conv2d(1, 3, 3, stride=2, bias=False)
    head = torch.nn.Linear(27, 10)
    network = torch.nn.Sequential(first, norm, torch.nn.ReLU(), torch.nn.Flatten(), head)
    network = network.eval()
    names = ("0.weight", "4.weight")
    center = {name: network.get_parameter(name).detach().numpy() for name in names}
    moved = {name: torch.from_numpy(values).double() for name, values in center.items()}
    vectors = []
    for axis, step in (("alpha", alpha), ("beta", beta)):
        direction = random_direction(center, seed=1, axis=axis, normalize="filter")
        vectors.append(np.concatenate([direction[name].ravel() for name in names]).astype(float))
        for name, values in direction.items():
            moved[name] = moved[name] + step * torch.from_numpy(values).double()
    data = load_dataset("digits")
    split = data.splits["train"].first(LIMIT)
    images = torch.from_numpy(split.inputs).permute(0, 3, 1, 2).double() / 255
    images = (images - data.mean[0]) / data.std[0]
    targets = torch.from_numpy(split.targets)
    network = network.double()

    def loss(flat):
        sizes = [tensor.numel() for tensor in moved.values()]
        pieces = zip(names, flat.split(sizes), strict=True)
        own = {name: piece.view(moved[name].shape) for name, piece in pieces}
        return torch.nn.functional.cross_entropy(functional_call(network, own, (images,)), targets)

    start = torch.cat([tensor.reshape(-1) for tensor in moved.values()])
    return torch.autograd.functional.hessian(loss, start, vectorize=True).numpy(), vectors


def dense_ends(alpha, beta):
    return np.linalg.eigvalsh(dense_hessian(alpha, beta)[0])[[0, -1]]


def test_the_values_are_those_of_the_dense_hessian(undisturbed):
    path, said = undisturbed
    with h5py.File(path) as file:
        for row, column in [(0, 0), (1, 1), (3, 2)]:
            expected = dense_ends(file["alpha"][row], file["beta"][column])
            found = [file[name][row, column] for name in VALUES]
            np.testing.assert_allclose(found, expected, rtol=1e-4)
    which = "150 training images (the first of the data set)"
    assert f"Hessian in 297 parameters, {which}, at 12 of 12 points, 0 of them" in said
    assert "hessian_min: " in said
    assert "products: " in said


def test_a_random_line(environment, tmp_path, on_ranks):
    line = tmp_path / "line.h5"
    argv = ["landscape_mpi.surface", "--model=small:build", "--data=digits", "--x=-1:1:2"]
    argv += [f"--limit={LIMIT}", "--subset=first", f"--out={line}"]
    on_ranks(1, argv, env=environment, check=True)
    on_ranks(2, ["landscape_mpi.hessian", line, *SMALL], env=environment, check=True)
    with h5py.File(line) as file:
        found = [file[name][-1, 0] for name in VALUES]
    np.testing.assert_allclose(found, dense_ends(1, 0), rtol=1e-4)


def test_the_file_says_how_they_came_about(undisturbed, surface):
    path, _ = undisturbed
    with h5py.File(path) as file, h5py.File(surface) as before:
        assert (file["hessian_done"][...] == 1).all()
        size = np.maximum(np.abs(file["hessian_min"][...]), 1e-3 * file["hessian_max"][...])
        assert (file["hessian_min_residual"][...] <= 1e-5 * size).all()
        assert (file["hessian_max_residual"][...] <= 1e-5 * file["hessian_max"][...]).all()
        assert (file["hessian_products"][...] > 5).all()
        assert sorted(file["hessian_start"][...].ravel()) == [0] + 11 * [1]
        assert file["hessian_start"].attrs["values"].startswith("0: a random vector; 1: ")
        assert (file["hessian_seconds"][...] > 0).all()
        for name in ("hessian_min", "hessian_products", "hessian_done"):
            assert file[name].attrs["units"]
            assert file[name].attrs["long_name"]
            assert file[name].dims[1].keys() == ["beta"]
        known = file["hessian"].attrs
        assert (known["samples"], known["parameters"], known["solver"]) == (150, "moved", "lanczos")
        run = file["provenance/hessian_runs"][0]
        assert (run["outcome"], run["points"]) == (b"complete", 12)
        assert len(before["provenance/runs"]) == len(file["provenance/runs"])
        for name in ("train_loss", "done", "seconds"):
            np.testing.assert_array_equal(file[name][...], before[name][...])


@pytest.mark.parametrize(("n_ranks", "sharing"), [(2, 1), (3, 1), (4, 2)])
def test_any_number_of_ranks_gives_the_same_numbers(
    n_ranks, sharing, undisturbed, surface, environment, tmp_path, on_ranks
):
    path = tmp_path / "surface.h5"
    shutil.copy(surface, path)
    options = ["--batch=32", f"--ranks-per-point={sharing}", "--round-seconds=0.1"]
    argv = ["landscape_mpi.hessian", path, *SMALL, *options]
    done = on_ranks(n_ranks, argv, env=environment, check=True)
    assert ("2 ranks sharing each point" in done.stdout) == (sharing == 2)
    assert_same(path, undisturbed[0])


def vector_of(file, name):
    parts = [file[f"directions/{name}/{weight}"][...] for weight in ("0.weight", "4.weight")]
    return np.concatenate([part.ravel() for part in parts]).astype(float)


def test_the_spectrum_at_a_point_that_no_grid_has(surface, environment, tmp_path, on_ranks):
    out = tmp_path / "spectrum.h5"
    options = ["--spectrum=0.5,-0.25", "--top=3", f"--out={out}", "--batch=40", "--basis=60"]
    before = surface.read_bytes()
    argv = ["landscape_mpi.hessian", surface, *SMALL, *options]
    done = on_ranks(3, argv, env=environment, check=True)
    assert surface.read_bytes() == before
    dense, vectors = dense_hessian(0.5, -0.25)
    values, exact = np.linalg.eigh(dense)
    with h5py.File(out) as file:
        known = file.attrs
        np.testing.assert_allclose(file["eigenvalue"][...], values[:-4:-1], rtol=1e-4)
        np.testing.assert_allclose([known[name] for name in VALUES], values[[0, -1]], rtol=1e-4)
        assert abs(known["trace"] - values.sum()) < 4 * known["trace_deviation"] + 1e-3 * values[-1]
        for axis, vector in zip(("alpha", "beta"), vectors, strict=True):
            curvature = vector @ dense @ vector / (vector @ vector)
            assert known[f"curvature_{axis}"] == pytest.approx(curvature, rel=1e-3)
        for name, column in (("alpha", -1), ("beta", -2), ("2", -3)):
            assert abs(vector_of(file, name) @ exact[:, column]) == pytest.approx(1, abs=1e-3)
        share = file["density"][...].sum() * np.diff(file["place"][:2])[0]
        third = vector_of(file, "2")
    assert share == pytest.approx(1, rel=1e-2)
    assert f"done: {out}; next: python -m landscape_mpi.plot --spectrum {out}" in done.stdout
    # Its vectors are the axes of another surface.
    along = tmp_path / "along.h5"
    axes = [f"--x-direction=file:{out}:2", "--x=-1:1:2", "--save-directions", f"--out={along}"]
    argv = ["landscape_mpi.surface", "--model=small:build", "--data=digits", f"--limit={LIMIT}"]
    on_ranks(1, [*argv, *axes], env=environment, check=True)
    with h5py.File(along) as line:
        np.testing.assert_array_equal(vector_of(line, "alpha"), third)


def processes_running(path):
    """Return the ranks of a run on a file, but not their launcher."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # gone in the meantime
            words = (folder / "cmdline").read_bytes().split(b"\0")
            if b"python" in words[0] and str(path).encode() in words:
                found.append(int(folder.name))
    return found


def test_a_run_that_is_stopped_and_one_that_is_killed_are_resumed(
    undisturbed, surface, environment, tmp_path, on_ranks, start_mpiexec
):
    path = tmp_path / "surface.h5"
    shutil.copy(surface, path)
    slow = {**environment, **write_network(tmp_path, lag=0.25)}
    argv = ["landscape_mpi.hessian", path, *SMALL, "--round-seconds=0.1"]
    for number, n_ranks in ((signal.SIGTERM, 2), (signal.SIGKILL, 1)):
        run = start_mpiexec(n_ranks, argv, env=slow)
        for line in run.stdout:
            if "points (" in line:
                break
        for pid in processes_running(path):
            os.kill(pid, number)
        said = run.communicate(timeout=LIMIT_S)[0]
        if number == signal.SIGTERM:
            assert run.returncode == 75
            assert "stopped by SIGTERM with" in said
        n_done = int(values_of(path)["hessian_done"].sum())
        assert 0 < n_done < 12
    done = on_ranks(1, argv, env=environment, check=True)
    assert f"at 12 of 12 points, {n_done} of them done" in done.stdout
    assert_same(path, undisturbed[0])
    with h5py.File(path) as file:
        runs = file["provenance/hessian_runs"]
        assert runs["outcome"][:3].tolist() == [b"stopped by SIGTERM", b"", b"complete"]
        assert runs["points"].sum() == 12


def changed_byte(path, name, index):
    """Change one byte of a value."""
    with h5py.File(path) as file:
        node = file[name]
        place = node.id.get_offset() + index * node.dtype.itemsize
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_changed_eigenvalues_are_refused_and_computed_again(
    undisturbed, environment, tmp_path, on_ranks
):
    path = tmp_path / "surface.h5"
    shutil.copy(undisturbed[0], path)
    changed_byte(path, "hessian_max", 4)
    changed_byte(path, "hessian_products", 10)
    words = (
        f"{path}: is damaged: the eigenvalues at 2 of its points are not as they were written, "
        "the first ones at [alpha, beta] = [1, 1]"
    )
    argv = ["landscape_mpi.hessian", path, *SMALL]
    pictures = ["landscape_mpi.plot", path, f"--out-dir={tmp_path}"]
    for command in (argv, pictures, ["landscape_mpi.surface", f"--status={path}"]):
        told = on_ranks(1, command, env=environment)
        assert told.returncode == 2, told.stderr
        assert told.stderr.count(words) == 1
        assert "repeat the command hessian with --repair (these eigenvalues alone)" in told.stderr
    done = on_ranks(2, [*argv, "--repair"], env=environment, check=True)
    again = "2 eigenvalue pairs are not as written, so this run recomputes [alpha, beta] = [1, 1], "
    assert f"{path}: {again}[3, 1]\n" in done.stdout
    assert "at 12 of 12 points, 10 of them done" in done.stdout
    assert_same(path, undisturbed[0])
    done = on_ranks(1, [*argv, "--repair"], env=environment, check=True)
    assert f"{path}: --repair finds no damage\n" in done.stdout


def test_eigenvalues_of_an_older_version_have_no_checksums(
    undisturbed, environment, tmp_path, on_ranks
):
    """They are read, and a run continues them."""
    path = tmp_path / "surface.h5"
    shutil.copy(undisturbed[0], path)
    with h5py.File(path, "r+") as file:
        del file["hessian_checksum"]
        file["hessian_done"][1, 1] = 0
    seal(path)
    argv = ["landscape_mpi.hessian", path, *SMALL]
    done = on_ranks(1, argv, env=environment, check=True)
    assert "at 12 of 12 points, 11 of them done" in done.stdout
    assert_same(path, undisturbed[0])
    assert read_surface(path).done_of["hessian_max"].all()
    on_ranks(1, [*argv, "--fresh"], env=environment, check=True)
    with h5py.File(path) as file:
        assert file["hessian_checksum"][...].all()


def test_arpack_finds_the_same(undisturbed, surface, environment, tmp_path, on_ranks):
    path = tmp_path / "surface.h5"
    shutil.copy(surface, path)
    argv = ["landscape_mpi.hessian", path, *SMALL, "--solver=arpack", "--stride=2"]
    done = on_ranks(1, argv, env=environment, check=True)
    assert "at 2 of 12 points" in done.stdout
    found, expected = values_of(path), values_of(undisturbed[0])
    flags = found["hessian_done"] == 1
    assert np.argwhere(flags).tolist() == [[0, 1], [2, 1]]
    for name in VALUES:
        np.testing.assert_allclose(found[name][flags], expected[name][flags], rtol=1e-6)


def test_gauss_newton_has_no_negative_eigenvalue(surface, environment, tmp_path, on_ranks):
    path = tmp_path / "surface.h5"
    shutil.copy(surface, path)
    argv = ["landscape_mpi.hessian", path, "--gauss-newton", "--stride=2", "--max-products=9"]
    done = on_ranks(1, argv, env=environment, check=True)
    assert "not converged at 2 points" in done.stdout
    with h5py.File(path) as file:
        flags = file["hessian_done"][...] == 1
        assert (file["hessian_min"][...][flags] > -1e-5).all()
        assert (file["hessian_products"][...][flags] == 9).all()
        assert np.isfinite(file["hessian_min_residual"][...][flags]).all()


# Bad input.


def with_attribute(surface, path, group, name, value):
    shutil.copy(surface, path)
    with h5py.File(path, "r+") as file:
        file[group].attrs[name] = value
    seal(path)
    return path


@pytest.mark.parametrize(
    ("group", "name", "value", "words"),
    [
        ("provenance", "weights_sha256", 64 * "0", "was computed with weights of SHA-256 0000"),
        ("provenance", "data_sha256", 64 * "0", "was computed with data of SHA-256 0000"),
        ("directions", "sha256", 64 * "0", "lies along directions of SHA-256 0000"),
        ("/", "splits", "test", "was computed on the split test, but the Hessian is that of"),
        ("/", "batch_norm", "reestimate", "whose statistics depend on the weights"),
        ("directions", "source", "to b.pt; random", r"made for it \(to b.pt; random\) but are not"),
        (
            "provenance",
            "checkpoint",
            "gone.pt",
            "If the files have moved, pass --checkpoint or --data-dir",
        ),
    ],
)
def test_inputs_of_another_surface(group, name, value, words, surface, on_path, tmp_path):
    path = with_attribute(surface, tmp_path / "other.h5", group, name, value)
    from landscape_mpi.hessian import parse
    from landscape_mpi.jobs.hessian import hessian_plan

    with pytest.raises(hessian_plan.InputError, match=words):
        hessian_plan._read_on_root(request_of(HessianRequest, parse([str(path)])))


@pytest.fixture
def on_path(folder, environment, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    yield
    sys.modules.pop("small", None)  # other tests have a module of that name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--limit=151"], "with 150 training samples, but this run requests 151"),
        (["--limit=201"], "--limit 201: .* with only 200"),
        (["--spectrum=0"], "'0' is not a point ALPHA,BETA. Pass e.g. --spectrum=0,0"),
        (["--spectrum=0,nan"], "'0,nan' is not a point"),
        (["--out=x.h5"], "the eigenvalues go into the surface file itself"),
        (["--parameters=all"], "the parameters moved, but this run requests the parameters all"),
        (["--gauss-newton"], "the matrix Hessian, but this run requests the matrix Gauss-Newton"),
        (["--solver=arpack"], "the solver lanczos, but this run requests the solver arpack"),
        (["--tolerance=0.1"], "the tolerance 1e-05, but this run requests the tolerance 0.1"),
    ],
)
def test_a_resume_with_other_options(options, words, undisturbed, on_path):
    from landscape_mpi.hessian import parse
    from landscape_mpi.jobs.hessian import hessian_plan

    def read():
        asked = parse([str(undisturbed[0]), *SMALL, *options])
        return hessian_plan._read_on_root(request_of(HessianRequest, asked))

    with pytest.raises(hessian_plan.InputError, match=words):
        read()


def test_what_is_no_surface(environment, tmp_path, on_ranks):
    path = tmp_path / "gone.h5"
    done = on_ranks(1, ["landscape_mpi.hessian", path], env=environment)
    assert message_of(done.returncode, done.stderr) == (
        f"{path}: does not exist. Name a surface file that landscape_mpi.surface wrote."
    )
