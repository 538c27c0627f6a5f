"""Every case of the table: the surface that the program computes, or the reason why it refuses.

Oracle: that of the case, which uses torch alone (cases/): a plain loop over the unmodified network,
moved by the vectors of the file, or the mean loss of all samples by torch's own functions. If torch
itself cannot give one number, the program refuses with a sentence that names the cause and the way
out, and writes nothing.
"""

from __future__ import annotations

import pytest
from cases import table
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
