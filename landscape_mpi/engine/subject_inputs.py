"""The inputs that rank 0 reads, for a network with samples or for a problem."""

from __future__ import annotations

from dataclasses import replace

from landscape_mpi.engine.inputs import Inputs, read_inputs, with_subset
from landscape_mpi.engine.problem_inputs import ProblemInputs, read_problem
from landscape_mpi.engine.request import DataRequest, FileRequest, InputsRequest


def read_subject(asked: InputsRequest, *, digest_of_all: bool = False) -> Inputs | ProblemInputs:
    """Read and check the inputs of an evaluation. Local; call it on one rank.

    Args:
        asked: The request.
        digest_of_all: For a network, whether to read all of its data; see load_dataset.
    """
    if asked.problem is None:
        return read_inputs(asked, digest_of_all=digest_of_all)
    return read_problem(asked.problem, asked.network, asked.data)


def data_with_subset(asked: InputsRequest, file: FileRequest) -> DataRequest:
    """Return the request for data with the subset of a limit; a problem uses the first samples.

    Args:
        asked: The request.
        file: The file that the run fills.
    """
    if asked.problem is not None:
        return replace(asked.data, subset="first")
    return with_subset(asked.data, file)
