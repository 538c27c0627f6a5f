"""The files and the commands that a page shows; commands run on ranks that are started already."""

import contextlib
import shlex
import subprocess
import sys


def run_command(line, on_ranks, folder):
    """Run a line of a page in a folder, pictures in few pixels; return what it printed.

    Args:
        line: ``mpirun -n N python -m MODULE …``, ``python -m MODULE …`` or ``python SCRIPT …``.
        on_ranks: The fixture.
        folder: Where to run it.
    """
    words = shlex.split(line)
    n_ranks = 1
    if words[0] == "mpirun":
        n_ranks, words = int(words[2]), words[3:]
    assert words[0] == "python", line
    if words[1:3] == ["-m", "landscape_mpi.plot"] and "--dpi" not in line:
        words.append("--dpi=40")
    if words[1] == "-m":
        return on_ranks(n_ranks, words[2:], cwd=folder, check=True).stdout
    argv = [sys.executable, *words[1:]]
    return subprocess.run(argv, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


@contextlib.contextmanager
def in_folder_with(files, folder, monkeypatch):
    """Go to a folder with the files of a page; its modules are forgotten after."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    for name, text in files.items():
        (folder / name).write_text(text)
    yield folder
    for name in files:
        sys.modules.pop(name.removesuffix(".py"), None)
