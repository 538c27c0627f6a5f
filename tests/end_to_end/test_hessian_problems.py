"""Eigenvalues of the Hessian of problems, by the command and from Python.

Oracle: numpy and SciPy on second derivatives of the mean loss by plain double backward passes in
float64, over the user's own batches: torch alone, see problem_hessian.
"""

from __future__ import annotations

import importlib
import shutil
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest
from folders import TESTS
from libraries import imported
from one_process import run_alone
from problem_hessian import PlainHessian
from scipy.sparse.linalg import LinearOperator, eigsh

from landscape_mpi.store.checksums import seal
from landscape_mpi.store.spectrum import read_spectrum

PLACES = ((1, 1), (0, 2))
VALUES = ("hessian_min", "hessian_max")


@pytest.fixture(scope="module")
def surfaces(tmp_path_factory):
    """Return a surface of a problem, computed once: a copy of it for each test."""
    folder = tmp_path_factory.mktemp("surfaces")

    def surface(name, *options):
        path = folder / f"{name}{''.join(options)}.h5"
        if not path.exists():
            words = ["landscape_mpi.surface", f"--problem=problems.{name}:problem"]
            words += ["--x=-1:1:3", "--y=-1:1:3", "--save-directions", f"--out={path}", *options]
            ended = run_alone(words)
            assert ended.status == 0, ended.words
        copy = Path(tmp_path_factory.mktemp("copy")) / path.name
        shutil.copy(path, copy)
        return copy

    return surface


def hessian(path, *options, status=0):
    ended = run_alone(["landscape_mpi.hessian", path, *options])
    assert ended.status == status, ended.words
    return ended.words


def ends_of(path, place):
    with h5py.File(path) as file:
        return [file[name][place] for name in VALUES]


@pytest.mark.parametrize("name", ["heat_equation", "graphs", "adjacency"])
def test_the_values_are_those_of_the_dense_matrix(name, surfaces, on_ranks):
    module, path = imported(f"problems.{name}"), surfaces(name)
    hessian(path, "--tolerance=1e-4", "--stride=2")
    said = hessian(path, "--tolerance=1e-4")
    assert "training batches, at 9 of 9 points, 1 of them done" in said
    together = surfaces(name)
    words = ["landscape_mpi.hessian", together, "--tolerance=1e-4", "--stride=2"]
    words.append("--ranks-per-point=2")
    on_ranks(2, words, cwd=TESTS, check=True)
    for place in PLACES:
        expected = np.linalg.eigvalsh(PlainHessian(module, path, place).dense())[[0, -1]]
        np.testing.assert_allclose(ends_of(path, place), expected, rtol=1e-4)
    np.testing.assert_allclose(ends_of(together, (1, 1)), ends_of(path, (1, 1)), rtol=1e-4)


def test_a_language_model_has_the_values_of_scipy(surfaces):
    module, path = imported("problems.language_model"), surfaces("language_model")
    hessian(path, "--tolerance=1e-4", "--stride=2")
    plain = PlainHessian(module, path, (1, 1))
    matrix = LinearOperator((plain.n, plain.n), plain.product(), dtype=np.float64)
    ends = [
        eigsh(matrix, 1, which=end, tol=1e-7, return_eigenvectors=False) for end in ("SA", "LA")
    ]
    np.testing.assert_allclose(ends_of(path, (1, 1)), np.concatenate(ends), rtol=1e-3)


def test_a_limit_counts_as_that_of_a_surface(surfaces):
    """Batches where the data are in batches; the file says which, and a resumed run asks for it."""
    module, path = imported("problems.heat_equation"), surfaces("heat_equation")
    said = hessian(path, "--tolerance=1e-4", "--limit=2", "--stride=2")
    assert "2 training batches (the first of the data set), at 1 of 9 points" in said
    plain = PlainHessian(module, path, (1, 1), n_batches=2)
    expected = np.linalg.eigvalsh(plain.dense())[[0, -1]]
    np.testing.assert_allclose(ends_of(path, (1, 1)), expected, rtol=1e-4)
    said = hessian(path, "--tolerance=1e-4", "--limit=1", "--stride=2", status=2)
    assert "were computed with 2 training batches, but this run requests 1 training batches" in said
    assert "of the problem has only 3 batches" in hessian(path, "--limit=4", status=2)


