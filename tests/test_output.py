"""Oracle: the sentences themselves, and what the file system allows."""

import os

import pytest

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.store.output import check_output


def test_a_place_in_a_folder_is_fine_and_stays_untouched(tmp_path):
    check_output(tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


def test_a_directory(tmp_path):
    with pytest.raises(InputError, match="--out: .* is a directory. Pass the name of a file in it"):
        check_output(tmp_path)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(MissingInputError, match="there is no directory .*/runs. Make it"):
        check_output(tmp_path / "runs" / "a.h5")


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(MissingInputError, match="there is no directory .*/runs"):
        check_output(tmp_path / "runs" / "a.h5")


def test_a_place_that_may_not_be_written(tmp_path, monkeypatch):
    # Root may write everywhere, so what the system answers an ordinary user is put in its place.
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    with pytest.raises(InputError, match="this user may not write to"):
        check_output(tmp_path / "a.h5")
