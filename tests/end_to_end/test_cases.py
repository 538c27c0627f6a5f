"""Every case of the table: the surface that the program computes, or the reason why it refuses.

Oracle: that of the case, which uses torch alone (cases/): a plain loop over the unmodified network,
moved by the vectors of the file, or the mean loss of all samples by torch's own functions. For
ranks: the surface of one rank; problems have its bits. If torch itself cannot give one number, the
program refuses with a sentence that names the cause and the way out, and writes nothing.
"""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from cases import table
from cases.network_files import NUMBERS, network_file
from folders import TESTS
from one_process import run_alone


def check_refusal(case, ended, out):
    assert ended.status == 2, ended.words
    assert "error: " in ended.words
    assert case.cause in ended.words
    assert not out.exists()


@pytest.mark.parametrize("case", table.every_case(), ids=str)
def test_the_surface_is_that_of_the_oracle(case, tmp_path):
    out = tmp_path / "surface.h5"
    case.surface(out)
    case.check(out)


@pytest.mark.parametrize("case", table.on_ranks(), ids=str)
def test_the_same_on_two_ranks_that_share_points_or_samples(case, tmp_path, on_ranks):
    alone = tmp_path / "alone.h5"
    case.surface(alone)
    for sharing in (1, 2):
        out = tmp_path / f"{sharing}.h5"
        words = case.words(out, f"--ranks-per-point={sharing}")
        on_ranks(2, words, cwd=TESTS, env=case.environment, check=True)
        found = values_of(out)
        for name, values in values_of(alone).items():
            np.testing.assert_array_equal(found[name], values, err_msg=name)


def values_of(path):
    with h5py.File(path) as file:
        return {name: file[name][()] for name in file if name.startswith(("train_", "test_"))}


@pytest.mark.parametrize("case", table.right_or_refused(), ids=str)
def test_no_wrong_number(case, tmp_path):
    out = tmp_path / "surface.h5"
    ended = run_alone(case.words(out))
    if ended.status == 0:
        case.check(out)
    else:
        check_refusal(case, ended, out)


@pytest.mark.parametrize("case", table.refused(), ids=str)
def test_a_refusal_that_names_the_cause(case, tmp_path):
    out = tmp_path / "surface.h5"
    check_refusal(case, run_alone(case.words(out)), out)


def test_ranks_refuse_a_network_that_differs_between_them(tmp_path, on_ranks):
    out = tmp_path / "surface.h5"
    done = on_ranks(2, network_file("drawn:by_nobody", NUMBERS, "mse").words(out), cwd=TESTS)
    assert done.returncode == 2
    assert "random" in done.stderr
    assert not out.exists()
