"""Read Tiny Shakespeare, a megabyte of plays; the task is to predict the next character.

Source: Karpathy 2015, https://karpathy.github.io/2015/05/21/rnn-effectiveness/.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.zoo.archive import fetch_archive
from landscape_mpi.zoo.dataset import Split
from landscape_mpi.zoo.named_data import FETCHED, Asked, Loaded, NamedData, Size

URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
KNOWN_HASH = "sha256:86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
FILES = ("tinyshakespeare.txt", "tinyshakespeare/input.txt", "input.txt")
USUAL_LENGTH = 30
N_PARTS, N_TRAIN_PARTS = 10, 9  # the last tenth of the text is the test split


def load_shakespeare(
    data_dir: Path | None,
    *,
    length: int,
    download: bool,
    url: str = URL,
    known_hash: str = KNOWN_HASH,
) -> tuple[dict[str, Split], int]:
    """Read the text, and cut it into consecutive sequences.

    Symbols are the characters of the text, numbered in the order of Unicode. The targets of a
    sequence are its symbols shifted by one place. An incomplete sequence at the end is dropped.

    Args:
        data_dir: Folder that holds one of FILES.
        length: Number of symbols in a sequence.
        download: Fetch the publisher's file into data_dir if it is missing.
        url: Address of the file.
        known_hash: Its checksum, ``algorithm:hexadecimal``.

    Returns:
        The splits and the number of symbols.

    Raises:
        InputError: If the file cannot be read or fetched, or is shorter than a sequence.
        MissingInputError: If there is none, and no download was requested.
    """
    if data_dir is None:
        raise MissingInputError(
            "--data shakespeare: needs --data-dir, the folder of its file; with --download, it is "
            "stored there."
        )
    path = next((data_dir / name for name in FILES if (data_dir / name).is_file()), None)
    if path is None:
        if not download:
            raise MissingInputError(
                f"--data shakespeare: {data_dir} has none of {', '.join(FILES)}. Pass --download "
                "to fetch it there (1 MB), or --data-dir with the folder that has it."
            )
        folder = data_dir / "tinyshakespeare"
        path = fetch_archive(url, known_hash=known_hash, data_dir=folder)
    symbols, numbers = np.unique(_read_characters(path), return_inverse=True)
    border = len(numbers) * N_TRAIN_PARTS // N_PARTS
    parts = {"train": numbers[:border], "test": numbers[border:]}
    return {name: _cut(path, part, length) for name, part in parts.items()}, len(symbols)


def _read_characters(path: Path) -> np.ndarray:
    """Return the Unicode numbers of the characters, uint32 [n].

    Raises:
        InputError: If the file cannot be read.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise InputError(f"{path}: cannot be read: {problem}") from problem
    return np.frombuffer(text.encode("utf-32-le"), np.uint32)


def _cut(path: Path, numbers: np.ndarray, length: int) -> Split:
    """Return sequences and the next symbol of each of their symbols, both int64 [n, length].

    Raises:
        InputError: If there is not even one sequence.
    """
    n = (len(numbers) - 1) // length
    if n < 1:
        raise InputError(
            f"--data shakespeare:{length}: a split of {path} has {len(numbers):,} characters, but "
            f"a sequence needs {length + 1:,}. Choose a smaller length."
        )
    end = n * length
    inputs, targets = numbers[:end], numbers[1 : end + 1]
    return Split(
        inputs.reshape(n, length).astype(np.int64), targets.reshape(n, length).astype(np.int64)
    )


def _load(asked: Asked) -> Loaded:
    length = asked.number("LENGTH", usual=USUAL_LENGTH, least=1)
    return Loaded(*load_shakespeare(asked.data_dir, length=length, download=asked.download))


DATA_SET = NamedData(
    load=_load,
    kind="text",
    size=Size(33_461, 3_717, (USUAL_LENGTH,), 65),
    files=FETCHED,
    words="tiny Shakespeare under `--data-dir`, or `--download`: sequences of 30 characters, or "
    "of LENGTH. The task is to predict each next character. The last tenth is the test split",
)
