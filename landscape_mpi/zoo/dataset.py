"""What a data set is to the rest of the package."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Split:
    """The samples of one split, in the publisher's order."""

    inputs: np.ndarray  # uint8 [n, height, width, channels], 0 to 255
    targets: np.ndarray  # int64 [n], class numbers from 0

    def first(self, n: int) -> Split:
        """Return a copy of the first n samples, all where there are fewer."""
        return Split(self.inputs[:n].copy(), self.targets[:n].copy())


@dataclass(frozen=True)
class DataSet:
    """A data set in memory. A network sees (inputs / 255 - mean) / std, channels first."""

    name: str
    splits: dict[str, Split]  # "train", and "test" where there is one
    mean: tuple[float, ...]  # one per channel, in [0, 1] units
    std: tuple[float, ...]  # one per channel, in [0, 1] units
    n_classes: int
    sha256: str  # over inputs and targets of every split, as they are here
