"""Run a notebook as Jupyter does, in a kernel of its own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from folders import ROOT
from limits import LIMIT_S
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Run all cells in a folder; their outputs are in the notebook afterwards.

    The sockets of the kernel are files: of the ports that Jupyter draws before a kernel starts,
    another process may have taken one when it does.
    """
    with tempfile.TemporaryDirectory(prefix="kernel") as sockets:  # its path must be short
        client = NotebookClient(
            notebook,
            config=Config(KernelManager={"transport": "ipc", "ip": f"{sockets}/socket"}),
            resources={"metadata": {"path": str(folder)}},
            timeout=LIMIT_S,
            startup_timeout=LIMIT_S,
        )
        client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})
