"""Read surfaces again whenever a running job has written a round."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from landscape_mpi.store.reader import Surface, read_surface

PAUSE_S = 2.0


def follow_surfaces(paths: Sequence[Path], *, pause_s: float = PAUSE_S) -> Iterator[list[Surface]]:
    """Read surface files until every point of all of them is computed.

    Args:
        paths: Surface files.
        pause_s: Time between two looks at the files, s.

    Yields:
        The surfaces with computed points, whenever there are more points; at the end, all.
    """
    seen: list[int] = []
    n_drawn = 0
    while True:
        # Before reading, so that the next look sees anything written in the meantime.
        changed = [path.stat().st_mtime_ns if path.exists() else 0 for path in paths]
        if changed != seen:
            seen = changed
            surfaces = [read_surface(path) for path in paths]
            n_done = sum(int(surface.done.sum()) for surface in surfaces)
            if n_done != n_drawn:
                n_drawn = n_done
                yield [surface for surface in surfaces if surface.done.any()]
            if all(surface.done.all() for surface in surfaces):
                return
        time.sleep(pause_s)
