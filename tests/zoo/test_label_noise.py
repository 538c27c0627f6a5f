"""Oracle: counts of labels that differ, and of what they became."""

import numpy as np
import pytest

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import DataSet, Split
from landscape_mpi.zoo.label_noise import replace_labels, with_noise


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_is_replaced_by_all_other_classes_alike(share):
    labels = np.repeat(np.arange(4), 3000)
    noisy, n = replace_labels(labels, share=share, n_classes=4, seed=1)
    assert n == np.sum(noisy != labels) == share * 12_000
    for label in range(4):
        became = np.bincount(noisy[(labels == label) & (noisy != label)], minlength=4)
        assert became[label] == 0
        others = np.delete(became, label)
        assert np.all(np.abs(others - share * 1000) <= 0.15 * share * 1000)


def test_seed_decides():
    labels = np.zeros((20, 5), np.int64)
    first, again, other = (
        replace_labels(labels, share=0.5, n_classes=3, seed=seed)[0] for seed in (1, 1, 2)
    )
    assert first.shape == labels.shape
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)


def test_only_training_labels_are_replaced():
    inputs = np.zeros((10, 8, 8, 1), np.uint8)
    splits = {name: Split(inputs, np.arange(10) % 2) for name in ("train", "test")}
    noisy, n = with_noise(DataSet("d", splits, (0.5,), (0.5,), 2, "abc"), share=0.3, seed=0)
    assert n == np.sum(noisy.splits["train"].targets != splits["train"].targets) == 3
    assert noisy.splits["test"] is splits["test"]


def test_one_class_has_no_other():
    with pytest.raises(InputError) as caught:
        replace_labels(np.zeros(4, np.int64), share=0.5, n_classes=1, seed=0)
    assert str(caught.value) == (
        "--label-noise 0.5: the data have one class, so there is no other class to replace a "
        "label with. Leave it out."
    )
