"""Fetch a publisher's archive once, check its checksum, and unpack it file by file."""

from __future__ import annotations

import os
import shutil
import sys
import tarfile
from collections.abc import Iterable
from pathlib import Path

from landscape_mpi.errors import InputError


def fetch_archive(url: str, *, known_hash: str, data_dir: Path) -> Path:
    """Download url into data_dir unless it is already there, and return its path.

    Raises:
        InputError: If it cannot be fetched or written, or its checksum differs.
    """
    import pooch  # takes half a second to import; only downloads need it

    name = url.rsplit("/", 1)[-1]
    try:
        bar = sys.stderr.isatty()
        fetched = pooch.retrieve(url, known_hash, fname=name, path=data_dir, progressbar=bar)
    except (OSError, ValueError) as problem:  # errors of the network and the disk; a wrong checksum
        raise InputError(
            f"--download: {url} could not be fetched into {data_dir}: "
            f"{' '.join(str(problem).split())} Without internet access, copy the unpacked "
            "archive there from another machine."
        ) from problem
    return Path(fetched)


def unpack_files(archive: Path, names: Iterable[str], *, data_dir: Path) -> None:
    """Unpack the named files of a .tar.gz below data_dir, each one whole or not at all.

    Raises:
        InputError: If the archive lacks a file, is damaged, or cannot be unpacked there.
    """
    try:
        with tarfile.open(archive) as tar:
            for name in names:
                _unpack(tar, name, data_dir / name)
    except KeyError as problem:
        raise InputError(
            f"{archive}: {problem.args[0]}; it is another archive. Remove it, and pass --download."
        ) from problem
    except (OSError, EOFError, tarfile.TarError) as problem:
        raise InputError(
            f"{archive}: cannot be unpacked: {' '.join(str(problem).split())}. Delete it, and "
            "pass --download to fetch it again."
        ) from problem


def _unpack(tar: tarfile.TarFile, name: str, path: Path) -> None:
    source = tar.extractfile(name)
    if source is None:
        raise KeyError(f"{name} is not a file in it")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with source, partial.open("wb") as target:
        shutil.copyfileobj(source, target)
    os.replace(partial, path)
