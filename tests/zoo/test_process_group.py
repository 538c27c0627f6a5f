"""Gradients on their way to the other ranks.

Oracles: torch's own warning, which it gives here every time and not only once a process; and the
numbers of a gradient before and after.
"""

import contextlib
import io
import warnings

import pytest
import torch
from pytest_mpi import parallel_assert

from landscape_mpi.cluster.communicator import start_ranks
from landscape_mpi.train import parse, train
from landscape_mpi.zoo.process_group import in_strides


@pytest.mark.parallel([2])
def test_a_training_on_ranks_prints_no_warning(tmp_path):
    """resnet8 has shortcuts of 1x1 convolutions."""
    ranks = start_ranks()
    out = ranks.comm.bcast(tmp_path, root=0) / "last.pt"
    words = ["--model=resnet8", "--data=digits", "--epochs=1", "--batch-size=720"]
    words += ["--device=cpu", "--threads=1", f"--out={out}"]
    before = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with (
            warnings.catch_warnings(record=True) as told,
            contextlib.redirect_stdout(io.StringIO()),
        ):
            warnings.simplefilter("always")
            status = train(parse(words), ranks)
    finally:
        torch.set_warn_always(before)
    parallel_assert(status == 0)
    parallel_assert([str(warning.message) for warning in told] == [])


def test_a_gradient_gets_the_strides_of_its_parameter_and_keeps_its_numbers():
    give = in_strides((32, 1, 1, 1))
    numbers = torch.randn(64, 32, 1, 1)
    as_channels_last = numbers.as_strided((64, 32, 1, 1), (32, 1, 32, 32))
    given = give(as_channels_last)
    assert given.stride() == (32, 1, 1, 1)
    assert given.data_ptr() == numbers.data_ptr()  # nothing is copied
    assert torch.equal(given, numbers)


@pytest.mark.parametrize(
    "gradient", [torch.randn(3, 2, 1).transpose(0, 1), torch.eye(2).to_sparse()]
)
def test_a_gradient_that_lies_otherwise_is_left_alone(gradient):
    assert in_strides((3, 1, 1))(gradient) is gradient
