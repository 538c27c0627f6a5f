"""Problems in files of the folder problems/, as users write them with the libraries of the field.

Oracle: for each problem a loop of its own (problem_loops.py); for the unusual ones the user's own
loop over the batches (problem_case.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from libraries import imported

from cases.case import Oracle, Values, by_name
from cases.problem_case import ProblemCase
from cases.problem_loops import LOOPS


@dataclass(frozen=True, kw_only=True)
class ProblemFile(ProblemCase):
    """A module of the folder, with functions of its own for the network, the data and the loss."""

    double: bool = False

    def module(self) -> ModuleType:
        """Import the module; skip without the library that it needs."""
        return imported(f"problems.{self.name}")

    def words(self, out: Path, *more: str, **options: Any) -> list[str]:
        self.module()
        return super().words(out, *more, **options)

    def build(self) -> Any:
        """Return the network in the type in which it is evaluated."""
        network = self.module().network()
        return (network.double() if self.double else network).eval()

    def values(self, network: Any, split: str = "train") -> Values:
        """Return the values of a network on a split, by the loop of this problem."""
        data = self.module().data()
        return LOOPS[self.name](network, data[split] if isinstance(data, Mapping) else data)

    def oracle(self) -> Oracle:
        network = self.build()
        return Oracle(network, lambda split: self.values(network, split))


def problem_file(name: str, close: float = 1e-6, **more: Any) -> ProblemFile:
    """Return a case of a module of the folder."""
    return ProblemFile.of(f"problems.{name}:problem", name=name, close=close, **more)


def unusual(name: str) -> ProblemCase:
    """Return a case of a function of problems/unusual.py."""
    return ProblemCase.of(f"problems.unusual:{name}", name=name, close=5e-6)


CASES = by_name(
    [
        problem_file("language_model"),
        problem_file("text_classifier", options=("--splits=train,test",), splits=("train", "test")),
        problem_file("translation"),
        problem_file("lora", options=("--only=trainable",)),
        problem_file("image_classifier"),
        problem_file("segmentation"),
        problem_file("heat_equation", double=True, close=1e-12),
        problem_file("vae"),
        problem_file("diffusion"),
        problem_file("graphs"),
        problem_file("adjacency"),
        problem_file("actor_critic"),
        problem_file("contrastive"),
        problem_file("monte_carlo_dropout"),
        problem_file("forecast"),
        problem_file("hooked"),
    ]
)
UNUSUAL = by_name(
    unusual(name)
    for name in (
        *("derivatives_of_a_function", "directional_derivative", "batch_that_requires_gradients"),
        *("trained_in_place", "trained_copy", "slopes_of_weights", "complex_parts", "nested"),
        *("jagged", "sparse_rows", "frozen_pairs", "fused_when_loaded", "huge", "with_own_options"),
    )
)
