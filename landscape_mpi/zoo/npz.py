"""Read the user's own images from a .npz file of numpy.savez."""

from __future__ import annotations

import lzma
import math
import textwrap
import tokenize
import zipfile
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.node_memory import check_fits, in_words
from landscape_mpi.zoo.dataset import Split
from landscape_mpi.zoo.named_data import Asked, Loaded, NamedData

REQUIRED = ("images", "labels")
MOST_CLASSES = 1_000_000
ARRAYS = (*REQUIRED, "test_images", "test_labels")
# Exceptions for a damaged file. A RuntimeError stands for an archive with a password or an unknown
# compression, and the last three stand for a header that numpy cannot parse.
UNREADABLE = (
    *(OSError, EOFError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, RuntimeError),
    *(ValueError, TypeError, tokenize.TokenError),
)
LONGEST_REASON = 200  # characters; numpy quotes a whole header


def load_npz(name: str, *, data_dir: Path | None = None) -> dict[str, Split]:
    """Read images and labels, and test_images and test_labels if the file has them.

    Images are uint8 [n, height, width, channels] or [n, height, width], labels integers [n].

    Args:
        name: File, as a path or under data_dir.
        data_dir: Folder of --data-dir.

    Raises:
        InputError: If the file has another format, or an array is missing or not as described.
        MissingInputError: If there is no such file.
    """
    path = _find_file(name, data_dir)
    arrays = _read_arrays(path)
    _check_names(path, arrays)
    splits = {"train": _make_split(path, arrays, "images", "labels")}
    if "test_images" in arrays:
        splits["test"] = _make_split(path, arrays, "test_images", "test_labels")
        shapes = [split.inputs.shape[1:] for split in splits.values()]
        if shapes[0] != shapes[1]:
            raise InputError(
                f"{path}: images are {list(shapes[0])}, test_images {list(shapes[1])} (height, "
                "width, channels), but one network cannot take both."
            )
    return splits


def _find_file(name: str, data_dir: Path | None) -> Path:
    asked = Path(name).expanduser()
    places = [asked] if data_dir is None else [asked, data_dir / asked]
    for path in places:
        if path.is_file():
            return path
    if name and asked.is_dir():
        raise InputError(f"--data npz:{name}: is a directory. Name the .npz file in it.")
    looked = " nor ".join(dict.fromkeys(str(path) for path in places))
    hint = "" if data_dir else " Pass its full path, or the folder that contains it as --data-dir."
    raise MissingInputError(f"--data npz:{name}: there is no file {looked}.{hint}")


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        # A single array is looked at and not read: it may claim any size.
        loaded = np.load(path, allow_pickle=False, mmap_mode="r")
        if isinstance(loaded, np.ndarray):
            raise InputError(
                f"{path}: holds a single array, not several named ones. Write the file with "
                "numpy.savez."
            )
        with loaded:
            _check_sizes(path)
            return {name: loaded[name] if name in ARRAYS else np.empty(0) for name in loaded.files}
    except InputError:
        raise
    except UNREADABLE as problem:
        text = str(problem).split("\n")[0].rstrip(".") or type(problem).__name__
        text = textwrap.shorten(text, LONGEST_REASON, placeholder="...")
        kind = "truncated or damaged" if _starts_as_zip(path) else "not a .npz file of numpy.savez"
        if "Object arrays" in text:
            kind = "of Python objects, not of plain arrays of uint8 and integers"
        raise InputError(
            f"{path}: is {kind} ({text}). Write it again with numpy.savez."
        ) from problem


def _check_sizes(path: Path) -> None:
    """Check that arrays have the size that they claim, and fit into memory, before they are read.

    Raises:
        InputError: If they do not.
    """
    total = 0
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if info.filename.removesuffix(".npy") not in ARRAYS:
                continue
            with archive.open(info) as member:
                claimed = _claimed_bytes(member)
                held = info.file_size - member.tell()
            if claimed != held:
                raise InputError(
                    f"{path}: {info.filename} claims to hold {in_words(claimed)}, but holds "
                    f"{in_words(held)}, so it is damaged or of another kind. Write the arrays "
                    "again with numpy.savez."
                )
            total += claimed
    check_fits(str(path), total)


