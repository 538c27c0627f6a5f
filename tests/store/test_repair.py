"""Damaged points are computed again, and a resumed run asks for the devices that began the file.

Oracle: the file of a run that nothing happened to, compared bit for bit; bytes and attributes that
the tests themselves change.
"""

import shutil

import h5py
import numpy as np
import pytest
from slurm_jobs import SLOW

from landscape_mpi.store.checksums import seal

N_ALPHA, N_BETA = 5, 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("repair")
    (path / "slow.py").write_text(SLOW)
    return path


def surface(out, *options):
    words = ["landscape_mpi.surface", "--model=slow:build", "--data=digits", "--limit=64"]
    words += ["--batch=64", f"--x=-1:1:{N_ALPHA}", f"--y=0:1:{N_BETA}", f"--out={out}"]
    return [*words, "--device=cpu", *options]


@pytest.fixture(scope="module")
def sound(folder, on_ranks):
    """The file of a run that nothing happened to."""
    on_ranks(2, surface("sound.h5"), cwd=folder, check=True)
    return folder / "sound.h5"


@pytest.fixture
def out(sound, tmp_path):
    return shutil.copy(sound, tmp_path / "surface.h5")


def damage(path, name, index, value):
    with h5py.File(path, "r+", locking=False) as file:
        dataset = file[name]
        offset = dataset.id.get_offset() + dataset.dtype.itemsize * index
        data = np.asarray([value], dataset.dtype).tobytes()
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def assert_same(path, sound):
    with h5py.File(path) as file, h5py.File(sound) as expected:
        for name in ("done", "train_loss", "train_error"):
            np.testing.assert_array_equal(file[name][...], expected[name][...])


@pytest.mark.parametrize("n_ranks", [1, 3])
def test_damaged_points_alone_are_computed_again(n_ranks, out, sound, folder, on_ranks):
    damage(out, "train_loss", 4, 7.25)
    damage(out, "seconds", 4, 1e9)
    damage(out, "checksum", 14, 12345)
    refused = on_ranks(n_ranks, surface(out), cwd=folder)
    assert refused.returncode == 2
    assert "2 of its 15 computed points are not as they were written" in refused.stderr
    assert (
        "the command of the surface with --repair (these points alone), --fresh or a"
        in refused.stderr
    )
    done = on_ranks(n_ranks, surface(out, "--repair"), cwd=folder, check=True)
    words = "2 points are not as written, so this run recomputes [alpha, beta] = [1, 1], [4, 2]"
    assert f"{out}: {words}\n" in done.stdout
    assert "15/15 points" in done.stdout
    assert_same(out, sound)
    with h5py.File(out) as file:
        assert file["provenance/runs"]["points"][:3].tolist() == [15, 2, 0]
    again = on_ranks(n_ranks, surface(out, "--repair"), cwd=folder, check=True)
    assert f"{out}: --repair finds no damage\n" in again.stdout


@pytest.mark.parametrize("flag", [2, 77])
def test_a_point_with_a_flag_that_no_run_writes_is_computed_again(
    flag, out, sound, folder, on_ranks
):
    damage(out, "done", 4, flag)
    assert on_ranks(1, surface(out), cwd=folder).returncode == 2
    done = on_ranks(1, surface(out, "--repair"), cwd=folder, check=True)
    words = "1 point is not as written, so this run recomputes [alpha, beta] = [1, 1]"
    assert f"{out}: {words}\n" in done.stdout
    assert_same(out, sound)


def test_what_lies_outside_the_points_still_refuses(out, folder, on_ranks):
    damage(out, "alpha", 2, 77)
    before = out.read_bytes()
    done = on_ranks(1, surface(out, "--repair"), cwd=folder)
    assert done.returncode == 2
    assert f"{out}: is damaged: " in done.stderr
    assert out.read_bytes() == before


def test_nothing_to_repair(out, folder, tmp_path, on_ranks):
    done = on_ranks(1, surface(tmp_path / "none.h5", "--repair"), cwd=folder)
    assert done.returncode == 2
    assert "but there is no such file. Leave out one of the two." in done.stderr
    done = on_ranks(1, surface(out, "--repair", "--fresh"), cwd=folder)
    assert done.returncode == 2
    assert "but --fresh replaces it. Leave out one of the two." in done.stderr


def test_a_file_of_another_kind(folder, tmp_path, on_ranks):
    note = tmp_path / "note.h5"
    note.write_text("not HDF5")
    done = on_ranks(1, surface(note, "--repair"), cwd=folder)
    assert done.returncode == 2
    assert f"{note}: exists but is not a readable HDF5 file" in done.stderr


def begun_elsewhere(path, model):
    """Have a file begun on another device, with a point left to compute."""
    damage(path, "done", 0, 0)
    with h5py.File(path, "r+") as file:
        own = str(file.attrs["device_model"])
        del file.attrs["device_model"]
        if model:
            file.attrs["device_model"] = model
    seal(path)
    return own


def test_another_model_of_device(out, folder, on_ranks):
    own = begun_elsewhere(out, "NVIDIA H200 of 139 GiB")
    assert own.endswith((" (AVX512)", " (AVX2)", " (DEFAULT)"))
    done = on_ranks(1, surface(out), cwd=folder)
    assert done.returncode == 2
    model = "devices of the model"
    assert (
        f"with {model} NVIDIA H200 of 139 GiB, but this run requests {model} {own}." in done.stderr
    )
    assert (
        "pass --accept-device to continue here with results that may differ in their" in done.stderr
    )
    done = on_ranks(1, surface(out, "--accept-device"), cwd=folder, check=True)
    words = f"was started on NVIDIA H200 of 139 GiB and is continued on {own}: results may differ"
    assert done.stdout.count(words) == 1


def test_a_file_that_does_not_say_on_which_device(out, sound, folder, on_ranks):
    begun_elsewhere(out, None)
    on_ranks(1, surface(out), cwd=folder, check=True)
    assert_same(out, sound)
