"""Oracle: shapes and types written out, and the sentences."""

from dataclasses import replace

import numpy as np
import pytest

from landscape_mpi.zoo.dataset import DataSet, Sample, Split, find_ignored

LABELS = np.zeros(3, np.int64)


def data_of(inputs, targets=LABELS):
    return DataSet("mine", {"train": Split(inputs, targets)}, (), (), 7, "")


def test_images_are_seen_with_channels_first():
    sample = data_of(np.zeros((3, 8, 9, 2), np.uint8)).sample
    assert sample == Sample("image", (2, 8, 9), 7)
    assert str(sample) == "images of 2 x 8 x 9 (channels, height, width)"


def test_rows_of_a_table_and_sequences_are_seen_as_they_are():
    row = data_of(np.zeros((3, 5), np.float32)).sample
    assert (row, str(row)) == (Sample("table", (5,), 7), "rows of 5 numbers")
    text = data_of(np.zeros((3, 6), np.int64), np.zeros((3, 6), np.int64)).sample
    assert (text, str(text)) == (Sample("text", (6,), 7, 1), "sequences of 6 symbols")


@pytest.mark.parametrize("inputs", [np.zeros((3, 5), bool), np.zeros((3, 8, 8), np.uint8)])
def test_other_inputs_are_refused(inputs):
    with pytest.raises(
        ValueError, match=r"inputs are .*, but must be uint8 \[n, height, width, chann"
    ):
        _ = Split(inputs, LABELS).kind


def test_first_samples_are_copies_also_of_sequences():
    split = Split(np.arange(12).reshape(4, 3), np.arange(1, 13).reshape(4, 3))
    first = split.first(2)
    first.inputs[:] = 0
    assert split.inputs[0].tolist() == [0, 1, 2]
    assert first.targets.tolist() == [[1, 2, 3], [4, 5, 6]]


def test_targets_that_do_not_count():
    targets = np.array([[2, 255], [255, 2], [1, 1]])
    data = replace(data_of(np.zeros((3, 6), np.int64), targets), ignored=255)
    assert data.counted("train").tolist() == [2, 2, 1, 1]
    assert data.is_counted("train").tolist() == [[True, False], [False, True], [True, True]]
    assert data.trivial_errors == {"train": 50.0}


def test_there_is_no_commonest_class_among_other_numbers():
    assert data_of(np.zeros((3, 5), np.float32), np.array([-1, 1, 1])).trivial_errors == {}
    every = replace(data_of(np.zeros((3, 5), np.float32), np.full(3, 7)), ignored=7)
    assert every.trivial_errors == {}


def test_torchs_own_number_does_not_count_where_it_is_there():
    classes, void = np.arange(3), np.array([0, -100, 1])
    splits = {"train": Split(np.zeros((3, 5), np.float32), classes)}
    assert find_ignored(splits, None) is None
    splits["test"] = Split(np.zeros((3, 5), np.float32), void)
    assert find_ignored(splits, None) == -100
    assert find_ignored(splits, "none") is None
    assert find_ignored(splits, 255) == 255
    numbers = {"train": Split(np.zeros((3, 5), np.float32), void.astype(np.float32))}
    assert find_ignored(numbers, None) is None


def test_sequences_are_tried_with_the_largest_symbol():
    text = np.zeros((9, 4), np.int64)
    text[6, 2], text[3, 1] = 5, -1
    split = Split(text, np.zeros(9, np.int64))
    assert split.rows_to_try(3).tolist() == [0, 3, 6]
    assert split.rows_to_try(1).tolist() == [6]
    assert Split(text[6:7], np.zeros(1, np.int64)).rows_to_try(3).tolist() == [0]
    assert Split(np.zeros((2, 4), np.float32), LABELS[:2]).rows_to_try(3).tolist() == [0, 1]
