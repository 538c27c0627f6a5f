"""Write output files: only to an allowed path, whole or not at all, and by one run at a time."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from landscape_mpi.errors import InputError, MissingInputError

# Errors of file systems without locks.
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)


def check_output(path: Path, *, inputs: Iterable[Path] = ()) -> None:
    """Check that a file can be made or changed at path, without touching anything.

    Args:
        path: Value of --out.
        inputs: Files that the command reads, which it must not overwrite.

    Raises:
        InputError: If path is a directory, an input, or cannot be written.
        MissingInputError: If its directory is missing.
    """
    folder = path.parent
    try:
        str(path).encode()
        is_directory, is_folder, exists = path.is_dir(), folder.is_dir(), path.exists()
        same = [file for file in inputs if exists and file.exists() and file.samefile(path)]
    except (OSError, UnicodeError) as problem:
        raise InputError(
            f"--out: {str(path)!r} is not a usable file name ({problem})."
        ) from problem
    if is_directory:
        raise InputError(f"--out: {path} is a directory. Pass the name of a file in it.")
    if not is_folder and folder.exists():
        raise InputError(f"--out: {path}: {folder} is a file, not a directory. Pass another --out.")
    if not is_folder:
        raise MissingInputError(
            f"--out: {path}: there is no directory {folder}. Make it (mkdir -p {folder}), or pass "
            f"another --out."
        )
    if same:
        raise InputError(f"--out: {path} is a file that this command reads. Pass another --out.")
    if exists and not path.is_file():
        raise InputError(f"--out: {path} is not an ordinary file. Pass the name of a new one.")
    for place in (folder, path):
        if place.exists() and not os.access(place, os.W_OK):
            raise InputError(
                f"--out: {path}: this user may not write to {place.absolute()}. Pass another place."
            )


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to; in the end, its file appears at path in one step.

    After an error, path is unchanged. If path is a link, its target is replaced.

    Args:
        path: File to make or replace.

    Raises:
        InputError: If path is not an ordinary file, or the system cannot write it, e.g. on a full
            disk.
    """
    target = path.resolve()
    if target.exists() and not target.is_file():
        raise InputError(f"{path} is not an ordinary file. Pass the name of a new one.")
    partial = target.with_name(f".{target.name[:150]}.{os.getpid()}.partial")
    try:
        yield partial
        os.replace(partial, target)
    except OSError as problem:
        raise InputError(
            f"{path}: cannot be written ({problem.strerror or problem}). Check the free space and "
            "the permissions there, or name another file."
        ) from problem
    finally:
        partial.unlink(missing_ok=True)


class OutputLock:
    """A lock for one run at a time on a file; the system releases it when the run dies."""

    def __init__(self, path: Path, *, quiet: bool = False) -> None:
        """Take the lock; print a note if there are no locks.

        Args:
            path: The file to write; the lock lies beside it.
            quiet: Whether to print no note; the caller prints it.

        Raises:
            InputError: If another run has it.
        """
        target = path.resolve()
        self._path = target.with_name(f".{target.name[:150]}.lock")
        self.holds = True  # False if the file system has no locks
        self._file = self._open_locked(path)
        self._say_who_has_it()
        if not self.holds and not quiet:
            print(
                f"{path}: its file system has no locks, so nothing keeps another run from writing "
                f"it at the same time. Start one run for this file at a time.",
                flush=True,
            )

    def _say_who_has_it(self) -> None:
        words = f"process {os.getpid()} on {socket.gethostname()}"
        with suppress(OSError):  # a full disk cannot store the text, but the lock holds
            os.ftruncate(self._file.fileno(), 0)
            os.write(self._file.fileno(), words.encode())

    def _open_locked(self, path: Path) -> IO[str]:
        while True:
            try:
                file = self._path.open("a+")
                self._lock(file, path)
            except OSError as problem:  # also if a link leads to a missing folder
                raise InputError(
                    f"{path}: cannot be written ({problem.strerror}: {self._path.parent})."
                ) from problem
            # The run that held the lock may have removed the file in the meantime.
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(file.fileno()), os.stat(self._path)):
                    return file
            file.close()

    def _lock(self, file: IO[str], path: Path) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as problem:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise InputError(
                f"{path}: another run is writing it ({holder}). Two runs would do the work twice. "
                "Wait for the other run, end it, or write to another file."
            ) from problem
        except OSError as problem:
            if problem.errno not in NO_LOCKS:
                raise
            self.holds = False

    def release(self) -> None:
        """Release the lock."""
        with suppress(OSError):  # of a folder that has become read-only; all is written by now
            self._path.unlink()
        self._file.close()
