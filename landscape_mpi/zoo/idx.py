"""Read arrays in the idx format: a magic number, the sizes, the bytes; plain or gzipped.

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
        path: File; it is uncompressed if its name ends in .gz.
        n_dimensions: Number of dimensions that the array must have.

    Returns:
        Array of uint8, in the file's shape.

    Raises:
        InputError: If the file has another format, or is incomplete.
    """
    content = _read(path)
    n_before = 4 + 4 * n_dimensions
    magic = bytes([0, 0, BYTES, n_dimensions])
    if content[:4] != magic or len(content) < n_before:
        raise InputError(
            f"{path}: begins with {content[:4]!r}, must begin with {magic!r}: it is not an idx "
            f"file of bytes in {n_dimensions} dimension{'s' * (n_dimensions > 1)}. Fetch it again."
        )
    shape = np.frombuffer(content, ">u4", n_dimensions, offset=4).tolist()
    n_bytes = len(content) - n_before
    if n_bytes != math.prod(shape):
        raise InputError(
            f"{path}: has {n_bytes:,} bytes after its header, which says {shape}, so "
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
