"""Define a data set for the rest of the package."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

# Words for each kind of samples; an array has any other shape.
NOUNS = {"image": "images", "table": "rows", "text": "sequences", "array": "arrays"}
LEFT_OUT = -100  # target that torch's cross-entropy ignores
_KINDS = {
    ("uint8", 4): "image",
    ("float32", 4): "image",
    ("float32", 2): "table",
    ("int64", 2): "text",
}
FLOATS = ("float32", "float64")  # float64 if a network may compute in it


@dataclass(frozen=True)
class Sample:
    """Describe the input of a network, and the number of possible answers."""

    kind: str  # a key of NOUNS
    shape: tuple[int, ...]  # (channels, height, width), (features,) or (length,)
    n_classes: int  # number of classes, or of values to predict
    n_symbols: int = 0  # symbols of a text; may be more or fewer than the classes

    @property
    def n_next_symbols(self) -> int:
        """Return the number of symbols that can come next."""
        return max(self.n_classes, self.n_symbols)

    def __str__(self) -> str:
        """Return a description for messages."""
        if self.kind == "array":
            return f"arrays of {' x '.join(map(str, self.shape))} numbers"
        words = {
            "image": "images of {} x {} x {} (channels, height, width)",
            "table": "rows of {} numbers",
            "text": "sequences of {} symbols",
        }
        return words[self.kind].format(*self.shape)


@dataclass(frozen=True)
class Split:
    """Hold the samples of one split, in the publisher's order.

    Inputs are images [n, height, width, channels], uint8 from 0 to 255, or float32 if already
    normalised; or rows of a table, float32 [n, features], standardised; or arrays of more
    dimensions, float32; or sequences of symbols, int64 [n, length].
    """

    inputs: np.ndarray
    # Classes from 0, int64, or numbers to predict, float32: [n], or [n, ...] with several for
    targets: np.ndarray  # each sample, such as one for each place of a sequence or an image.

    @property
    def n_samples(self) -> int:
        """Return the number of samples."""
        return len(self.targets)

    def of_rows(self, rows: np.ndarray | None) -> Split:
        """Return a copy of some rows, int64 [n]; return the split itself for None."""
        return self if rows is None else Split(self.inputs[rows], self.targets[rows])

    def first(self, n: int) -> Split:
        """Return a copy of the first n samples, or of all if there are fewer."""
        return Split(self.inputs[:n].copy(), self.targets[:n].copy())

    def rows_to_try(self, n: int) -> np.ndarray:
        """Return the rows of n samples on which to try a network, or all rows if there are fewer.

        For sequences they include the largest and the smallest symbol, because these may not fit.
        """
        rows = np.arange(min(n, len(self.targets)))
        if self.kind == "text":
            rows[-2:] = [self.inputs.min(axis=1).argmin(), self.inputs.max(axis=1).argmax()][
                -len(rows) :
            ]
        return rows

    @property
    def kind(self) -> str:
        """Return the kind of the inputs, a key of NOUNS.

        Raises:
            ValueError: If they are of no such kind.
        """
        dtype, n_dimensions = self.inputs.dtype.name, self.inputs.ndim
        dtype = "float32" if dtype in FLOATS else dtype
        usual = "array" if dtype == "float32" and n_dimensions > 2 else None
        kind = _KINDS.get((dtype, n_dimensions), usual)
        if kind is None:
            raise ValueError(
                f"inputs are {self.inputs.dtype} of shape {list(self.inputs.shape)}, but must "
                "be uint8 [n, height, width, channels], float32 [n, features] or int64 [n, length]"
            )
        return kind

    def in_float32(self) -> Split:
        """Return the same samples with float64 arrays rounded to float32."""
        arrays = (self.inputs, self.targets)
        rounded = (a.astype(np.float32) if a.dtype == np.float64 else a for a in arrays)
        return Split(*rounded)

    @property
    def has_pixels(self) -> bool:
        """Return whether the inputs are images to be normalised."""
        return self.inputs.dtype == np.uint8


class UnreadSplit(Protocol):
    """Read only the requested samples of a split."""

    @property
    def n_samples(self) -> int:
        """Return the number of samples without reading any."""

    def of_rows(self, rows: np.ndarray | None) -> Split:
        """Read the samples of some rows, ascending, int64 [n]; read all for None."""


@dataclass(frozen=True)
class DataSet:
    """Hold a data set in memory.

    A network sees images with channels first; uint8 images become (inputs / 255 - mean) / std.
    Other inputs are unchanged.
    """

    name: str
    splits: dict[str, Split]  # "train", and "test" if there is one
    mean: tuple[float, ...]  # one per channel, in [0, 1] units; empty without pixels
    std: tuple[float, ...]  # one per channel, in [0, 1] units; empty without pixels
    n_classes: int  # number of classes, or of values to predict for a sample
    sha256: str  # over all inputs and targets in float32, used or not; empty if not requested
    ignored: int | None = None  # target that is ignored
    class_axis: int = -1  # axis of the classes in its network's outputs, 1 or -1

    @property
    def sample(self) -> Sample:
        """Return the description of a network's input for this data set."""
        split = next(iter(self.splits.values()))
        shape: Sequence[int] = split.inputs.shape[1:]
        if split.kind == "image":
            shape = (shape[2], shape[0], shape[1])
        n_symbols = 0
        if split.kind == "text":
            n_symbols = 1 + max(int(each.inputs.max()) for each in self.splits.values())
        return Sample(split.kind, tuple(shape), self.n_classes, n_symbols)

    def counted(self, split: str) -> np.ndarray:
        """Return the targets of a split that count, as a vector."""
        targets = self.splits[split].targets
        return targets.ravel() if self.ignored is None else targets[self.is_counted(split)]

    def is_counted(self, split: str) -> np.ndarray:
        """Return which targets of a split count, bool in their shape."""
        targets = self.splits[split].targets
        if self.ignored is None:
            return np.ones(targets.shape, bool)
        return np.asarray(targets != self.ignored)

    @property
    def trivial_errors(self) -> dict[str, float]:
        """Return by split the error, %, of always answering the first split's commonest class.

        The result is empty if the targets are not classes.
        """
        counted = {name: self.counted(name) for name in self.splits}
        first = next(iter(counted.values()))
        if first.dtype.kind != "i" or not first.size or first.min() < 0:
            return {}
        commonest = np.bincount(first).argmax()
        return {
            name: 100 * float(np.mean(targets != commonest))
            for name, targets in counted.items()
            if targets.size
        }


def find_ignored(splits: Mapping[str, Split], asked: int | str | None) -> int | None:
    """Return the target that is ignored; None if all count.

    Args:
        splits: Splits with the targets.
        asked: A number; ``none``; or None for LEFT_OUT if some target has that value.
    """
    if asked is not None:
        return asked if isinstance(asked, int) else None
    are_there = (
        split.targets.dtype.kind == "i" and (split.targets == LEFT_OUT).any()
        for split in splits.values()
    )
    return LEFT_OUT if any(are_there) else None
