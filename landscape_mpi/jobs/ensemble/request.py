"""Define the request of an ensemble. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from landscape_mpi.jobs.training.request import TrainingRequest


@dataclass(frozen=True)
class EnsembleRequest:
    """Hold the request to collect members along learning-rate cycles and to compare them."""

    training: TrainingRequest
    run: Path
    start: Path
    cycle: Fraction  # length in epochs
    lr_low: float
    measures: int
    independent: list[Path]
    single: Path | None = None

    @property
    def files(self) -> list[Path]:
        """Return the named checkpoints."""
        return [self.start, *([self.single] if self.single else []), *self.independent]
