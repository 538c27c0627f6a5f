"""Read CIFAR-10 and CIFAR-100 in their publisher's two formats.

Source: Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from __future__ import annotations

import _codecs
import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.archive import fetch_archive, unpack_files
from landscape_mpi.zoo.dataset import Split

N_BYTES = 3 * 32 * 32  # bytes of an image: a red, a green and a blue plane


@dataclass(frozen=True)
class Layout:
    """Describe one of the publisher's formats."""

    folder: str
    train: tuple[str, ...]  # files of the training split, in order
    test: str
    is_pickled: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all files."""
        return (*self.train, self.test)


@dataclass(frozen=True, kw_only=True)
class Edition:
    """Describe one of the two data sets."""

    name: str  # name in --data
    title: str
    url: str  # address of the archive of the first layout
    known_hash: str  # its checksum, "algorithm:hexadecimal"
    n_megabytes: int  # size of the archive
    n_classes: int
    n_train: int  # number of images in a training file
    n_test: int
    label: str  # name of the labels in a pickle
    n_label_bytes: int  # bytes before each image of a binary file; the last one is the label
    layouts: tuple[Layout, ...]


def load_cifar(edition: Edition, data_dir: Path | None, *, download: bool) -> dict[str, Split]:
    """Read the training and the test split, in the publisher's order.

    Args:
        edition: The data set to read.
        data_dir: Folder of one of the layouts, or its parent.
        download: Fetch the publisher's archive into data_dir if none is there.

    Raises:
        InputError: If a file differs from the publisher's, or cannot be fetched.
        MissingInputError: If there is no data, and no download was requested.
    """
    if data_dir is None:
        raise MissingInputError(
            f"--data {edition.name}: needs --data-dir, the folder of its files; with --download, "
            "they are stored there."
        )
    if download and _find_layout(edition, data_dir) is None:
        archive = fetch_archive(edition.url, known_hash=edition.known_hash, data_dir=data_dir)
        layout = edition.layouts[0]
        names = [f"{layout.folder}/{name}" for name in layout.names]
        unpack_files(archive, names, data_dir=data_dir)
    folder, layout = _require_layout(edition, data_dir)
    train = [_read_file(folder / name, edition, layout, edition.n_train) for name in layout.train]
    test = _read_file(folder / layout.test, edition, layout, edition.n_test)
    return {"train": _join(train), "test": test}


def _places(edition: Edition, data_dir: Path) -> list[tuple[Path, Layout]]:
    layouts = edition.layouts
    return [(data_dir / x.folder, x) for x in layouts] + [(data_dir, x) for x in layouts]


def _find_layout(edition: Edition, data_dir: Path) -> tuple[Path, Layout] | None:
    """Return the first folder with all files of a format."""
    for folder, layout in _places(edition, data_dir):
        if all((folder / name).is_file() for name in layout.names):
            return folder, layout
    return None


def _require_layout(edition: Edition, data_dir: Path) -> tuple[Path, Layout]:
    found = _find_layout(edition, data_dir)
    if found is not None:
        return found
    looked = []
    for folder, layout in _places(edition, data_dir):
        missing = [name for name in layout.names if not (folder / name).is_file()]
        every = f"{layout.names[0]} {'and' if len(layout.names) == 2 else 'to'} {layout.test}"
        what = ", ".join(missing) if len(missing) < len(layout.names) else every
        looked.append(f"{folder} lacks {what}")
    raise MissingInputError(
        f"--data {edition.name}: not in {data_dir}: {'; '.join(looked)}. Pass --download to fetch "
        f"it there ({edition.n_megabytes} MB), or --data-dir with the folder that has it."
    )


def _read_file(path: Path, edition: Edition, layout: Layout, n_expected: int) -> Split:
    try:
        read = _read_pickled if layout.is_pickled else _read_binary
        rows, labels = read(path, edition)
    except OSError as problem:
        raise InputError(f"{path}: cannot be read: {problem}") from problem
    if rows.shape != (len(labels), N_BYTES):
        raise InputError(
            f"{path}: has images of the shape {list(rows.shape)} and {len(labels):,} labels, but "
            f"must have [n, {N_BYTES}] and n. Unpack the archive again."
        )
    if len(labels) != n_expected:
        raise InputError(
            f"{path}: has {len(labels):,} images, but the published batch has {n_expected:,}. "
            "Unpack the archive again, or pass your own images as --data npz:FILE."
        )
    wrong = np.flatnonzero((labels < 0) | (labels >= edition.n_classes))
    if wrong.size:
        raise InputError(
            f"{path}: image {wrong[0]:,} has the label {labels[wrong[0]]}; the labels of "
            f"{edition.title} are 0 to {edition.n_classes - 1}. Unpack the archive again, or pass "
            "your own images as --data npz:FILE."
        )
    images = rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return Split(np.ascontiguousarray(images), labels)


def _join(batches: list[Split]) -> Split:
    return Split(
        np.concatenate([batch.inputs for batch in batches]),
        np.concatenate([batch.targets for batch in batches]),
    )


def _read_binary(path: Path, edition: Edition) -> tuple[np.ndarray, np.ndarray]:
    content = np.fromfile(path, dtype=np.uint8)
    n_before = edition.n_label_bytes
    n, rest = divmod(content.size, n_before + N_BYTES)
    if rest or n == 0:
        raise InputError(
            f"{path}: has {content.size:,} bytes, which is not a whole number of records of "
            f"{n_before + N_BYTES:,}: it is truncated. Unpack the archive again."
        )
    records = content.reshape(n, n_before + N_BYTES)
    return records[:, n_before:], records[:, n_before - 1].astype(np.int64)


def _read_pickled(path: Path, edition: Edition) -> tuple[np.ndarray, np.ndarray]:
    content = io.BytesIO(path.read_bytes())
    try:
        batch = ArrayUnpickler(content, encoding="bytes").load()
    except Exception as problem:  # a damaged pickle can raise anything
        text = f"{type(problem).__name__}: {' '.join(str(problem).split())}"
        raise InputError(
            f"{path}: is truncated, or not a batch of {edition.title} ({text}). Unpack the archive "
            "again."
        ) from problem
    entries = batch if isinstance(batch, dict) else {}
    images = _entry(path, edition, entries, "data", np.uint8)
    return images, _entry(path, edition, entries, edition.label, np.int64)


def _entry(path: Path, edition: Edition, entries: dict, name: str, dtype: type) -> np.ndarray:
    value = entries.get(name.encode(), entries.get(name))
    array = np.asarray(value) if isinstance(value, list | np.ndarray) else None
    if array is None or array.dtype.kind not in "iu" or (dtype == np.uint8 != array.dtype):
        raise InputError(
            f"{path}: has no {name} of {edition.title}; it is another pickle. Unpack the archive "
            "again."
        )
    return array.astype(dtype, copy=False)


class ArrayUnpickler(pickle.Unpickler):
    """Unpickle numpy arrays in plain containers; refuse every other class."""

    # numpy moved this function; both names occur in files
    _ADMITTED: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
        ("_codecs", "encode"): _codecs.encode,
    }

    def find_class(self, module: str, name: str, /) -> Any:
        """Return a permitted function or class.

        Raises:
            UnpicklingError: If it is not permitted.
        """
        if (module, name) not in self._ADMITTED:
            raise pickle.UnpicklingError(f"{module}.{name} does not belong in it, and is not run")
        return self._ADMITTED[module, name]
