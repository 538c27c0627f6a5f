"""Check that the networks of a problem can be members, i.e. that they can be averaged."""

from __future__ import annotations

from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.jobs.training.problem_training import ProblemTraining
from landscape_mpi.tensor_names import is_extra, listed


def check_problem(training: ProblemTraining) -> None:
    """Check that a problem has a test split, and a network whose weights can be averaged.

    The mean of the members' running statistics does not fit the average network: the statistics
    must be measured again (Izmailov et al. 2018, arXiv:1803.05407, algorithm 1).

    Raises:
        InputError: If it has neither, or if its running statistics cannot be measured.
    """
    problem, name = training.problem, training.source.name
    if "test" not in problem.splits:
        raise InputError(
            f"--problem: {name} has the data {', '.join(problem.splits)} but no test split, and an "
            "ensemble is compared with a network by the loss on that split. Give its data a split "
            "named test."
        )
    refuse_what_has_no_mean(problem.network, name)
    training.statistics_by_first_batch().try_layers()


def refuse_what_has_no_mean(network: nn.Module, name: str) -> None:
    """Check that a problem's network has only real tensors.

    Args:
        network: The network.
        name: Name of the problem.

    Raises:
        InputError: If it has something else.
    """
    state = network.state_dict()
    others = [key for key, value in state.items() if is_extra(key) or value.is_complex()]
    if others:
        raise InputError(
            f"--problem: the network of {name} has state that is not a real tensor "
            f"({listed(others)}), so the weights of several members cannot be averaged. Return a "
            "network of real tensors: use torch.view_as_real instead of complex weights, and "
            "buffers instead of get_extra_state()."
        )
