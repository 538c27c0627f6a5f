"""Read MNIST and Fashion-MNIST: 60,000 training and 10,000 test images, 28 x 28, ten classes.

Source: LeCun et al. 1998, http://yann.lecun.com/exdb/mnist/, and its mirror; Xiao et al. 2017,
arXiv:1708.07747.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NoReturn

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.archive import fetch_archive
from landscape_mpi.zoo.dataset import Split
from landscape_mpi.zoo.idx import read_idx
from landscape_mpi.zoo.named_data import FETCHED, Asked, Loaded, NamedData, Size

N_CLASSES = 10
SPLITS = {"train": "train", "test": "t10k"}  # with the first word of their files' names
PARTS = {"images": 3, "labels": 1}  # with their numbers of dimensions


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Describe a data set in such files; all these data sets use the same file names."""

    name: str  # name in --data
    folders: tuple[str, ...]  # folders below --data-dir to search, besides itself
    url: str  # address of the folder of the files
    known_hashes: Mapping[str, str]  # checksum of each file, "algorithm:hexadecimal"
    n_megabytes: int
    first_labels: tuple[int, ...]  # first labels of the training split, which identify the data set


MNIST = Collection(
    name="mnist",
    folders=("mnist", "MNIST/raw"),
    url="https://ossci-datasets.s3.amazonaws.com/mnist",
    known_hashes={
        "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
    },
    n_megabytes=12,
    first_labels=(5, 0, 4, 1, 9, 2, 1, 3),
)
FASHION_MNIST = Collection(
    name="fashion_mnist",
    folders=("fashion_mnist", "FashionMNIST/raw"),
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    known_hashes={
        "train-images-idx3-ubyte.gz": "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "train-labels-idx1-ubyte.gz": "md5:25c81989df183df01b3e8a0aad5dffbe",
        "t10k-images-idx3-ubyte.gz": "md5:bef4ecab320f06d8554ea6380940ec79",
        "t10k-labels-idx1-ubyte.gz": "md5:bb300cfdad3c16e7a12a480ee83cd310",
    },
    n_megabytes=30,
    first_labels=(9, 0, 0, 3, 0, 2, 7, 2),
)
COLLECTIONS = (MNIST, FASHION_MNIST)


def load_mnist(
    collection: Collection, data_dir: Path | None, *, download: bool
) -> dict[str, Split]:
    """Read the training and the test split, in the publisher's order.

    Args:
        collection: The data set to read.
        data_dir: Folder of the files, plain or with .gz, or its parent.
        download: Fetch missing files from the publisher.

    Raises:
        InputError: If a file differs from the publisher's, or cannot be fetched.
        MissingInputError: If there is no data, and no download was requested.
    """
    if data_dir is None:
        raise MissingInputError(
            f"--data {collection.name}: needs --data-dir, the folder of its files; with "
            "--download, they are stored there."
        )
    files = _find_files(collection, data_dir)
    if files is None:
        files = (_fetch_files if download else _refuse_missing)(collection, data_dir)
    splits = {split: _read_split(files, word) for split, word in SPLITS.items()}
    _refuse_another(collection, splits["train"], next(iter(files.values())).parent)
    return splits


def _names() -> list[str]:
    return [f"{word}-{part}-idx{n}-ubyte" for word in SPLITS.values() for part, n in PARTS.items()]


def _find_files(collection: Collection, data_dir: Path) -> dict[str, Path] | None:
    """Return the paths of the files, by name, in the first folder that has them all."""
    for folder in _folders(collection, data_dir):
        found = {name: _find_file(folder, name) for name in _names()}
        files = {name: path for name, path in found.items() if path is not None}
        if len(files) == len(found):
            return files
    return None


def _folders(collection: Collection, data_dir: Path) -> list[Path]:
    return [*(data_dir / folder for folder in collection.folders), data_dir]


def _find_file(folder: Path, name: str) -> Path | None:
    spellings = (name, f"{name}.gz", name.replace("-idx", ".idx"))  # last: by some unpackers
    return next((folder / each for each in spellings if (folder / each).is_file()), None)


def _fetch_files(collection: Collection, data_dir: Path) -> dict[str, Path]:
    folder = data_dir / collection.folders[0]
    for name, known_hash in collection.known_hashes.items():
        fetch_archive(f"{collection.url}/{name}", known_hash=known_hash, data_dir=folder)
    return {name: folder / f"{name}.gz" for name in _names()}


def _refuse_missing(collection: Collection, data_dir: Path) -> NoReturn:
    looked = []
    for folder in _folders(collection, data_dir):
        missing = [name for name in _names() if _find_file(folder, name) is None]
        looked.append(f"{folder} lacks {', '.join(missing)}")
    raise MissingInputError(
        f"--data {collection.name}: not in {data_dir}: {'; '.join(looked)} (or these with .gz). "
        f"Pass --download to fetch it there ({collection.n_megabytes} MB), or --data-dir with the "
        "folder that has it."
    )


def _read_split(files: Mapping[str, Path], word: str) -> Split:
    paths = [files[f"{word}-{part}-idx{n}-ubyte"] for part, n in PARTS.items()]
    arrays = [read_idx(path, n_dimensions=n) for path, n in zip(paths, PARTS.values(), strict=True)]
    images, labels = arrays
    if len(images) != len(labels):
        raise InputError(
            f"{paths[0]}: has {len(images):,} images, {paths[1].name} has {len(labels):,} labels, "
            "but each image needs one. Fetch both files again."
        )
    if images.size == 0:
        raise InputError(
            f"{paths[0]}: is empty: its shape is {list(images.shape)}. Fetch it again."
        )
    if labels.max() >= N_CLASSES:
        raise InputError(
            f"{paths[1]}: has the label {labels.max()}; the labels must be 0 to 9. Fetch it again."
        )
    return Split(images[..., None], labels.astype("int64"))


def _refuse_another(collection: Collection, train: Split, folder: Path) -> None:
    """Refuse another data set with the same file names.

    Raises:
        InputError: If the files belong to one.
    """
    for other in COLLECTIONS:
        n = len(other.first_labels)
        if other.name != collection.name and tuple(train.targets[:n]) == other.first_labels:
            raise InputError(
                f"--data {collection.name}: the files in {folder} are those of {other.name}: the "
                f"first labels are {', '.join(map(str, other.first_labels))}. Pass --data "
                f"{other.name}, or put those of {collection.name} into "
                f"{collection.folders[0]} below --data-dir."
            )


def _load(collection: Collection, asked: Asked) -> Loaded:
    return Loaded(load_mnist(collection, asked.data_dir, download=asked.download), N_CLASSES)


MNIST_DATA_SET = NamedData(
    load=partial(_load, MNIST),
    kind="image",
    size=Size(60_000, 10_000, (1, 28, 28), N_CLASSES),
    files=FETCHED,
    words="the idx files, `.gz` or not, under `--data-dir`; `--download` fetches them there",
)
FASHION_MNIST_DATA_SET = NamedData(
    load=partial(_load, FASHION_MNIST),
    kind="image",
    size=Size(60_000, 10_000, (1, 28, 28), N_CLASSES),
    files=FETCHED,
    words="the same as for MNIST",
)