def test_the_eigenvalues_have_the_unit_of_the_loss(surfaces):
    path = surfaces("heat_equation")
    hessian(path, "--stride=2")
    with h5py.File(path) as file:
        assert file["hessian_max"].attrs["units"] == file["train_loss"].attrs["units"] == "1"
        assert file["hessian"].attrs["batches"] == 3
        assert file["hessian"].attrs["subset"] == "all"


def test_the_spectrum_of_a_problem(surfaces, tmp_path):
    module, path = imported("problems.graphs"), surfaces("graphs")
    out = tmp_path / "spectrum.h5"
    hessian(path, "--spectrum=0,0", "--top=3", "--tolerance=1e-5", f"--out={out}")
    found, matrix = read_spectrum(out), PlainHessian(module, path, (1, 1)).dense()
    values = np.linalg.eigvalsh(matrix)
    leading = values[np.argsort(-np.abs(values))[:3]]
    np.testing.assert_allclose(np.sort(found.eigenvalue), np.sort(leading), rtol=1e-4)
    known = found.attributes
    assert abs(known["trace"] - np.trace(matrix)) < 4 * known["trace_deviation"]


MODULE = """
    import torch
    from torch import nn
    import landscape_mpi as lm

    def problem():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
        data = {data}
        def loss(network, batch):
            x, y = batch
            return {loss}
        return lm.Problem(network, {{"train": data}}, loss, seed={seed}, units="m2")
"""
USUAL = {
    "data": "(torch.randn(20, 3), torch.randn(20, 1))",
    "loss": "(network(x) - y).square().sum(1)",
    "seed": 1,
}


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """Write a module of a problem, with something in it other than usual."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("sys.dont_write_bytecode", True)

    def write(name, **other):
        text = textwrap.dedent(MODULE).format(**{**USUAL, **other})
        (tmp_path / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        sys.modules.pop(name, None)

    return write


@pytest.fixture
def own(mine, tmp_path):
    """A surface of the usual module."""
    mine("usual_problem")
    path = tmp_path / "own.h5"
    words = ["landscape_mpi.surface", "--problem=usual_problem:problem", "--x=-1:1:3"]
    ended = run_alone([*words, f"--out={path}"])
    assert ended.status == 0, ended.words
    return path


def test_a_problem_that_moved_is_named_again(own, mine):
    mine("moved_problem")
    hessian(own, "--problem=moved_problem:problem", "--limit=15")
    with h5py.File(own) as file:
        assert file["hessian"].attrs["samples"] == 15
        assert file["hessian_min"].attrs["units"] == "m2"


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"loss": "(network(x) - y).abs().sum(1)"}, "whose loss on the first batch is"),
        ({"data": "(torch.ones(20, 3), torch.ones(20, 1))"}, "with data of SHA-256"),
        ({"seed": 2}, "with the seed 1 of its problem, which now has the seed 2"),
    ],
)
def test_another_problem_is_refused(other, words, own, mine):
    mine("another_problem", **other)
    said = hessian(own, "--problem=another_problem:problem", status=2)
    assert words in said
    with h5py.File(own) as file:
        assert "hessian_done" not in file


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--gauss-newton", "--gauss-newton: uses the matrix J^T H J of the outputs"),
        ("--batch=4", "--batch: applies to networks of --model"),
        ("--subset=first", "--subset: applies to networks of --model"),
        ("--problem=usual_problem:other", "other"),
    ],
)
def test_what_a_problem_does_not_have_is_refused(option, words, own):
    assert words in hessian(own, option, status=2)


def test_a_problem_from_python_has_to_be_named(own):
    with h5py.File(own, "r+") as file:
        file.attrs["problem"] = "a problem in Python"
    seal(own)
    said = hessian(own, status=2)
    assert "passed in Python, so the file has no name for it. Pass --problem" in said
    hessian(own, "--problem=usual_problem:problem")
