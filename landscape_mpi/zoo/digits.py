"""Read scikit-learn's handwritten digits, 8x8 pixels: no download, seconds to train.

Source: Alpaydin and Kaynak 1998, UCI Optical Recognition of Handwritten Digits, test part.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np

from landscape_mpi.zoo.dataset import Split
from landscape_mpi.zoo.named_data import Asked, Loaded, NamedData, Size

N_CLASSES = 10
FILE = "datasets/data/digits.csv.gz"  # path inside the package


def load_digits() -> dict[str, Split]:
    """Return 1,438 training images, and every fifth of all, 359, as the test split.

    The values 0 to 16 are stored multiplied by 15; standardising undoes this exactly.
    """
    rows = _read_rows()
    inputs = (15 * rows[:, :-1]).astype(np.uint8).reshape(-1, 8, 8, 1)
    targets = rows[:, -1].astype(np.int64)
    is_test = np.arange(len(targets)) % 5 == 4
    return {
        "train": Split(inputs[~is_test], targets[~is_test]),
        "test": Split(inputs[is_test], targets[is_test]),
    }


def _read_rows() -> np.ndarray:
    """Return 64 pixels and the label of each image, [1797, 65].

    The file is read directly, because importing scikit-learn takes some seconds.
    """
    found = importlib.util.find_spec("sklearn")
    folders = found.submodule_search_locations if found else None
    for folder in folders or ():
        path = Path(folder) / FILE
        if path.is_file():
            return np.loadtxt(path, delimiter=",", dtype=np.int64)
    from sklearn import datasets  # if the file has moved

    images, labels = datasets.load_digits(return_X_y=True)
    return np.column_stack([images, labels])


def _load(_: Asked) -> Loaded:
    return Loaded(load_digits(), N_CLASSES)


DATA_SET = NamedData(
    load=_load,
    kind="image",
    size=Size(1438, 359, (1, 8, 8), N_CLASSES),
    files="nothing to fetch",
    words="the UCI handwritten digits that come with scikit-learn: nothing to fetch",
)
