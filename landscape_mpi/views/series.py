"""Several meshes as one series that ParaView steps through: a .pvd beside their .vtp files."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.output import whole_file
from landscape_mpi.store.reader import Surface

NUMBER = re.compile(r"(\d+)$")


def split_repeats(surface: Surface) -> list[Surface]:
    """Return each line of a file with --repeats as a separate surface, other surfaces unchanged."""
    if "repeats" not in surface.attributes:
        return [surface]
    attributes = {name: v for name, v in surface.attributes.items() if name != "repeats"}

    def column(arrays: dict[str, np.ndarray], k: int) -> dict[str, np.ndarray]:
        return {name: array[:, k : k + 1] for name, array in arrays.items()}

    return [
        replace(
            surface,
            beta=np.zeros(1),
            values=column(surface.values, k),
            done=surface.done[:, k : k + 1],
            done_of=column(surface.done_of, k),
            attributes=attributes,
        )
        for k in range(surface.shape[1])
    ]


def times_of(paths: Sequence[Path], *, option: str = "--series") -> list[float]:
    """Return a time for each file: the number at the end of its name, or its place if one has none.

    Raises:
        InputError: If two names end in the same number.
    """
    found = [NUMBER.search(path.stem) for path in paths]
    if not all(found):
        return [float(k) for k in range(len(paths))]
    times = [float(match.group()) for match in found if match]
    for k, time in enumerate(times):
        if time in times[:k]:
            raise InputError(
                f"{option}: {paths[times.index(time)]} and {paths[k]} end in the same number, "
                f"{time:g}, which is their time. Rename one of them, or leave it out."
            )
    return times


def word_of(paths: Sequence[Path]) -> str:
    """Return the word before the numbers of names: ``epoch`` for epoch_10.h5; else ``time``."""
    words = {NUMBER.sub("", path.stem).strip("_- .") for path in paths}
    numbered = all(NUMBER.search(path.stem) for path in paths)
    found = re.split(r"[^A-Za-z]", words.pop())[-1] if numbered and len(words) == 1 else ""
    return found or "time"


def write_series(meshes: Sequence[Path], times: Sequence[float], path: Path) -> None:
    """Write the .pvd that names files and their times, in the order of time.

    Args:
        meshes: The .vtp files; the .pvd names them relative to its folder.
        times: A time for each file.
        path: File to write.
    """
    root = ET.Element("VTKFile", type="Collection", version="0.1", byte_order="LittleEndian")
    collection = ET.SubElement(root, "Collection")
    for time, mesh in sorted(zip(times, meshes, strict=True)):
        name = Path(os.path.relpath(mesh, path.parent)).as_posix()
        ET.SubElement(collection, "DataSet", timestep=f"{time:g}", group="", part="0", file=name)
    ET.indent(root)
    with whole_file(path) as partial:
        ET.ElementTree(root).write(partial, encoding="utf-8", xml_declaration=True)
