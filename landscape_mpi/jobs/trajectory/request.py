"""Define the request of a training run's plane. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class TrajectoryRequest:
    """Hold the runs, the moving tensors and the directions; None for options not given."""

    runs: list[Path]
    out: Path
    center: Path | None = None
    ignore: tuple[str, ...] | None = None
    states: bool = False
    trust_checkpoint: bool = False
    checkpoint_key: str | None = None
    directions: Path | None = None
    x_direction: str | None = None
    y_direction: str | None = None
    components: int | None = None
    mean_centred: bool = False
    seed: int | None = None
    normalize: str | None = None
