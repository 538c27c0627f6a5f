"""Represent the folder of an ensemble: its members, its file, and the state to resume.

After every epoch, the members collected in it are written, then ``ensemble.h5``, and last
``resume.pt``. So a run killed at any moment continues from the last complete epoch.
"""

from __future__ import annotations

from pathlib import Path

from landscape_mpi.engine.job_folder import JobFolder
from landscape_mpi.store.ensemble import NAME

COMPARISON, SWA = "comparison.csv", "swa.pt"


def member_name(number: int) -> str:
    """Return the name of the file with the weights of a member, counted from 1."""
    return f"member_{number:03d}.pt"


class EnsembleFolder(JobFolder):
    """Represent the folder of an ensemble."""

    format = "landscape_mpi ensemble run"
    files = r"member_\d{3,}\.pt|swa\.pt|ensemble\.h5|comparison\.csv"
    begun = frozenset({NAME})

    def member(self, number: int) -> Path:
        """Return the file of a member, counted from 1."""
        return self.path / member_name(number)
