"""Which networks of a problem can be members: those whose average is a network by itself."""

from __future__ import annotations

from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.jobs.training.problem_training import ProblemTraining
from landscape_mpi.tensor_names import is_extra, listed


def check_problem(training: ProblemTraining) -> None:
    """Check that a problem has a test split, and a network whose weights can be averaged.

    The mean of the members' running statistics is not that of their average: they have to be
    measured again (Izmailov et al. 2018, arXiv:1803.05407, algorithm 1).

    Raises:
        InputError: If it has not, or its running statistics cannot be measured.
    """
    problem, name = training.problem, training.source.name
    if "test" not in problem.splits:
        raise InputError(
            f"--problem: {name} has the data {', '.join(problem.splits)} and no test split, and an "
            f"ensemble is compared with one network by the loss on it. Give its data a split of "
            f"the name test."
        )
    refuse_what_has_no_mean(problem.network, name)
    training.statistics_by_first_batch().try_layers()


def refuse_what_has_no_mean(network: nn.Module, name: str) -> None:
    """Check that a problem's network has nothing but real tensors.

    Args:
        network: The network.
        name: Of the problem.

    Raises:
        InputError: If it has something else.
    """
    state = network.state_dict()
    others = [key for key, value in state.items() if is_extra(key) or value.is_complex()]
    if others:
        raise InputError(
            f"--problem: the network of {name} has what is no real tensor ({listed(others)}), so "
            f"the weights of several members have no average here. Return a network of real "
            f"tensors: torch.view_as_real in place of complex weights, buffers in place of "
            f"get_extra_state()."
        )
