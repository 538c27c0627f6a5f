"""What is asked of an ensemble. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from landscape_mpi.jobs.training.request import TrainingRequest


@dataclass(frozen=True)
class EnsembleRequest:
    """Members collected along cycles of the learning rate, and what they are compared with."""

    training: TrainingRequest
    run: Path
    start: Path
    cycle: Fraction  # epochs
    lr_low: float
    measures: int
    independent: list[Path]
    single: Path | None = None

    @property
    def files(self) -> list[Path]:
        """Return the checkpoints that are named."""
        return [self.start, *([self.single] if self.single else []), *self.independent]
