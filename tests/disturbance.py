"""Finding the ranks of a running command, to disturb them in the middle of their work."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def wait_for_points(process: subprocess.Popen[str]) -> None:
    """Read the log of a running command until a round is written."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if " points (" in line:
            return
    pytest.fail("it ended before it could be disturbed:\n" + "".join(seen))


def ranks_that_write(path: Path) -> list[int]:
    """Return the processes whose command has a file in it, but not their launcher."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:  # gone in the meantime
            continue
        if b"python" in words[0] and f"--out={path}".encode() in words:
            found.append(int(folder.name))
    return found
