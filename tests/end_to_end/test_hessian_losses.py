"""Eigenvalues of surfaces of every loss of the table, by the command.

Oracle: numpy's dense eigenvalues of second derivatives that torch takes of the mean over all
samples, written with torch's own losses.
"""

import h5py
import numpy as np
import pytest
from cases import table
from cases.losses import CASES
from dense import dense_hessian, state_at
from folders import TESTS
from plain_loop import flat

from landscape_mpi.store.spectrum import read_spectrum

PLANE = ("--x=0:0.5:2", "--y=0:0.5:2")
NUMBERS = CASES["mse of numbers"]


def dense_eigenvalues(case, file, point):
    vectors = {
        axis: {name: values[()] for name, values in flat(file[f"directions/{axis}"])}
        for axis in ("alpha", "beta")
    }
    state = state_at(case.build(), vectors, *point)
    return np.linalg.eigvalsh(dense_hessian(case.mean_of_state(), state))


@pytest.mark.parametrize("case", table.of_losses(), ids=str)
def test_both_ends_at_every_point(case, tmp_path, on_ranks):
    out = tmp_path / "x.h5"
    case.surface(out, plane=PLANE)
    words = ["landscape_mpi.hessian", out, "--tolerance=1e-5", "--batch=4", "--ranks-per-point=2"]
    on_ranks(2, words, cwd=TESTS, check=True)
    with h5py.File(out) as file:
        for i, alpha in enumerate(file["alpha"]):
            for j, beta in enumerate(file["beta"]):
                exact = dense_eigenvalues(case, file, (alpha, beta))
                found = [file[f"hessian_{end}"][i, j] for end in ("min", "max")]
                expected = pytest.approx(exact[[0, -1]], rel=1e-4, abs=1e-6 * exact[-1])
                assert found == expected
        units = {file[f"hessian_{end}"].attrs["units"] for end in ("min", "max")}
        assert units == {case.units}
        assert file["hessian_products"].attrs["units"] == "1"


def test_the_spectrum_of_another_loss(tmp_path, on_ranks):
    out = tmp_path / "x.h5"
    NUMBERS.surface(out, plane=PLANE)
    words = ["landscape_mpi.hessian", out, "--spectrum=0,0", "--top=2", f"--out={tmp_path}/s.h5"]
    on_ranks(2, [*words, "--tolerance=1e-5"], cwd=TESTS, check=True)
    with h5py.File(out) as file:
        exact = dense_eigenvalues(NUMBERS, file, (0, 0))
    spectrum = read_spectrum(tmp_path / "s.h5")
    np.testing.assert_allclose(spectrum.eigenvalue, exact[[-1, -2]], rtol=1e-4)
    assert spectrum.loss_units == "1"
    with h5py.File(tmp_path / "s.h5") as file:
        assert [file[name].attrs["units"] for name in ("eigenvalue", "density")] == ["1", "1"]


def test_a_loss_that_hides_something_from_derivatives_is_refused(tmp_path, on_ranks):
    out = tmp_path / "x.h5"
    CASES["cross-entropy"].surface(out, "--loss=cases.losses:detached", plane=PLANE)
    before = out.read_bytes()
    done = on_ranks(2, ["landscape_mpi.hessian", out], cwd=TESTS)
    assert done.returncode == 2
    assert "--loss: the loss changes by " in done.stderr
    assert "so the Hessian would be wrong" in done.stderr
    assert out.read_bytes() == before
