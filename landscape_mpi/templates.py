"""Write the scripts for workstations and queues into a folder: launch/, slurm/, pbs/ and lsf/.

The installed package contains these scripts. This command copies them into a folder of yours, where
you fill in the lines marked EDIT for your machine. If a script in the folder differs from ours, the
command keeps it, unless you pass --overwrite. It needs neither torch nor MPI.

  python -m landscape_mpi.templates jobs
  cd jobs && sbatch slurm/surface.sbatch
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from landscape_mpi.command import CommandParser, run_alone
from landscape_mpi.errors import InputError

HERE = Path(__file__).parent
INSTALLED = HERE / "scripts"  # setup.py puts them there; a checkout has them beside the package
SCRIPTS = (
    *(
        f"launch/{name}.sh"
        for name in ("bind_rank", "environment", "gpus", "image", "local", "pack")
    ),
    *("launch/run_rank.sh", "launch/run_ranks.sh", "launch/hostfile.example"),
    *("slurm/*", "pbs/*", "lsf/*"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the scripts, and print the name of each."""
    options = make_parser().parse_args(arguments)
    written, kept = write_scripts(options.folder, overwrite=options.overwrite)
    for path in written:
        print(path)
    if kept:
        names = ", ".join(str(path) for path in kept)
        print(f"kept, because they differ from those of this version: {names}")
    return 0


def scripts() -> Iterator[tuple[Path, Path]]:
    """Return each script, and its place in a folder of scripts."""
    source = INSTALLED if INSTALLED.is_dir() else HERE.parent
    for pattern in SCRIPTS:
        for path in sorted(source.glob(pattern)):
            yield path, path.relative_to(source)


def write_scripts(folder: Path, *, overwrite: bool) -> tuple[list[Path], list[Path]]:
    """Write the scripts into a folder.

    Args:
        folder: The folder; made if it does not exist.
        overwrite: Whether a script that differs is replaced.

    Returns:
        The scripts that were written, and those that differ and were kept.

    Raises:
        InputError: If the folder cannot be written to.
    """
    written, kept = [], []
    for source, place in scripts():
        target = folder / place
        if target.is_dir():
            raise InputError(
                f"{target}: is a directory, but a script has this name. Name another folder."
            )
        try:
            is_there = target.exists()
            if is_there and target.read_bytes() == source.read_bytes():
                continue
            if is_there and not overwrite:
                kept.append(target)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        except OSError as error:
            raise InputError(
                f"{target}: cannot be written: {error.strerror}. Name another folder."
            ) from error
        written.append(target)
    return written, kept


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = CommandParser.of_command("templates", __doc__)
    parser.add_argument(
        "folder", type=Path, metavar="FOLDER", help="folder for the scripts; made if needed"
    )
    output = parser.add_argument_group("output")
    output.add_argument(
        "--overwrite", action="store_true", help="replace scripts that were changed"
    )
    return parser


if __name__ == "__main__":
    run_alone(main)
