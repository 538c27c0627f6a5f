"""Read arrays in the idx format: a magic number, the sizes, the bytes; plain or gzipped.

Source: LeCun, Cortes and Burges, http://yann.lecun.com/exdb/mnist/, "File formats".
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import IO, cast

import numpy as np

from landscape_mpi.errors import InputError
from landscape_mpi.node_memory import check_fits

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
    n_before = 4 + 4 * n_dimensions
    try:
        with _open(path) as file:
            header = file.read(n_before)
            shape = _shape_of(path, header, n_dimensions)
            n_expected = math.prod(shape)
            check_fits(str(path), n_expected)
            content = file.read(n_expected + 1)  # a compressed file may hold any number more
    except (EOFError, zlib.error, gzip.BadGzipFile) as problem:
        raise InputError(
            f"{path}: is truncated, or not compressed by gzip ({problem}). Fetch it again."
        ) from problem
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem}") from problem
    if len(content) != n_expected:
        more = "more than " * (len(content) > n_expected)
        raise InputError(
            f"{path}: has {more}{min(len(content), n_expected):,} bytes after its header, but the "
            f"shape in the header, {shape}, needs {n_expected:,}: it is truncated or damaged. "
            "Fetch it again."
        )
    return np.frombuffer(content, np.uint8).reshape(shape).copy()


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _shape_of(path: Path, header: bytes, n_dimensions: int) -> list[int]:
    """Return the shape from a header.

    Raises:
        InputError: If the file is of another kind.
    """
    magic = bytes([0, 0, BYTES, n_dimensions])
    if header[:4] != magic or len(header) < 4 + 4 * n_dimensions:
        raise InputError(
            f"{path}: begins with {header[:4]!r}, but must begin with {magic!r}: it is not an idx "
            f"file of bytes in {n_dimensions} dimension{'s' * (n_dimensions > 1)}. Fetch it again."
        )
    return np.frombuffer(header, ">u4", n_dimensions, offset=4).tolist()
