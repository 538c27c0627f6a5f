"""List the commands of this package, or run one of them.

``landscape-mpi surface --help`` and ``python -m landscape_mpi surface --help`` do the same as
``python -m landscape_mpi.surface --help``.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import runpy
import sys
from pathlib import Path

import landscape_mpi
from landscape_mpi.cluster.launcher import is_first
from landscape_mpi.command import run_alone
from landscape_mpi.errors import EXIT_BAD_INPUT, unknown_name
from landscape_mpi.invocation import set_words_before_name

GROUPS = {
    "Compute, on any number of MPI ranks": (
        *("surface", "hessian", "sharpness", "trajectory", "curve"),
    ),
    "Train, with or without MPI": ("train", "ensemble"),
    "Draw, without torch and without MPI": ("plot", "vtp", "report", "topology"),
    "Prepare jobs, check and measure this machine": ("templates", "doctor", "bench"),
}
COMMANDS = [name for names in GROUPS.values() for name in names]
USAGE = "usage: {started} COMMAND [options]\n       {started} COMMAND --help"
EXAMPLES = """\
Examples:
  {started} train --model cnn1 --data digits --epochs 5 --run digits
  mpirun -n 2 {started} surface --model cnn1 --checkpoint digits/epoch_0005.pt \\
      --data digits --x=-1:1:21 --y=-1:1:21 --out digits.h5
  {started} plot digits.h5"""


def main() -> int:
    """List the commands, or run the named one, which exits with its own status.

    Returns:
        Exit status if there is no such command.
    """
    words = sys.argv[1:]
    if not words or words[0] in {"-h", "--help", "help"}:
        run_alone(lambda _: say(overview()))
    if words[0] == "--version":
        run_alone(lambda _: say(f"landscape_mpi {landscape_mpi.__version__}"))
    if words[0] not in COMMANDS:
        if is_first(os.environ):
            print(f"error: {unknown_name(started_as(), words[0], COMMANDS)}", file=sys.stderr)
        return EXIT_BAD_INPUT
    run(words[0], words[1:])
    return 0


def say(text: str) -> int:
    """Print a text, and return the exit status."""
    print(text)
    return 0


def started_as() -> str:
    """Return the words that started this program: those of pip's script, or of python -m."""
    is_module = Path(sys.argv[0]).name == "__main__.py"
    return "python -m landscape_mpi" if is_module else "landscape-mpi"


def overview() -> str:
    """Return the commands in groups, each with the first sentence of its help."""
    started = started_as()
    parts = [USAGE.format(started=started)]
    for title, names in GROUPS.items():
        rows = [f"  {name:<11} {first_sentence(name)}" for name in names]
        parts.append("\n".join([f"{title}:", *rows]))
    return "\n\n".join([*parts, EXAMPLES.format(started=started)])


def first_sentence(name: str) -> str:
    """Return the first line of a command's help, without importing the command."""
    found = importlib.util.find_spec(f"landscape_mpi.{name}")
    assert found is not None
    assert found.origin is not None
    text = ast.get_docstring(ast.parse(Path(found.origin).read_text())) or ""
    return text.partition("\n")[0]


def run(name: str, arguments: list[str]) -> None:
    """Run a command in this process, as ``python -m landscape_mpi.NAME`` does.

    Args:
        name: Name of the command.
        arguments: Words after the name.
    """
    set_words_before_name(f"{started_as()} ")
    sys.argv = [f"{started_as()} {name}", *arguments]
    here = os.getcwd()
    if here not in sys.path:  # python -m adds it, but a console script does not
        sys.path.insert(0, here)
    runpy.run_module(f"landscape_mpi.{name}", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.exit(main())
