"""The compiled part, and the variables with which a program loads it."""

from __future__ import annotations

import functools
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SOURCE = Path(__file__).parent / "calls.c"
BUILT = Path(__file__).parents[2] / "build/file_calls"
N_COUNTS = 5


def compiler() -> str:
    """Return the C compiler's name."""
    return os.environ.get("CC", "cc")


def has_compiler() -> bool:
    """Say whether the library can be built here."""
    return shutil.which(compiler()) is not None


@functools.cache
def build_library() -> Path:
    """Build the library once for each state of its source, and return its path."""
    state = hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]
    path = BUILT / f"calls_{state}.so"
    if not path.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(f".{os.getpid()}")
        flags = ("-shared", "-fPIC", "-O2", "-Wall", "-Werror")
        subprocess.run([compiler(), *flags, "-o", partial, SOURCE, "-ldl"], check=True)
        partial.replace(path)
    return path


@dataclass(frozen=True)
class Counts:
    """The calls of all processes."""

    reads: int
    writes: int
    syncs: int
    bytes_read: int
    bytes_written: int


class FileCalls:
    """The calls of the programs that run with these variables."""

    def __init__(self, folder: Path, *, file: Path, delay_us: int = 0, journal: bool = False):
        """Prepare the counts.

        Args:
            folder: Folder for the counts and the journal.
            file: The file whose calls are meant.
            delay_us: How long each call waits, microseconds.
            journal: Whether writes are recorded.
        """
        self._counts, self.journal = folder / "counts", folder / "journal"
        self._counts.write_bytes(bytes(8 * N_COUNTS))
        self.journal.write_bytes(b"")
        self.variables = {
            "LD_PRELOAD": str(build_library()),
            "CALLS_FILE": file.name,
            "CALLS_COUNTS": str(self._counts),
            "CALLS_DELAY_US": str(delay_us),
        }
        if journal:
            self.variables["CALLS_JOURNAL"] = str(self.journal)

    def counts(self) -> Counts:
        """Return the calls so far."""
        return Counts(*(int(n) for n in np.fromfile(self._counts, np.int64)))

    def records(self) -> list[tuple[int, bytes] | None]:
        """Return the writes in their order, as places and bytes; None for a sync."""
        data, found, at = self.journal.read_bytes(), [], 0
        while at < len(data):
            offset, length = np.frombuffer(data, np.int64, 2, at)
            at += 16
            found.append(None if length < 0 else (int(offset), data[at : at + length]))
            at += max(0, int(length))
        return found
