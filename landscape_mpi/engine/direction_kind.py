"""The kind of each direction of a plane, and the names of its axes. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

AXES = ("alpha", "beta")


@dataclass(frozen=True)
class DirectionKind:
    """One direction that was requested."""

    name: str  # random, to, file, gradient, same or none
    option: str = ""  # the option that asks for it, for messages
    file: Path | None = None  # file of ``to`` and ``file``
    seed: int | None = None  # seed of ``random``; None for --seed
    axis: str = ""  # number of a direction in a file, or of a stream of random numbers
    only: tuple[str, ...] | None = None  # for this axis alone; None for the value of --only

    @property
    def words(self) -> str:
        """Return the kind of direction in a few words."""
        if self.name == "file":
            return str(self.file)
        words = f"to {self.file}" if self.name == "to" else self.name
        words += "" if self.seed is None else f", seed {self.seed}"
        return words + (f", only {','.join(self.only)}" if self.only else "")
