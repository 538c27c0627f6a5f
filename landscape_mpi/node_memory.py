"""The memory of this node, and the check that the arrays of a file fit into it."""

from __future__ import annotations

from pathlib import Path

from landscape_mpi.errors import InputError

TABLE = Path("/proc/meminfo")


def node_memory() -> tuple[int, int]:
    """Return the whole and the free memory of this node, in bytes."""
    lines = TABLE.read_text().splitlines()
    kilobytes = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
    return 1024 * kilobytes["MemTotal"], 1024 * kilobytes["MemAvailable"]


def check_fits(where: str, n_bytes: int) -> None:
    """Check that an array fits into the free memory of this node, before it is read.

    Args:
        where: File and array, for the message.
        n_bytes: Claimed size of the array.

    Raises:
        InputError: If it does not fit.
    """
    if not TABLE.exists():  # not Linux
        return
    free = node_memory()[1]
    if n_bytes > free:
        raise InputError(
            f"{where}: claims to hold {in_words(n_bytes)}, but this node has only "
            f"{in_words(free)} of free memory, so it is not read. Use a node with more memory, or "
            "a smaller file; if the file should be small, it is damaged or of another kind."
        )


def in_words(n_bytes: int) -> str:
    """Return a number of bytes in a unit that suits it, e.g. ``1.5 GiB``."""
    size, units = float(n_bytes), ["bytes", "KiB", "MiB", "GiB", "TiB"]
    while size >= 1024 and len(units) > 1:
        size /= 1024
        units.pop(0)
    return f"{size:,.0f} bytes" if units[0] == "bytes" else f"{size:,.1f} {units[0]}"
