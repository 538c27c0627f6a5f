"""The table of the problems of this folder: the options of a surface, and how close it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from libraries import imported

from problems.plain import LOOPS, Values


@dataclass(frozen=True)
class Case:
    """A module of this folder, and how its surface is computed."""

    name: str
    options: tuple[str, ...] = ()
    splits: tuple[str, ...] = ("train",)
    double: bool = False
    close: float = 1e-6  # relative

    def __str__(self) -> str:
        return self.name

    def module(self) -> ModuleType:
        return imported(f"problems.{self.name}")

    def network(self) -> Any:
        """Return the network in the type in which it is evaluated."""
        network = self.module().network()
        return (network.double() if self.double else network).eval()

    def values(self, network: Any, split: str = "train") -> Values:
        """Return the values of a network on a split, by the plain loop."""
        data = self.module().data()
        return LOOPS[self.name](network, data[split] if isinstance(data, Mapping) else data)


CASES = {
    case.name: case
    for case in (
        Case("language_model"),
        Case("text_classifier", options=("--splits=train,test",), splits=("train", "test")),
        Case("translation"),
        Case("lora", options=("--only=trainable",)),
        Case("image_classifier"),
        Case("segmentation"),
        Case("heat_equation", double=True, close=1e-12),
        Case("vae"),
        Case("diffusion"),
        Case("graphs"),
        Case("adjacency"),
        Case("actor_critic"),
        Case("contrastive"),
        Case("monte_carlo_dropout"),
        Case("forecast"),
        Case("hooked"),
    )
}
