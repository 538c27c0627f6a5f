"""Handwritten digits, 8x8 pixels, that come with scikit-learn: no download, seconds to train.

Source: Alpaydin and Kaynak 1998, UCI Optical Recognition of Handwritten Digits, test part.
"""

from __future__ import annotations

import numpy as np

from landscape_mpi.zoo.dataset import Split

N_CLASSES = 10


def load_digits() -> dict[str, Split]:
    """Return 1,438 training images, and every fifth of all, 359, as the test split.

    Values 0 to 16 are stored as 15 times themselves, which standardising undoes exactly.
    """
    from sklearn import datasets  # a second to import, for this data set only

    images, labels = datasets.load_digits(return_X_y=True)
    inputs = (15 * images).astype(np.uint8).reshape(-1, 8, 8, 1)
    targets = labels.astype(np.int64)
    is_test = np.arange(len(targets)) % 5 == 4
    return {
        "train": Split(inputs[~is_test], targets[~is_test]),
        "test": Split(inputs[is_test], targets[is_test]),
    }
