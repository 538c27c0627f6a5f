"""What a data set is to the rest of the package."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

# Of each kind of samples; an array is of any other shape.
NOUNS = {"image": "images", "table": "rows", "text": "sequences", "array": "arrays"}
_KINDS = {
    ("uint8", 4): "image",
    ("float32", 4): "image",
    ("float32", 2): "table",
    ("int64", 2): "text",
}


@dataclass(frozen=True)
class Sample:
    """What a network is given, and how many answers there are."""

    kind: str  # a key of NOUNS
    shape: tuple[int, ...]  # (channels, height, width), (features,) or (length,)
    n_classes: int  # of a text its symbols, each of which can come next; or numbers to predict

    def __str__(self) -> str:
        """Return it in words, for messages."""
        if self.kind == "array":
            return f"arrays of {' x '.join(map(str, self.shape))} numbers"
        words = {
            "image": "images of {} x {} x {} (channels, height, width)",
            "table": "rows of {} numbers",
            "text": "sequences of {} symbols",
        }
        return words[self.kind].format(*self.shape)

    def zeros(self, n: int) -> torch.Tensor:
        """Return n inputs of zeros: int64 for a text, float32 for all others."""
        return torch.zeros(n, *self.shape, dtype=torch.int64 if self.kind == "text" else None)


@dataclass(frozen=True)
class Split:
    """The samples of one split, in the publisher's order.

    Inputs are images [n, height, width, channels], uint8 from 0 to 255, or float32 and
    normalised already; or rows of a table, float32 [n, features], standardised; or arrays of
    more dimensions, float32; or sequences of symbols, int64 [n, length].
    """

    inputs: np.ndarray
    # Classes from 0, int64, or numbers to predict, float32: [n], or [n, length] with several
    targets: np.ndarray  # for each sample, as one at each place of a sequence.

    def first(self, n: int) -> Split:
        """Return a copy of the first n samples, all where there are fewer."""
        return Split(self.inputs[:n].copy(), self.targets[:n].copy())

    @property
    def kind(self) -> str:
        """Return what the inputs are, a key of NOUNS.

        Raises:
            ValueError: If they are none of these.
        """
        dtype, n_dimensions = self.inputs.dtype.name, self.inputs.ndim
        usual = "array" if dtype == "float32" and n_dimensions > 2 else None
        kind = _KINDS.get((dtype, n_dimensions), usual)
        if kind is None:
            raise ValueError(
                f"inputs are {self.inputs.dtype} of shape {list(self.inputs.shape)}; must be "
                "uint8 [n, height, width, channels], float32 [n, features] or int64 [n, length]"
            )
        return kind

    @property
    def has_pixels(self) -> bool:
        """Return whether the inputs are images to be normalised."""
        return self.inputs.dtype == np.uint8


@dataclass(frozen=True)
class DataSet:
    """A data set in memory.

    A network sees images with channels first, those of uint8 as (inputs / 255 - mean) / std;
    all else as it is.
    """

    name: str
    splits: dict[str, Split]  # "train", and "test" where there is one
    mean: tuple[float, ...]  # one per channel, in [0, 1] units; empty where there are no pixels
    std: tuple[float, ...]  # one per channel, in [0, 1] units; likewise
    n_classes: int  # or the numbers to predict for a sample
    sha256: str  # over inputs and targets of every split, as they are here

    @property
    def sample(self) -> Sample:
        """Return what a network for this data set is given."""
        split = next(iter(self.splits.values()))
        shape: Sequence[int] = split.inputs.shape[1:]
        if split.kind == "image":
            shape = (shape[2], shape[0], shape[1])
        return Sample(split.kind, tuple(shape), self.n_classes)

    @property
    def trivial_errors(self) -> dict[str, float]:
        """Return by split the error, %, of always answering the class commonest in the first.

        Empty where the targets are numbers to predict.
        """
        first = next(iter(self.splits.values())).targets
        if first.dtype.kind != "i":
            return {}
        commonest = np.bincount(first.ravel()).argmax()
        return {
            name: 100 * float(np.mean(split.targets != commonest))
            for name, split in self.splits.items()
        }
