"""Oracle: the owner and the rights of folders, as the system has them."""

import os
import stat

import pytest

from landscape_mpi.compute import compilation
from landscape_mpi.errors import InputError


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    monkeypatch.setattr(compilation.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv(compilation.CACHE, "")
    monkeypatch.delenv(compilation.CACHE)
    return tmp_path


def test_the_cache_is_this_users_alone(temporary):
    folder = compilation.settle_cache()
    assert folder == temporary / f"landscape_mpi_{os.geteuid()}"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert os.environ[compilation.CACHE] == str(folder)
    assert compilation.settle_cache() == folder


def test_a_folder_of_ones_own_is_taken(temporary, monkeypatch):
    monkeypatch.setenv(compilation.CACHE, str(temporary / "deep" / "cache"))
    assert compilation.settle_cache() == temporary / "deep" / "cache"
    assert (temporary / "deep" / "cache").is_dir()


KINDS = ["of another user", "open to all", "open to its group", "a link", "a file"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_that_others_could_write_to_is_refused(kind, temporary):
    folder = temporary / f"landscape_mpi_{os.geteuid()}"
    if kind == "a link":
        (temporary / "elsewhere").mkdir()
        folder.symlink_to(temporary / "elsewhere")
    elif kind == "a file":
        folder.touch()
    else:
        folder.mkdir()
    words = "does not belong to this user, so other users could make this run load their code"
    if kind == "of another user":
        if os.geteuid() != 0:
            pytest.skip("giving a folder to another user takes root")
        os.chown(folder, 65534, 65534)
    if kind == "open to all":
        folder.chmod(0o777)
        words = "is open to all users, so other users could make this run load their code"
    if kind == "open to its group":
        folder.chmod(0o770)
        words = "is open to its group, so other users could make this run load their code"
    if kind == "a file":
        words = "cannot be made (File exists)"
    with pytest.raises(InputError) as caught:
        compilation.settle_cache()
    assert f"TORCHINDUCTOR_CACHE_DIR={folder}: {words}" in str(caught.value)
    assert "or pass --compile off." in str(caught.value)