def _claimed_bytes(member: IO[bytes]) -> int:
    """Return the size of an array by its header, which is read.

    Raises:
        ValueError: If it has no header that numpy knows.
    """
    if np.lib.format.read_magic(member) == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(member)
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be loaded when allow_pickle=False")
    return math.prod(shape) * dtype.itemsize


def _starts_as_zip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"PK"


def _check_names(path: Path, arrays: dict[str, np.ndarray]) -> None:
    wanted = ARRAYS if {"test_images", "test_labels"} & set(arrays) else REQUIRED
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise InputError(
            f"{path}: lacks {' and '.join(missing)}; it has: {', '.join(arrays) or 'nothing'}. "
            "Needed are images uint8 [n, height, width, channels] and labels [n], and "
            "test_images with test_labels for a test split."
        )


def _make_split(path: Path, arrays: dict[str, np.ndarray], images: str, labels: str) -> Split:
    inputs = check_images(f"{path}: {images}", arrays[images])
    targets = _check_labels(f"{path}: {labels}", arrays[labels])
    if len(inputs) != len(targets):
        raise InputError(
            f"{path}: {images} has {len(inputs):,} images, {labels} has {len(targets):,} labels, "
            "but each image needs one. Write both arrays again, of one length."
        )
    return Split(inputs, targets)


def check_images(where: str, images: np.ndarray) -> np.ndarray:
    """Return images in the form that Split holds.

    Args:
        where: File and array, for the message.
        images: uint8 [n, height, width, channels] or [n, height, width].

    Raises:
        InputError: If they are not valid images.
    """
    if images.dtype != np.uint8:
        raise InputError(
            f"{where} is {images.dtype}, but must be uint8 from 0 to 255. Convert images from 0 "
            "to 1 with (255 * images).round().astype('uint8')."
        )
    if images.ndim not in {3, 4}:
        raise InputError(
            f"{where} has the shape {list(images.shape)}, but must be [n, height, width, "
            "channels] or [n, height, width]. Reshape them, and write the file again."
        )
    if images.size == 0:
        raise InputError(
            f"{where} is empty: its shape is {list(images.shape)}. Write the file again, with at "
            "least one image."
        )
    if images.ndim == 4 and images.shape[1] < 5 <= images.shape[3]:
        raise InputError(
            f"{where} has the shape {list(images.shape)}, which looks like [n, channels, height, "
            "width]; channels come last here: images.transpose(0, 2, 3, 1)."
        )
    return np.ascontiguousarray(images if images.ndim == 4 else images[..., None])


def _check_labels(where: str, labels: np.ndarray) -> np.ndarray:
    if labels.dtype.kind not in "iu":
        raise InputError(
            f"{where} is {labels.dtype}, but must be integers: class numbers from 0. Use "
            "labels.astype('int64')."
        )
    if labels.ndim != 1:
        raise InputError(
            f"{where} has the shape {list(labels.shape)}, but must be [n]: one class number per "
            "image. From one-hot rows, take labels.argmax(axis=1)."
        )
    if labels.size and labels.min() < 0:
        raise InputError(
            f"{where} contains {labels.min()}, but class numbers count from 0. Leave these "
            "samples out, or number the classes from 0."
        )
    if labels.size and labels.max() >= MOST_CLASSES:
        raise InputError(
            f"{where} contains {labels.max()}, but class numbers must be from 0 to below "
            f"{MOST_CLASSES:,}. Number the classes from 0 without gaps."
        )
    return labels.astype(np.int64)


def _load(asked: Asked) -> Loaded:
    splits = load_npz(asked.argument, data_dir=asked.data_dir)
    return Loaded(splits, 1 + max(int(split.targets.max()) for split in splits.values()))


DATA_SET = NamedData(
    load=_load,
    kind="image",
    size="your own images, in bytes",
    files="images, labels, test_images, test_labels",
    words="`images` uint8 (N, H, W, C), `labels`, and `test_images`, `test_labels` if there are "
    "any",
)
