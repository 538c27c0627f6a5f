"""Read Seismic-bumps: shifts in a coal mine, 18 attributes each; did a strong bump follow?

Source: Sikora and Wrobel 2010, https://archive.ics.uci.edu/dataset/266/seismic+bumps.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.archive import fetch_archive
from landscape_mpi.zoo.dataset import Split
from landscape_mpi.zoo.named_data import FETCHED, Asked, Loaded, NamedData, Size

URL = "https://archive.ics.uci.edu/ml/machine-learning-databases/00266/seismic-bumps.arff"
KNOWN_HASH = "sha256:aabe512fab65b36d1dfb462650b75cfd8d99d8cc2723e8ecb4e6f5e1caccd5a7"
NAMES = ("seismic-bumps.arff", "seismic-bumps.csv", "seismic_bumps.arff", "seismic_bumps.csv")
FILES = (*NAMES, *(f"seismic-bumps/{name}" for name in NAMES))
N_CLASSES = 2
CATEGORIES = ("seismic", "seismoacoustic", "shift", "ghazard")
ATTRIBUTES = (
    *("seismic", "seismoacoustic", "shift", "genergy", "gpuls", "gdenergy", "gdpuls", "ghazard"),
    *("nbumps", "nbumps2", "nbumps3", "nbumps4", "nbumps5", "nbumps6", "nbumps7", "nbumps89"),
    *("energy", "maxenergy"),
)
TRAIN_SHARE = 0.75


def load_seismic(
    data_dir: Path | None,
    *,
    seed: int,
    download: bool,
    url: str = URL,
    known_hash: str = KNOWN_HASH,
) -> dict[str, Split]:
    """Read the table, and split it 75 to 25 with equal rates of bumps.

    A category becomes one column of 0 or 1 for each of its values. Numbers are standardised by the
    mean and deviation of the training split; they are 0 if they are all equal there.

    Args:
        data_dir: Folder that holds one of FILES.
        seed: Seed of the split.
        download: Fetch the publisher's file into data_dir if it is missing.
        url: Address of the file.
        known_hash: Its checksum, ``algorithm:hexadecimal``.

    Raises:
        InputError: If the file differs from the publisher's, or cannot be fetched.
        MissingInputError: If there is none, and no download was requested.
    """
    if data_dir is None:
        raise MissingInputError(
            "--data seismic: needs --data-dir, the folder of its file; with --download, it is "
            "stored there."
        )
    path = next((data_dir / name for name in FILES if (data_dir / name).is_file()), None)
    if path is None:
        if not download:
            raise MissingInputError(
                f"--data seismic: {data_dir} has none of {', '.join(NAMES)}. Pass --download to "
                "fetch it there (0.2 MB), or --data-dir with the folder that has it."
            )
        path = fetch_archive(url, known_hash=known_hash, data_dir=data_dir)
    columns = _read_columns(path)
    targets = _read_classes(path, columns["class"])
    is_train = _draw_split(targets, seed)
    inputs = _encode(path, columns, is_train)
    return {
        "train": Split(inputs[is_train], targets[is_train]),
        "test": Split(inputs[~is_train], targets[~is_train]),
    }


def _read_columns(path: Path) -> dict[str, list[str]]:
    """Return the entries of each attribute and of the class.

    Raises:
        InputError: If the file cannot be read, or a row has more or fewer entries.
    """
    names = [*ATTRIBUTES, "class"]
    rows = _read_rows(path)
    for number, row in rows:
        if len(row) != len(names):
            raise InputError(
                f"{path}: line {number} has {len(row)} entries, but must have {len(names)}: "
                f"{', '.join(names)}. Fetch the file again."
            )
    if not rows:
        raise InputError(f"{path}: has no rows. Fetch it again.")
    return {name: [row[i] for _, row in rows] for i, name in enumerate(names)}


def _read_rows(path: Path) -> list[tuple[int, list[str]]]:
    """Return the numbers and entries of the lines with data.

    Raises:
        InputError: If the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{path}: cannot be read: {problem}") from problem
    words = [line.strip().lower() for line in lines]
    start = words.index("@data") + 1 if "@data" in words else 0
    if start == 0 and words and words[0].startswith(ATTRIBUTES[0]):
        start = 1  # the names of the columns
    rows = enumerate(csv.reader(lines[start:]), start=start + 1)
    kept = [(n, [entry.strip() for entry in row]) for n, row in rows]
    return [(n, row) for n, row in kept if row and not row[0].startswith("%")]


def _read_classes(path: Path, entries: list[str]) -> np.ndarray:
    unknown = sorted(set(entries) - {"0", "1"})
    if unknown:
        raise InputError(
            f"{path}: has the class {unknown[0]!r}, but the only classes are 0 and 1. Fetch the "
            "file again."
        )
    if len(set(entries)) < N_CLASSES:
        raise InputError(
            f"{path}: all rows are of class {entries[0]}; both classes must be present."
        )
    return np.array([int(entry) for entry in entries], np.int64)


def _draw_split(targets: np.ndarray, seed: int) -> np.ndarray:
    """Draw the rows for training, bool [n]: the same share of each class."""
    draws = np.random.default_rng(seed)
    is_train = np.zeros(len(targets), dtype=bool)
    for label in range(N_CLASSES):
        rows = draws.permutation(np.flatnonzero(targets == label))
        is_train[rows[: round(TRAIN_SHARE * len(rows))]] = True
    return is_train


def _encode(path: Path, columns: dict[str, list[str]], is_train: np.ndarray) -> np.ndarray:
    """Return the attributes as numbers, float32 [n, features]."""
    encoded = []
    for name in ATTRIBUTES:
        if name in CATEGORIES:
            entries = np.array(columns[name])
            encoded += [entries == value for value in np.unique(entries)]
        else:
            encoded.append(_standardise(_read_numbers(path, name, columns[name]), is_train))
    return np.stack(encoded, axis=1).astype(np.float32)


def _read_numbers(path: Path, name: str, entries: list[str]) -> np.ndarray:
    try:
        numbers = np.array([float(entry) for entry in entries])
    except ValueError as problem:
        raise InputError(
            f"{path}: {name} is not a number in one of the rows: {problem}. Fetch the file again."
        ) from problem
    if not np.isfinite(numbers).all():
        raise InputError(f"{path}: {name} is not finite in one of the rows. Fetch the file again.")
    return numbers


def _standardise(numbers: np.ndarray, is_train: np.ndarray) -> np.ndarray:
    mean, deviation = numbers[is_train].mean(), numbers[is_train].std()
    return np.zeros_like(numbers) if deviation == 0 else (numbers - mean) / deviation


def _load(asked: Asked) -> Loaded:
    seed = asked.number("SEED", usual=0, least=0)
    return Loaded(load_seismic(asked.data_dir, seed=seed, download=asked.download), N_CLASSES)


DATA_SET = NamedData(
    load=_load,
    kind="table",
    size=Size(1938, 646, (24,), N_CLASSES),
    files=FETCHED,
    words="UCI seismic-bumps, ARFF or CSV under `--data-dir`, or `--download`. Categories become "
    "one-hot vectors. Numbers are standardised with the mean and deviation of the training split, "
    "which is 75 % of each class, drawn with SEED (default: 0)",
)
