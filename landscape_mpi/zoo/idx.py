"""Arrays in the idx format: a magic number, the sizes, the bytes; plain or compressed by gzip.

Source: LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/, "File formats".
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

from landscape_mpi.errors import InputError

BYTES = 0x08  # code of the type uint8


def read_idx(path: Path, *, n_dimensions: int) -> np.ndarray:
    """Read an array of bytes.

    Args:
        path: File; one whose name ends in .gz is uncompressed.
        n_dimensions: Of the array, which the file must have.

    Returns:
        uint8, with the file's shape.

    Raises:
        InputError: If it is no such file, or not all of it is there.
    """
    content = _read(path)
    n_before = 4 + 4 * n_dimensions
    magic = bytes([0, 0, BYTES, n_dimensions])
    if content[:4] != magic or len(content) < n_before:
        raise InputError(
            f"{path}: begins with {content[:4]!r}, must begin with {magic!r}: it is no idx file "
            f"of bytes in {n_dimensions} dimension{'s' * (n_dimensions > 1)}. Fetch it again."
        )
    shape = np.frombuffer(content, ">u4", n_dimensions, offset=4).tolist()
    n_bytes = len(content) - n_before
    if n_bytes != math.prod(shape):
        raise InputError(
            f"{path}: has {n_bytes:,} bytes behind its header, which says {shape}, so "
            f"{math.prod(shape):,}: it is truncated or damaged. Fetch it again."
        )
    return np.frombuffer(content, np.uint8, offset=n_before).reshape(shape).copy()


def _read(path: Path) -> bytes:
    try:
        if path.suffix == ".gz":
            with gzip.open(path) as file:
                return file.read()
        return path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise InputError(
            f"{path}: is truncated, or not compressed by gzip ({problem}). Fetch it again."
        ) from problem
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem}") from problem
