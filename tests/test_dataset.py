"""Oracle: shapes and types written out, and the sentences."""

import numpy as np
import pytest
import torch

from landscape_mpi.zoo.dataset import DataSet, Sample, Split

LABELS = np.zeros(3, np.int64)


def data_of(inputs, targets=LABELS):
    return DataSet("mine", {"train": Split(inputs, targets)}, (), (), 7, "")


def test_images_are_seen_with_channels_first():
    sample = data_of(np.zeros((3, 8, 9, 2), np.uint8)).sample
    assert sample == Sample("image", (2, 8, 9), 7)
    assert str(sample) == "images of 2 x 8 x 9 (channels, height, width)"
    assert sample.zeros(4).shape == (4, 2, 8, 9)
    assert sample.zeros(4).dtype == torch.float32


def test_rows_of_a_table_and_sequences_are_seen_as_they_are():
    row = data_of(np.zeros((3, 5), np.float32)).sample
    assert (row, str(row)) == (Sample("table", (5,), 7), "rows of 5 numbers")
    assert row.zeros(2).dtype == torch.float32
    text = data_of(np.zeros((3, 6), np.int64), np.zeros((3, 6), np.int64)).sample
    assert (text, str(text)) == (Sample("text", (6,), 7), "sequences of 6 symbols")
    assert text.zeros(2).dtype == torch.int64


@pytest.mark.parametrize("inputs", [np.zeros((3, 5)), np.zeros((3, 8, 8), np.uint8)])
def test_other_inputs_are_refused(inputs):
    with pytest.raises(ValueError, match=r"inputs are .*; must be uint8 \[n, height, width, chann"):
        _ = Split(inputs, LABELS).kind


def test_first_samples_are_copies_also_of_sequences():
    split = Split(np.arange(12).reshape(4, 3), np.arange(1, 13).reshape(4, 3))
    first = split.first(2)
    first.inputs[:] = 0
    assert split.inputs[0].tolist() == [0, 1, 2]
    assert first.targets.tolist() == [[1, 2, 3], [4, 5, 6]]
