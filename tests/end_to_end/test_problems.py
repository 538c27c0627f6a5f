"""Problems as people bring them, with the libraries of the field: resumed, refused.

Oracle: cases/problem_loops.py, loops of torch alone. They import nothing of the package, and take
another way to each number: samples one by one without padding, merged adapters, forward-mode
derivatives. test_cases.py compares the surfaces with them. A stopped run has the bits of another.
"""

from __future__ import annotations

import math
import os
import signal
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from cases.case import Values
from cases.problem_files import CASES
from cases.problem_loops import LOOPS
from disturbance import ranks_that_write, wait_for_points
from folders import TESTS
from libraries import imported
from limits import LIMIT_S
from one_process import run_alone
from plain_loop import read_plane

PLANE = ("--x=-1:1:3", "--y=-1:1:3", "--save-directions")

NAMES = {path.stem for path in (TESTS / "problems").glob("*.py")}


def test_every_problem_is_in_the_table():
    others = {"__init__", "refused", "slow", "unusual", "vision"}
    assert set(CASES) == set(LOOPS) == NAMES - others


def bits(values: Values) -> dict[str, str]:
    return {name: value.hex() for name, value in values.items()}


# The loops by themselves.


@pytest.mark.parametrize("case", CASES.values(), ids=str)
def test_a_loop_is_a_function_of_the_weights(case):
    draw = torch.Generator().manual_seed(1)
    network, same, other = (case.build() for _ in range(3))
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=draw))
    values = [case.values(each) for each in (network, same, other)]
    assert all(map(math.isfinite, values[0].values()))
    assert bits(values[0]) == bits(values[1])
    assert abs(values[2]["loss"] / values[0]["loss"] - 1) > 1e-3


# Surfaces.


def test_filters_of_a_layer_of_ones_own_are_its_output_channels(tmp_path):
    case, out = CASES["adjacency"], tmp_path / "surface.h5"
    case.surface(out)
    weights = case.build().state_dict()
    for _, direction in read_plane(out):
        for name, drawn in direction.items():
            expected = np.linalg.norm(weights[name], axis=0)  # inputs first: a column is a channel
            np.testing.assert_allclose(np.linalg.norm(drawn, axis=0), expected, rtol=1e-5)


def check_same_bits(first: Path, second: Path, quantities: list[str]) -> None:
    with h5py.File(first) as one, h5py.File(second) as two:
        for name in quantities:
            np.testing.assert_array_equal(one[name][()], two[name][()], err_msg=name, strict=True)


# A run that was stopped.


def test_a_run_with_random_numbers_is_stopped_and_resumed_with_the_same_bits(
    tmp_path, on_ranks, start_mpiexec
):
    stopped, undisturbed = tmp_path / "stopped.h5", tmp_path / "undisturbed.h5"
    words = ["landscape_mpi.surface", "--problem=problems.slow:problem", "--x=-1:1:7"]
    words += ["--y=-1:1:7", "--round-seconds=0.2"]
    process = start_mpiexec(2, [*words, f"--out={stopped}"], env={"LAG": "0.1"}, cwd=TESTS)
    wait_for_points(process)
    for pid in ranks_that_write(stopped):
        os.kill(pid, signal.SIGTERM)
    log, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 75, log
    assert 0 < n_done(stopped) < 49
    on_ranks(2, [*words, f"--out={stopped}"], cwd=TESTS, check=True)
    on_ranks(1, [*words, f"--out={undisturbed}"], cwd=TESTS, check=True)
    assert n_done(stopped) == 49
    check_same_bits(stopped, undisturbed, ["train_loss", "train_reconstruction"])


def n_done(path: Path) -> int:
    with h5py.File(path) as file:
        return int(file["done"][...].sum())


# Weights of a checkpoint.


def test_a_checkpoint_replaces_the_weights_of_the_network(tmp_path):
    case = CASES["forecast"]
    module = case.module()
    network, out = module.network(), tmp_path / "trained.h5"
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(1.5)
    torch.save(network.state_dict(), tmp_path / "trained.pt")
    case.surface(out, f"--checkpoint={tmp_path / 'trained.pt'}")
    with h5py.File(out) as file:
        expected = case.values(network)["loss"]
        assert file["train_loss"][1, 1] == pytest.approx(expected, rel=1e-6)


# Some of the data.


def test_a_limit_takes_the_first_of_the_data_and_the_file_says_so(tmp_path):
    case, out = CASES["heat_equation"], tmp_path / "few.h5"
    case.surface(out, "--limit=2")
    with h5py.File(out) as file:
        assert (file.attrs["limit"], file.attrs["subset"]) == (2, "first")
        value = LOOPS["heat_equation"](case.build(), case.module().data()[:2])["loss"]
        assert file["train_loss"][1, 1] == pytest.approx(value, rel=1e-12)
    ended = run_alone(case.words(out, "--limit=4", "--fresh"))
    assert ended.status == 2
    assert "--limit 4: data['train'] of the problem has only 3 batches" in ended.words


# Refusals.

REFUSED = {
    "mean_of_a_batch": ("loss returned one number for batch 0", "a tensor [n], or the pair (sum"),
    "wrong_key": ("refused.py", "in weigh", "KeyError: 'weight'"),
    "read_once": ("problems.refused:read_once: ", "generator", "read only once", "Pass list"),
    "without_weights": ("the network: weight is on the meta device", "Convert it to such"),
    "three_things": ("problems.refused:three_things returned", "tuple", "landscape_mpi.Problem("),
    "nothing": ("returned None, as a function without return does, not a landscape_mpi.Problem",),
    "later": ("returned an object of type coroutine, not a landscape_mpi.Problem. Let it return",),
    "of_a_rate": ("(rate, *, width) needs arguments, but is called without: ", "Give these arg"),
    "without_batches": ("problems.refused:without_batches: ", "is empty", "at least one batch"),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("n_ranks", [1, 2])
def test_what_gives_no_number_is_refused_in_one_message(name, n_ranks, tmp_path, on_ranks):
    out = tmp_path / "none.h5"
    words = ["landscape_mpi.surface", f"--problem=problems.refused:{name}", f"--out={out}", *PLANE]
    done = on_ranks(n_ranks, words, cwd=TESTS)
    said = done.stdout + done.stderr
    assert done.returncode == 2, said
    assert said.count("error: ") == 1, said
    assert all(word in said for word in REFUSED[name]), said
    assert "Warning" not in said, said
    assert "/landscape_mpi/" not in said, said  # the frames of a traceback are the user's
    assert not out.exists()


# Libraries.


def test_where_a_library_is_absent_its_tests_skip_and_say_so(monkeypatch, tmp_path):
    (tmp_path / "wanting.py").write_text("import absent_library")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("LANDSCAPE_EXPECT_LIBRARIES", raising=False)
    message = "^wanting: No module named 'absent_library': make setup"
    with pytest.raises(pytest.skip.Exception, match=message):
        imported("wanting")
    monkeypatch.setenv("LANDSCAPE_EXPECT_LIBRARIES", "1")
    with pytest.raises(pytest.fail.Exception, match=f"{message}.*EXPECT_LIBRARIES=1 says it is"):
        imported("wanting")
