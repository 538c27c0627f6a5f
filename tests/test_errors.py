"""Oracle: the sentences themselves, and Python's own exception hierarchy."""

import json
import signal

import pytest

from landscape_mpi.errors import (
    HERE,
    InputError,
    Interrupted,
    MissingInputError,
    UserCodeError,
    nearest_name,
    tell_interrupts_apart,
    unknown_name,
    users_own,
)


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


def test_an_exception_of_the_users_code_has_the_users_line():
    words = "--loss: it failed: ValueError: no"
    with pytest.raises(UserCodeError, match=words) as caught, users_own("--loss: it failed"):
        raise ValueError("no")
    assert 'raise ValueError("no")' in str(caught.value)


def test_an_exception_of_a_library_is_the_users_where_all_that_is_called_is():
    """Called by nobody's code but ours, as in a program whose user passes a library's function."""
    code = (
        "import json, landscape_mpi.errors as errors\n"
        "with errors.users_own('--loss: it failed', library_too=all_is_users):\n"
        "    json.loads('[')\n"
    )
    ours = compile(code, f"{HERE}/somewhere.py", "exec")
    with pytest.raises(json.JSONDecodeError):
        exec(ours, {"all_is_users": False})
    with pytest.raises(UserCodeError, match="it failed: JSONDecodeError: Expecting value"):
        exec(ours, {"all_is_users": True})


def test_bad_input_and_a_lack_of_memory_stay_what_they_are():
    class OutOfMemoryError(RuntimeError):
        pass

    for kind in (InputError, OutOfMemoryError):
        with pytest.raises(kind) as caught, users_own("--loss: it failed", library_too=True):
            raise kind("as it is")
        assert type(caught.value) is kind


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_exception_that_ends_other_programs_is_the_users(kind):
    words = f"it failed: {kind.__name__}: no"
    with pytest.raises(UserCodeError, match=words), users_own("it failed"):
        raise kind("no")


def test_ctrl_c_in_the_users_code_is_none_of_the_users():
    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tell_interrupts_apart()
    try:
        with pytest.raises(Interrupted), users_own("it failed", library_too=True):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("handler", [signal.SIG_IGN, lambda number, frame: None])
def test_who_does_not_listen_to_ctrl_c_still_does_not(handler):
    before = signal.signal(signal.SIGINT, handler)
    tell_interrupts_apart()
    found = signal.signal(signal.SIGINT, before)
    assert found is handler
