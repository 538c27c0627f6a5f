"""Networks of the zoo that are built alike, and what the documentation says of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from landscape_mpi.zoo.dataset import Sample


@dataclass(frozen=True, kw_only=True)
class Family:
    """Networks that --model names; registry.NETWORKS says where each family is."""

    names: tuple[str, ...]  # those that --list shows
    kinds: tuple[str, ...]  # of samples they take, keys of dataset.NOUNS
    build: Callable[[str, Sample], nn.Module]  # from a name and what the network is given
    words: str  # what they are, for the documentation
    title: str = ""  # of their row there, where that is not their names
    pattern: str | None = None  # of further names, with numbers in them: a regular expression
    forms: tuple[str, ...] = ()  # the same for people: lstmUNITS

    def has(self, name: str) -> bool:
        """Return whether a network of this name is one of them."""
        if self.pattern is not None and re.fullmatch(self.pattern, name):
            return True
        return name in self.names
