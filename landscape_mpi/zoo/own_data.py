"""Load the user's own data, returned by a function named ``package.module:function``.

The function is called without arguments, on one rank. It returns a mapping with ``train`` and,
if there is one, ``test``. Each is a pair (inputs, targets) of arrays or tensors, or a map-style
Dataset, which has a length and gives (input, target) by index. Inputs are one of

- images, uint8 [n, height, width, channels] or [n, height, width], to be normalised here;
- images, float [n, channels, height, width], as the network sees them;
- rows of a table, float [n, features], or arrays, float [n, ...], as the network sees them;
- sequences of symbols, integers [n, length], from 0 for the networks of the zoo.

Targets are class numbers, integers from 0, or numbers to predict, float: [n], or several for
each sample, [n, length] of a sequence or [n, height, width] of an image.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.zoo.dataset import Split, UnreadSplit
from landscape_mpi.zoo.named_data import Asked, Loaded, NamedData
from landscape_mpi.zoo.npz import MOST_CLASSES
from landscape_mpi.zoo.own_dataset import OwnDataset
from landscape_mpi.zoo.own_split import make_split
from landscape_mpi.zoo.user_functions import a_kind, call_function

SPLITS = ("train", "test")
EXAMPLE = 'Return {"train": (inputs, targets), "test": (inputs, targets)}, test if there is one.'


def load_own(spec: str) -> Loaded:
    """Return the splits that a function returns, and a function that counts their classes.

    Args:
        spec: ``package.module:function``.

    Returns:
        Arrays in memory, and Datasets whose samples are not read yet. The number of classes is the
        largest class number plus 1; for numbers to predict, it is their count per sample.

    Raises:
        InputError: If the function cannot be called, or its result is not as described.
    """
    where = f"--data {spec}"
    given = call_function("--data", spec, returns="the samples of each split")
    if not isinstance(given, Mapping):
        raise InputError(f"{where}: returned {a_kind(given)}, not a dict. {EXAMPLE}")
    _check_names(where, list(given))
    splits = {name: _take(f"{where}: {name}", given[name]) for name in SPLITS if name in given}
    return Loaded(splits, partial(_count_classes, where))


def _check_names(where: str, names: list[Any]) -> None:
    for name in names:
        if name not in SPLITS:
            raise unknown_name(f"{where}: split", str(name), SPLITS)
    if "train" not in names:
        raise InputError(
            f"{where}: the split train is missing; it has {', '.join(names) or 'none'}. {EXAMPLE}"
        )


def _take(where: str, given: Any) -> Split | UnreadSplit:
    if _is_pair(given):
        return make_split(where, *given)
    if not hasattr(given, "__len__") or not hasattr(given, "__getitem__"):
        raise InputError(
            f"{where}: is {a_kind(given)}, neither a pair (inputs, targets) of arrays nor a "
            f"Dataset with a length that gives (input, target) by number. {EXAMPLE} A problem "
            "(--problem) takes a DataLoader or anything that can be iterated over again."
        )
    return OwnDataset(where, given)


def _is_pair(given: Any) -> bool:
    if not isinstance(given, tuple | list) or len(given) != 2:
        return False
    return isinstance(given, tuple) or all(getattr(part, "ndim", 0) > 0 for part in given)


def _check_alike(where: str, splits: Mapping[str, Split]) -> None:
    for part in ("inputs", "targets"):
        kinds = [getattr(split, part) for split in splits.values()]
        first, last = (f"{a.dtype} {['n', *a.shape[1:]]}" for a in (kinds[0], kinds[-1]))
        if first != last:
            raise InputError(
                f"{where}: {part} of train are {first}, of test {last}".replace("'", "")
                + ". The same network and loss take both, so they must be alike."
            )


def _count_classes(where: str, splits: Mapping[str, Split]) -> int:
    """Return the number of classes in some splits.

    Raises:
        InputError: If the splits differ in form, or their targets are too large for classes.
    """
    _check_alike(where, splits)
    first = next(iter(splits.values()))
    if first.targets.dtype.kind == "f":
        return int(np.prod(first.targets.shape[1:]))
    largest = max(int(split.targets.max()) for split in splits.values())
    if largest >= MOST_CLASSES:
        raise InputError(
            f"{where}: targets contain {largest}, but class numbers must be from 0 to below "
            f"{MOST_CLASSES:,}. Pass numbers to predict as float32."
        )
    return max(1, 1 + largest)


def _load(asked: Asked) -> Loaded:
    return load_own(asked.spec)


DATA_SET = NamedData(
    load=_load,
    kind="",
    size="arrays, tensors or Datasets",
    files="what your function returns: docs/how-to/data.md",
    words='a function without arguments that returns `{"train": (inputs, targets), "test": ...}`. '
    "Inputs and targets are arrays or tensors; a map-style Dataset may replace a pair. Inputs are "
    "images, uint8 (N, H, W, C) or, as the network sees them, float (N, C, H, W); rows of numbers, "
    "float (N, features); or symbols, int (N, length). Targets are classes from 0 or floats to "
    "predict: (N), or (N, ...) if a sample has several",
)
