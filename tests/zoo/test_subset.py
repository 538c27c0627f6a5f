"""Oracle: counting, and the Hessian of a linear network in closed form, of sorted samples.

The loss of softmax on logits W x has at W = 0 the Hessian (I / 3 - 1 1' / 9) x mean(x x'): where a
whole class is left out, the mean of x x' is another.
"""

import h5py
import numpy as np
import pytest

from landscape_mpi.engine.inputs import with_subset
from landscape_mpi.engine.request import DataRequest, FileRequest
from landscape_mpi.errors import InputError
from landscape_mpi.options import subset_name
from landscape_mpi.store.reader import read_surface
from landscape_mpi.zoo.dataset import Split
from landscape_mpi.zoo.subset import describe, rows_of, take

SORTED = """
import numpy as np, torch
from torch import nn

def data():
    draws = np.random.default_rng(0)
    targets = np.repeat(np.arange(3), 40)
    inputs = draws.normal(size=(120, 2)).astype(np.float32) * (1 + 3 * targets[:, None])
    return {"train": (inputs.astype(np.float32), targets)}

def network():
    linear = nn.Linear(2, 3, bias=False)
    nn.init.zeros_(linear.weight)
    return linear
"""


@pytest.mark.parametrize(("n", "n_samples"), [(1, 1), (5, 100), (99, 100), (100, 100), (200, 100)])
def test_rows_are_some_in_their_order_and_each_once(n, n_samples):
    rows = rows_of("random:7", n, n_samples)
    assert len(rows) == min(n, n_samples)
    assert (np.diff(rows) > 0).all()
    assert rows.min() >= 0
    assert rows.max() < n_samples
    assert np.array_equal(rows_of("first", n, n_samples), np.arange(min(n, n_samples)))


def test_a_seed_draws_the_same_rows_and_fewer_are_among_more():
    assert np.array_equal(rows_of("random:3", 50, 1000), rows_of("random:3", 50, 1000))
    assert not np.array_equal(rows_of("random:3", 50, 1000), rows_of("random:4", 50, 1000))
    assert set(rows_of("random:3", 20, 1000)) < set(rows_of("random:3", 50, 1000))


def test_of_sorted_classes_all_are_there():
    """500 of 10 classes of 100: 50 of each are expected, give or take 5 times 4.7."""
    targets = np.repeat(np.arange(10), 100)
    split = take(Split(np.arange(1000, dtype=np.float32)[:, None], targets), "random:0", 500)
    counts = np.bincount(split.targets, minlength=10)
    assert counts.min() > 26
    assert counts.max() < 74
    assert np.array_equal(targets[split.inputs[:, 0].astype(int)], split.targets)


@pytest.mark.parametrize(
    ("text", "expected"), [("random", "random:0"), ("random:12", "random:12"), ("first", "first")]
)
def test_names_of_subsets(text, expected):
    assert subset_name(text) == expected
    words = "the first of the data set" if text == "first" else "drawn at random with seed "
    assert describe(expected).startswith(words)


def test_a_subset_without_a_limit_is_refused(tmp_path):
    asked, file = DataRequest("digits", subset="first"), FileRequest(tmp_path / "a.h5")
    with pytest.raises(InputError, match=r"--subset first: chooses the samples of --limit, but no"):
        with_subset(asked, file)


@pytest.fixture
def surface(tmp_path, alone):
    """Make a surface of sorted data; return what runs its command again with other options."""
    (tmp_path / "in_order.py").write_text(SORTED)
    argv = ["landscape_mpi.surface", "--model=in_order:network", "--data=in_order:data", "--x=0"]

    def run(*options):
        return alone([*argv, "--y=0", "--out=a.h5", *options], cwd=tmp_path)

    return run


def test_a_limit_takes_a_random_subset_says_so_and_resumes_with_it(surface, tmp_path):
    done = surface("--limit=60")
    assert "training samples: 60, drawn at random with seed 0\n" in done.stdout
    path = tmp_path / "a.h5"
    with h5py.File(path) as file:
        assert file.attrs["subset"] == "random:0"
    assert surface("--limit=60").returncode == 0  # as the file was begun
    other = surface("--limit=60", "--subset=first")
    assert other.returncode == 2
    assert "was computed with the training samples random:0, but this run requests" in other.stderr
    assert "pass --subset random:0" in other.stderr
    assert "training samples: 60, the first of the data set" in (
        surface("--limit=60", "--subset=first", "--fresh").stdout
    )
    assert surface("--limit=60").returncode == 0  # a file begun with the first goes on with them
    assert read_surface(path).attributes["subset"] == "first"
    assert surface("--fresh").returncode == 0
    assert "subset" not in read_surface(path).attributes  # of all samples


@pytest.mark.parametrize("options", [["--limit=60"], ["--limit=60", "--subset=first"]])
def test_the_hessian_of_some_samples_is_that_of_these(options, surface, tmp_path, on_ranks):
    assert surface().returncode == 0
    argv = ["landscape_mpi.hessian", "a.h5", "--parameters=all", *options]
    done = on_ranks(1, argv, cwd=tmp_path, check=True)
    subset = "first" if "--subset=first" in options else "random:0"
    assert f"60 training rows ({describe(subset)}), at 1 of 1 points" in done.stdout
    namespace = {}
    exec(SORTED, namespace)
    inputs, _ = namespace["data"]()["train"]
    inputs = inputs[rows_of(subset, 60, 120)].astype(float)
    dense = np.kron(np.eye(3) / 3 - np.ones((3, 3)) / 9, inputs.T @ inputs / 60)
    with h5py.File(tmp_path / "a.h5") as file:
        found = file["hessian_max"][0, 0]
        assert file["hessian"].attrs["subset"] == subset
    assert found == pytest.approx(np.linalg.eigvalsh(dense)[-1], rel=1e-4)
    again = ["landscape_mpi.hessian", "a.h5", "--parameters=all", "--limit=60"]
    on_ranks(1, again, cwd=tmp_path, check=True)  # as the eigenvalues were begun
    refused = on_ranks(1, [*again, "--subset=random:5"], cwd=tmp_path)
    assert refused.returncode == 2
    assert f"computed with the training samples {subset}, but this run requests" in refused.stderr
