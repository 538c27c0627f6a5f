"""Oracle: the sentences themselves, and Python's own exception hierarchy."""

import pytest

from landscape_mpi.errors import InputError, MissingInputError, nearest_name, unknown_name


def test_unknown_name_lists_choices_and_nearest():
    problem = unknown_name("--model", "resnet65", ["resnet20", "resnet56"])
    assert str(problem) == (
        "--model: 'resnet65' is not known. Did you mean resnet56? Known: resnet20, resnet56."
    )


def test_unknown_name_without_a_near_one():
    assert "Did you mean" not in str(unknown_name("--model", "qqq", ["resnet20"]))
    assert nearest_name("qqq", ["resnet20"]) is None


def test_missing_input_is_both_kinds_and_keeps_its_text():
    with pytest.raises(FileNotFoundError, match="^weights.pt: no such file"):
        raise MissingInputError("weights.pt: no such file")
    assert issubclass(MissingInputError, InputError)
