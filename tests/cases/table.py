"""The table of all cases, and the parts of it that tests choose.

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


def every_case() -> list[Case]:
    """Return all cases of which the program computes a surface."""
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


def with_derivatives() -> list[PythonProblem]:
    """Return the problems in Python whose loss has first and second derivatives."""
    return [case for case in in_python() if case.has_derivatives]


def with_closed_form() -> list[PythonProblem]:
    return [case for case in in_python() if case.closed_form]


def refused() -> list[NetworkFile]:
    """Return networks that the program refuses, each for the cause that the row has."""
    return network_files.REFUSED


def right_or_refused() -> list[NetworkFile]:
    return network_files.RIGHT_OR_REFUSED
