"""What each direction of a plane is asked to be, and the names of its axes. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

AXES = ("alpha", "beta")


@dataclass(frozen=True)
class DirectionKind:
    """One direction, as it is asked for."""

    name: str  # random, to, file, gradient, same or none
    option: str = ""  # which asks for it, for messages
    file: Path | None = None  # of to and file
    seed: int | None = None  # of random; None for that of --seed
    axis: str = ""  # which direction of a file, or which stream of random numbers
    only: tuple[str, ...] | None = None  # for this axis alone; None for what --only says

    @property
    def words(self) -> str:
        """What it is, in a few words."""
        if self.name == "file":
            return str(self.file)
        words = f"to {self.file}" if self.name == "to" else self.name
        words += "" if self.seed is None else f", seed {self.seed}"
        return words + (f", only {','.join(self.only)}" if self.only else "")
