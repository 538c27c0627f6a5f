"""Runs on the MPICH of PyPI, which set-up takes where a machine has no MPI of its own.

Oracle: the file of one rank on the MPI of the other tests, compared bit for bit. Runs last longer
than --stall-seconds: MPICH does not send a rank's word to itself before it is received.
"""

import h5py
import numpy as np
import pytest
from slurm_jobs import SLOW

OPTIONS = ["--data=digits", "--limit=64", "--batch=64", "--stall-seconds=1", "--round-seconds=0.5"]
PLANE = ["--model=slow:build", "--x=-1:1:8", "--y=0:1:2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("mpich")
    (path / "slow.py").write_text(SLOW)
    return path


@pytest.fixture(scope="module")
def reference(folder, on_ranks):
    words = ["landscape_mpi.surface", *PLANE, *OPTIONS, "--out=reference.h5"]
    on_ranks(1, words, cwd=folder, check=True)
    return losses_of(folder / "reference.h5")


def losses_of(path):
    with h5py.File(path) as file:
        assert (file["done"][...] == 1).all()
        return file["train_loss"][...]


@pytest.mark.parametrize("n_ranks", [1, 2])
def test_a_run_longer_than_its_stall_limit_ends(n_ranks, folder, reference, mpich, mpiexec):
    out = folder / f"{n_ranks}.h5"
    words = [mpich / "bin/python", "-m", "landscape_mpi.surface", *PLANE, *OPTIONS, f"--out={out}"]
    done = mpiexec(n_ranks, words, env={"LAG": "0.3"}, cwd=folder, check=True)
    assert done.stdout.count(" points (") > 2
    with h5py.File(out) as file:
        assert file["seconds"][...].sum() > 4
        assert b"MPICH" in file["provenance/runs"][0]["versions"]
    np.testing.assert_array_equal(losses_of(out), reference)
