"""Read the message of a call or a command that refuses its input."""

import pytest

from landscape_mpi.errors import InputError


def refused(call, *args, **settings):
    """Return the message with which call refuses these arguments."""
    with pytest.raises(InputError) as caught:
        call(*args, **settings)
    return str(caught.value)


def message_of(status, words):
    """Return the one message of a command that refused its input.

    Args:
        status: Exit status of the command.
        words: Its output, or its messages alone.
    """
    assert status == 2, words
    assert words.count("error: ") == 1, words
    return words.partition("error: ")[2].rstrip()
