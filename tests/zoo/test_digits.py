"""Oracle: scikit-learn's array, taken apart by hand."""

import numpy as np
from sklearn import datasets

from landscape_mpi.zoo.digits import N_CLASSES, load_digits


def test_every_fifth_image_is_a_test_image():
    published = datasets.load_digits()
    splits = load_digits()
    train, test = splits["train"], splits["test"]
    assert (train.inputs.shape, train.inputs.dtype) == ((1438, 8, 8, 1), np.uint8)
    assert (test.inputs.shape, test.targets.dtype) == ((359, 8, 8, 1), np.int64)
    for i in (4, 9, 1794):
        np.testing.assert_array_equal(test.inputs[i // 5, :, :, 0] / 15, published.images[i])
        assert test.targets[i // 5] == published.target[i]
    for i in (0, 3, 5, 1796):
        np.testing.assert_array_equal(train.inputs[i - i // 5, :, :, 0] / 15, published.images[i])
        assert train.targets[i - i // 5] == published.target[i]
    whole = np.concatenate([train.inputs, test.inputs]).reshape(-1, 64)
    pixels = published.data[np.lexsort((np.arange(1797), np.arange(1797) % 5 == 4))]
    np.testing.assert_array_equal(whole, 15 * pixels)
    assert set(train.targets) == set(range(N_CLASSES))
