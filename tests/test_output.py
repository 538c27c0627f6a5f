"""Oracle: the sentences themselves, and what the file system allows."""

import errno
import fcntl
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.output import OutputLock, check_output, whole_file


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
    with pytest.raises(InputError, match="runs is a file, not a directory. Pass another --out"):
        check_output(tmp_path / "runs" / "a.h5")


def test_a_place_that_may_not_be_written(tmp_path, monkeypatch):
    # Root may write everywhere, so what the system answers an ordinary user is put in its place.
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    with pytest.raises(InputError, match="this user may not write to"):
        check_output(tmp_path / "a.h5")


def test_an_input_is_not_written_over(tmp_path):
    weights = tmp_path / "weights.pt"
    weights.write_text("w")
    (tmp_path / "link.pt").symlink_to(weights)
    for name in (weights, tmp_path / "link.pt"):
        with pytest.raises(InputError, match="is a file that this command reads"):
            check_output(name, inputs=[tmp_path / "none", weights])


def test_what_is_no_file_is_not_written(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="is not an ordinary file"):
        check_output(tmp_path / "pipe")


@pytest.mark.parametrize("name", ["x" * 300, "bad\udcff.h5"])
def test_names_no_system_takes(tmp_path, name):
    with pytest.raises(InputError, match="is not a usable file name"):
        check_output(tmp_path / name)


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / ("n" * 240)  # room for the name, none for a longer one
    with whole_file(path) as partial:
        partial.write_text("first")
        assert not path.exists()
    assert path.read_text() == "first"

    def fail():
        with whole_file(path) as partial:
            partial.write_text("second")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_followed(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    with whole_file(tmp_path / "link") as partial:
        partial.write_text("here")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "target").read_text() == "here"


def test_what_the_system_cannot_write_is_said(tmp_path):
    refused = pytest.raises(InputError, match=r"cannot be written \(No such file or directory\)")
    with refused, whole_file(tmp_path / "none" / "a") as partial:
        partial.write_text("")


HOLD = """
import sys, time
from pathlib import Path
from landscape_mpi.output import OutputLock
lock = OutputLock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_one_run_at_a_time_and_a_killed_one_does_not_count(tmp_path):
    path = tmp_path / "a.h5"
    other = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(InputError) as problem:
            OutputLock(path)
        assert f"another run is writing it (process {other.pid} on " in str(problem.value)
    finally:
        other.kill()
        other.communicate()
    lock = OutputLock(path)
    assert lock.holds
    lock.release()
    assert not list(tmp_path.iterdir())


def test_a_link_to_a_folder_that_is_gone_is_said_and_not_waited_for(tmp_path):
    link = tmp_path / "surface.h5"
    link.symlink_to(tmp_path / "gone" / "surface.h5")
    with pytest.raises(InputError, match=r"cannot be written \(No such file or directory: .*gone"):
        OutputLock(link)


def test_a_full_disk_does_not_hinder_the_lock(tmp_path):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        lock = OutputLock(tmp_path / "a.h5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with pytest.raises(InputError, match="another run is writing it .unknown"):
        OutputLock(tmp_path / "a.h5")
    lock.release()


def test_a_folder_that_has_become_read_only_does_not_hinder_the_end(tmp_path, monkeypatch):
    def refuse(*arguments, **more):
        raise OSError(errno.EROFS, "Read-only file system")

    lock = OutputLock(tmp_path / "a.h5")
    monkeypatch.setattr(Path, "unlink", refuse)
    lock.release()
    monkeypatch.undo()
    OutputLock(tmp_path / "a.h5").release()  # the lock is free
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["ENOSYS", "ENOLCK", "EOPNOTSUPP"])
def test_a_file_system_without_locks_is_said_once(name, tmp_path, monkeypatch, capsys):
    def refuse(*arguments):
        raise OSError(getattr(errno, name), "no locks")

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock = OutputLock(tmp_path / "a.h5")
    assert not lock.holds
    lock.release()
    OutputLock(tmp_path / "b.h5", quiet=True).release()
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"{tmp_path}/a.h5: its file system has no locks, so nothing keeps")
