"""ParaView for tests of the scripts that open a mesh in it: pvpython, on a screen in memory."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from limits import LIMIT_S
from PIL import Image


def find_paraview() -> str:
    """Return pvpython; skip where it, or a screen for it, is not there."""
    lacks = [name for name in ("pvpython", "Xvfb") if shutil.which(name) is None]
    if lacks:
        message = f"no {' and no '.join(lacks)} on PATH: apt-get install paraview xvfb"
        if os.environ.get("LANDSCAPE_EXPECT_PARAVIEW") == "1":
            pytest.fail(f"{message}; LANDSCAPE_EXPECT_PARAVIEW=1 says they are expected")
        pytest.skip(message)
    return "pvpython"


@contextlib.contextmanager
def screen() -> Iterator[str]:
    """Give the name of a screen in memory: some builds of ParaView draw on nothing else."""
    read_end, write_end = os.pipe()
    words = ["Xvfb", "-displayfd", str(write_end), "-noreset", "-screen", "0", "1600x1200x24"]
    server = subprocess.Popen(words, pass_fds=(write_end,), stderr=subprocess.DEVNULL)
    os.close(write_end)
    with open(read_end) as file:
        number = file.readline().strip()  # once it is ready
    try:
        assert number, "Xvfb ended"
        yield f":{number}"
    finally:
        server.terminate()
        server.wait(timeout=LIMIT_S)


def draw(script: Path, picture: Path, *, cwd: Path) -> list[np.ndarray]:
    """Run a script with the picture it is to draw.

    Args:
        script: The script.
        picture: File to draw into; a series gives NAME.0000.png and so on.
        cwd: Where pvpython is started.

    Returns:
        What was drawn, float [rows, columns, 3] each.
    """
    # The tests' Python is not the one of ParaView.
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    argv = [find_paraview(), str(script), str(picture)]
    with screen() as display:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=own | {"DISPLAY": display},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Error" not in done.stderr, done.stderr
    drawn = sorted(picture.parent.glob(f"{picture.stem}*{picture.suffix}"))
    assert drawn, done.stdout + done.stderr
    return [np.asarray(Image.open(path).convert("RGB"), float) for path in drawn]
