"""Oracle: files written with struct, as the format's page has it, and the sentences."""

import gzip
import struct

import numpy as np
import pytest
from refusals import refused

from landscape_mpi.zoo.idx import read_idx

ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
CONTENT = struct.pack(">HBBIII", 0, 8, 3, 2, 3, 4) + bytes(range(24))


def refusal(path, n_dimensions=3):
    return refused(read_idx, path, n_dimensions=n_dimensions).removeprefix(f"{path}: ")


def test_plain_and_compressed_files(tmp_path):
    (tmp_path / "a").write_bytes(CONTENT)
    (tmp_path / "a.gz").write_bytes(gzip.compress(CONTENT))
    for name in ("a", "a.gz"):
        np.testing.assert_array_equal(read_idx(tmp_path / name, n_dimensions=3), ARRAY)


def test_other_and_truncated_files_are_refused(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(CONTENT[:-1])
    assert refusal(path) == (
        "has 23 bytes after its header, but the shape in the header, [2, 3, 4], needs 24: it is "
        "truncated or damaged. Fetch it again."
    )
    assert refusal(path, n_dimensions=1) == (
        r"begins with b'\x00\x00\x08\x03', but must begin with b'\x00\x00\x08\x01': it is not an "
        "idx file of bytes in 1 dimension. Fetch it again."
    )
    path.write_bytes(CONTENT[:10])
    assert "it is not an idx file of bytes in 3 dimensions" in refusal(path)
    assert "cannot be read" in refusal(tmp_path)


@pytest.mark.parametrize(
    "content",
    [gzip.compress(CONTENT)[:-9], b"not gzip", b""],
    ids=["cut off", "not compressed", "empty"],
)
def test_damaged_compression_is_named(tmp_path, content):
    path = tmp_path / "a.gz"
    path.write_bytes(content)
    words = "is truncated, or not compressed by gzip" if content else "it is not an idx "
    assert words in refusal(path)
