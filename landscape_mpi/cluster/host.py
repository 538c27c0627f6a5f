"""The name of the machine that a process runs on."""

from __future__ import annotations

import os
import socket


def host_name() -> str:
    """Return the name of this node: the one that SLURM's commands accept, or the system's."""
    return os.environ.get("SLURMD_NODENAME") or socket.gethostname()
