"""Name the optional steps that make the evaluation of a network faster."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Steps:
    """Tell which steps are taken; without any, a network runs as torch runs it."""

    threads: bool = True  # batches at the same time, if the setting has several threads
    uncopied: bool = True  # batches are views of the data, which a network might change
    inference: bool = True  # inference mode, which stores nothing for gradients
    views: bool = True  # moved tensors are views into one vector, and eval() is called once
    channels_last: bool = True  # memory layout of images and of weights of convolutions
    folded: bool = True  # the network is traced, and batch-norm folded into the layer before it
    fused: bool = True  # convolutions are fused with the next operation; on CPUs, if folded

    def __str__(self) -> str:
        """Return the names of the steps that are taken, as the file stores them."""
        return ",".join(name for name in STEPS if getattr(self, name)) or "none"


STEPS = tuple(field.name for field in fields(Steps))  # in the order in which they are tried
WORDS = {
    "threads": "several batches at a time",
    "uncopied": "batches that are parts of the data",
    "inference": "inference mode",
    "views": "weights in one vector",
    "channels_last": "channels last",
    "folded": "folding",
    "fused": "fusing",
}


def steps_of(names: Iterable[str]) -> Steps:
    """Return steps with only the named ones taken."""
    taken = set(names)
    return Steps(**{name: name in taken for name in STEPS})


ALL, PLAIN = steps_of(STEPS), steps_of(())
