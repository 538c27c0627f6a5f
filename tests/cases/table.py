"""The table of all cases, and functions that select cases for a test.

A new case is a row of CASES in the module of its kind. The functions here find it.
"""

from __future__ import annotations

import functools

from cases import losses, network_files, problem_files, python_problems
from cases.case import Case
from cases.losses import LossCase
from cases.network_files import NetworkFile
from cases.problem_case import ProblemCase
from cases.problem_files import ProblemFile
from cases.python_problems import PythonProblem
from cases.random_networks import RandomNetwork

N_RANDOM = 30
# Cases that also run on two ranks: a network of each file, and problems with different needs.
NETWORKS_ON_RANKS = (
    *("weights_read:by_vector-trained", "branches:Masked", "shapes:segmenter"),
    *("reparametrised:pruned_with_norm-trained", "set_up:low_rank-trained", "set_up:lazy_all"),
    *("layouts:Strided", "kept:InClosure", "number_types:double-trained"),
    "entries:Kept---output=logits",
)
PROBLEMS_ON_RANKS = (
    *("vae", "diffusion", "monte_carlo_dropout"),  # they draw random numbers
    *("language_model", "text_classifier", "lora", "graphs", "hooked"),
)
UNUSUAL_ON_RANKS = ("nested", "fused_when_loaded")


def every_case() -> list[Case]:
    """Return all cases whose surface the program computes."""
    return [
        *(*of_losses(), *in_python(), *in_files(), *unusual_problems(), *networks_in_files()),
        *random_networks(),
    ]


def of_losses() -> list[LossCase]:
    return [*losses.CASES.values()]


def in_python() -> list[PythonProblem]:
    return [*python_problems.CASES.values()]


def in_files() -> list[ProblemFile]:
    return [*problem_files.CASES.values()]


def unusual_problems() -> list[ProblemCase]:
    return [*problem_files.UNUSUAL.values()]


def networks_in_files(*files: str) -> list[NetworkFile]:
    """Return the networks of some files, or of all."""
    return [case for case in network_files.CASES.values() if not files or case.file in files]


@functools.cache
def random_networks() -> list[RandomNetwork]:
    from cases.random_draws import drawn  # hypothesis takes half a second to import

    return drawn(N_RANDOM, seed=1)


def on_ranks() -> list[Case]:
    """Return cases whose surface tests also compute on two ranks."""
    return [
        *(network_files.CASES[name] for name in NETWORKS_ON_RANKS),
        *(problem_files.CASES[name] for name in PROBLEMS_ON_RANKS),
        *(problem_files.UNUSUAL[name] for name in UNUSUAL_ON_RANKS),
        *random_networks()[:5],
    ]


def with_derivatives() -> list[PythonProblem]:
    """Return the problems in Python whose loss has first and second derivatives."""
    return [case for case in in_python() if case.has_derivatives]


def with_closed_form() -> list[PythonProblem]:
    return [case for case in in_python() if case.closed_form]


def refused() -> list[NetworkFile]:
    """Return networks that the program refuses, each for the cause that its row names."""
    return network_files.REFUSED


def right_or_refused() -> list[NetworkFile]:
    return network_files.RIGHT_OR_REFUSED
