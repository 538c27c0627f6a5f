"""Call something that refuses its input, and read the message."""

import pytest

from landscape_mpi.errors import InputError


def refused(call, *args, **settings):
    """Return the message with which call refuses these arguments."""
    with pytest.raises(InputError) as caught:
        call(*args, **settings)
    return str(caught.value)
