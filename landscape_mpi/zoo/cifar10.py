"""CIFAR-10 in the two formats its publisher gives it in.

Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import _codecs
import io
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.archive import fetch_archive, unpack_files
from landscape_mpi.zoo.dataset import Split

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
KNOWN_HASH = "md5:c58f30108f718f92721af3b95e74349a"
N_CLASSES = 10
N_PER_BATCH = 10_000
N_BYTES = 3 * 32 * 32  # of an image: a red, a green and a blue plane
# Source: Li et al. 2018, as their published networks were trained
MEAN = (125.3 / 255, 123.0 / 255, 113.9 / 255)
STD = (63.0 / 255, 62.1 / 255, 66.7 / 255)


@dataclass(frozen=True)
class Layout:
    """One of the publisher's formats."""

    folder: str
    suffix: str
    read: Callable[[Path], tuple[np.ndarray, np.ndarray]]  # uint8 [n, 3072], int64 [n]

    @property
    def train(self) -> tuple[str, ...]:
        """Names of the five training batches, in order."""
        return tuple(f"data_batch_{i}{self.suffix}" for i in range(1, 6))

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all batches."""
        return (*self.train, f"test_batch{self.suffix}")


def load_cifar10(
    data_dir: Path | None,
    *,
    download: bool = False,
    url: str = URL,
    known_hash: str = KNOWN_HASH,
    n_per_batch: int = N_PER_BATCH,
) -> dict[str, Split]:
    """Read the training and the test split, in the publisher's order.

    Args:
        data_dir: Folder that holds cifar-10-batches-py or cifar-10-batches-bin, or is it.
        download: Fetch the publisher's archive into data_dir if neither is there.
        url: Where to fetch it.
        known_hash: Its checksum, ``algorithm:hexadecimal``.
        n_per_batch: Images a batch must have.

    Raises:
        InputError: If a file is not what the publisher gave, or cannot be fetched.
        MissingInputError: If there is no data, and no download was asked for.
    """
    if data_dir is None:
        raise MissingInputError(
            "--data cifar10: needs --data-dir, the folder its files are in or, with --download, "
            "are put into."
        )
    if download and _find_layout(data_dir) is None:
        archive = fetch_archive(url, known_hash=known_hash, data_dir=data_dir)
        names = [f"{PICKLED.folder}/{name}" for name in PICKLED.names]
        unpack_files(archive, names, data_dir=data_dir)
    folder, layout = _require_layout(data_dir)
    train = [_read_batch(folder / name, layout, n_per_batch) for name in layout.train]
    test = _read_batch(folder / layout.names[-1], layout, n_per_batch)
    return {"train": _join(train), "test": test}


def _places(data_dir: Path) -> list[tuple[Path, Layout]]:
    layouts = (PICKLED, BINARY)
    return [(data_dir / x.folder, x) for x in layouts] + [(data_dir, x) for x in layouts]


def _find_layout(data_dir: Path) -> tuple[Path, Layout] | None:
    """Return the first folder with all batches of a format."""
    for folder, layout in _places(data_dir):
        if all((folder / name).is_file() for name in layout.names):
            return folder, layout
    return None


def _require_layout(data_dir: Path) -> tuple[Path, Layout]:
    found = _find_layout(data_dir)
    if found is not None:
        return found
    looked = []
    for folder, layout in _places(data_dir):
        missing = [name for name in layout.names if not (folder / name).is_file()]
        every = f"{layout.names[0]} to {layout.names[-1]}"
        what = ", ".join(missing) if len(missing) < len(layout.names) else every
        looked.append(f"{folder} lacks {what}")
    raise MissingInputError(
        f"--data cifar10: not in {data_dir}: {'; '.join(looked)}. Pass --download to fetch it "
        "there (170 MB), or --data-dir with the folder that has it."
    )


def _read_batch(path: Path, layout: Layout, n_expected: int) -> Split:
    try:
        rows, labels = layout.read(path)
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem}") from problem
    if rows.shape != (len(labels), N_BYTES):
        raise InputError(
            f"{path}: has images of the shape {list(rows.shape)} and {len(labels):,} labels, must "
            f"have [n, {N_BYTES}] and n."
        )
    if len(labels) != n_expected:
        raise InputError(
            f"{path}: has {len(labels):,} images, the published batch {n_expected:,}. "
            "Unpack the archive again, or pass your own images as --data npz:FILE."
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= N_CLASSES))
    if wrong.size:
        raise InputError(
            f"{path}: image {wrong[0]:,} has the label {labels[wrong[0]]}; CIFAR-10's are 0 to 9."
        )
    images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), labels)


def _join(batches: list[Split]) -> Split:
    return Split(
        np.concatenate([batch.inputs for batch in batches]),
        np.concatenate([batch.targets for batch in batches]),
    )


def _read_binary(path: Path) -> tuple[np.ndarray, np.ndarray]:
    content = np.fromfile(path, dtype=np.uint8)
    n, rest = divmod(content.size, 1 + N_BYTES)  # records of a label byte and the image
    if rest or n == 0:
        raise InputError(
            f"{path}: has {content.size:,} bytes, no whole number of records of {1 + N_BYTES:,}: "
            "it is truncated. Unpack the archive again."
        )
    records = content.reshape(n, 1 + N_BYTES)
    return records[:, 1:], records[:, 0].astype(np.int64)


def _read_pickled(path: Path) -> tuple[np.ndarray, np.ndarray]:
    content = io.BytesIO(path.read_bytes())
    try:
        batch = ArrayUnpickler(content, encoding="bytes").load()
    except Exception as problem:  # a damaged pickle can raise anything
        text = f"{type(problem).__name__}: {' '.join(str(problem).split())}"
        raise InputError(
            f"{path}: is truncated, or not a batch of CIFAR-10 ({text}). Unpack the archive again."
        ) from problem
    return _entry(path, batch, "data", np.uint8), _entry(path, batch, "labels", np.int64)


def _entry(path: Path, batch: object, name: str, dtype: type) -> np.ndarray:
    entries = batch if isinstance(batch, dict) else {}
    value = entries.get(name.encode(), entries.get(name))
    array = np.asarray(value) if isinstance(value, list | np.ndarray) else None
    if array is None or array.dtype.kind not in "iu" or (dtype == np.uint8 != array.dtype):
        raise InputError(f"{path}: has no {name} of CIFAR-10; it is another pickle.")
    return array.astype(dtype, copy=False)


class ArrayUnpickler(pickle.Unpickler):
    """Unpickler of numpy arrays in plain containers; every other class is refused."""

    # numpy moved its function; both names occur in files
    _ADMITTED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _codecs.encode,
    }

    def find_class(self, module: str, name: str, /) -> Any:
        """Return an admitted function or class.

        Raises:
            UnpicklingError: If it is another one.
        """
        if (module, name) not in self._ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name} has no place in it, and is not run")
        return self._ADMITTED[module, name]


PICKLED = Layout("cifar-10-batches-py", "", _read_pickled)
BINARY = Layout("cifar-10-batches-bin", ".bin", _read_binary)
