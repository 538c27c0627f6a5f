"""The table of all cases, and the parts of it that tests choose.

A new case is a row of CASES in the module of its kind. The functions here find it.
"""

from __future__ import annotations

from cases import network_files
from cases.case import Case
from cases.network_files import NetworkFile


def every_case() -> list[Case]:
    """Return all cases of which the program computes a surface."""
    return [*networks_in_files()]


def networks_in_files(*files: str) -> list[NetworkFile]:
    """Return the networks of some files, or of all."""
    return [case for case in network_files.CASES.values() if not files or case.file in files]


def refused() -> list[NetworkFile]:
    """Return networks that the program refuses, each for the cause that the row has."""
    return network_files.REFUSED


def right_or_refused() -> list[NetworkFile]:
    return network_files.RIGHT_OR_REFUSED
