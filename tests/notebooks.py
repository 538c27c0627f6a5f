"""Run a notebook as Jupyter does, in a kernel of its own."""

from __future__ import annotations

import os
from pathlib import Path

from folders import ROOT
from jupyter_client import AsyncKernelManager
from limits import LIMIT_S
from nbclient import NotebookClient
from nbformat import NotebookNode


def execute(notebook: NotebookNode, folder: Path) -> None:
    """Run all cells in a folder; their outputs are in the notebook afterwards.

    The kernel has sockets in files: of the ports that Jupyter draws before a kernel starts,
    another process may have one when it binds them.
    """
    client = NotebookClient(
        notebook,
        km=AsyncKernelManager(transport="ipc"),
        resources={"metadata": {"path": str(folder)}},
        timeout=LIMIT_S,
        startup_timeout=LIMIT_S,
    )
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT)})
