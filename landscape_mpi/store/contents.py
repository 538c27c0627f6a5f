"""Check an HDF5 file from anywhere, before any of it is read into memory.

A file of a few kilobytes can claim arrays of gigabytes that were never written. It can also link to
other files, and then their contents look like its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py

from landscape_mpi.errors import InputError
from landscape_mpi.node_memory import check_fits, in_words

ALWAYS_READ = 64 << 20  # bytes; more than 1000 x 1000 points of a quantity
MOST_NAMES = 50_000  # of groups and datasets; a look at so many takes seconds
MOST_COMPRESSED = 1100  # gzip's largest ratio is 1032


def check_contents(file: h5py.File, path: Path) -> None:
    """Check that a file holds the data it claims, and nothing of other files. Local.

    Args:
        file: Any HDF5 file, open.
        path: Its path, for the message.

    Raises:
        InputError: If it does not.
    """
    claimed = 0
    for name, dataset in _datasets(file, path):
        if dataset.is_virtual or dataset.external:
            raise InputError(_not_its_own(path, name))
        claimed += dataset.size * dataset.dtype.itemsize if dataset.shape else 0
    held = path.stat().st_size
    if claimed > max(ALWAYS_READ, MOST_COMPRESSED * held):
        raise InputError(
            f"{path}: claims to hold {in_words(claimed)} in a file of {in_words(held)}. No "
            "compression is that strong, so most of it was never written. It is damaged or of "
            "another kind, so it is not read. Name the file that landscape_mpi.surface --out "
            "wrote."
        )
    check_fits(str(path), claimed)


def _datasets(file: h5py.File, path: Path) -> Iterator[tuple[str, h5py.Dataset]]:
    """Yield each dataset and its name; groups that contain each other are visited once.

    Raises:
        InputError: If there is a link to another file, or to a name that may be one, a name that
            cannot be printed, or more names than any file of ours has.
    """
    groups, seen, n_names = [("", file["/"])], set(), 0
    while groups:
        place, group = groups.pop()
        address = h5py.h5o.get_info(group.id).addr
        if address in seen:
            continue
        seen.add(address)
        n_names += len(group)
        if n_names > MOST_NAMES:
            raise InputError(
                f"{path}: has more than {MOST_NAMES:,} names of groups and datasets. No file of "
                "landscape_mpi has so many. It is damaged or of another kind, so it is not read. "
                "Name the file that landscape_mpi.surface --out wrote."
            )
        for name in group:
            full = f"{place}/{name}"
            if not full.isprintable():  # e.g. codes for a terminal
                raise InputError(
                    f"{path}: {full!r} is not a name that a program gives to its data, so the "
                    "file is damaged and not read. Copy it again from the machine of the job."
                )
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise InputError(_not_its_own(path, full))
            node = group[name]
            if isinstance(node, h5py.Group):
                groups.append((full, node))
            elif isinstance(node, h5py.Dataset):
                yield full, node


def _not_its_own(path: Path, name: str) -> str:
    return (
        f"{path}: {name} is a link, or lies in another file, but a file of results must hold its "
        "own numbers, so it is not read. Copy the linked data into one file (h5repack does so for "
        "virtual and external datasets), or name the file that landscape_mpi.surface --out wrote."
    )
