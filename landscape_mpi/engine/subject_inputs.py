"""What rank 0 reads of what is evaluated, whether it is a network with samples or a problem."""

from __future__ import annotations

from dataclasses import replace

from landscape_mpi.engine.inputs import Inputs, read_inputs, with_subset
from landscape_mpi.engine.problem_inputs import ProblemInputs, read_problem
from landscape_mpi.engine.request import DataRequest, FileRequest, InputsRequest


def read_subject(asked: InputsRequest, *, digest_of_all: bool = False) -> Inputs | ProblemInputs:
    """Read and check what is to be evaluated. Local; call it on one rank.

    Args:
        asked: Which.
        digest_of_all: Of a network, read all of its data; see load_dataset.
    """
    if asked.problem is None:
        return read_inputs(asked, digest_of_all=digest_of_all)
    return read_problem(asked.problem, asked.network, asked.data)


def data_with_subset(asked: InputsRequest, file: FileRequest) -> DataRequest:
    """Return what is asked of the data, and which samples a limit takes: of a problem the first.

    Args:
        asked: What is evaluated.
        file: What the run fills.
    """
    if asked.problem is not None:
        return replace(asked.data, subset="first")
    return with_subset(asked.data, file)
