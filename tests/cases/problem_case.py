"""A case that a command names by --problem, and a user's own loop over its batches.

The loop seeds generators by a hash of its own, evaluates one batch after the other, and adds Python
floats. It takes nothing of the package but the Problem itself, whose attributes it reads.
"""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self
from unittest import mock

import numpy as np
import torch

from cases.case import Case, Oracle, found
from landscape_mpi.compute.tensors import fill_network, tensors_of
from landscape_mpi.problem import Problem

COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


@dataclass(frozen=True, kw_only=True)
class ProblemCase(Case):
    """A network, batches of any kind, and a loss on a batch, which one function returns."""

    @classmethod
    def of(cls, problem: str, **columns: Any) -> Self:
        """Return a case of a function that returns a problem, module:function."""
        return cls(network=problem, data=problem, loss=problem, **columns)

    def __str__(self) -> str:
        return self.network

    def source(self) -> list[str]:
        return [f"--problem={self.network}"]

    def make(self) -> Problem:
        """Return a new problem, the same one every time."""
        with mock.patch.object(sys, "argv", sys.argv[:1]):  # some read options
            return found(self.network)()

    def oracle(self) -> Oracle:
        problem = self.make()
        dtype = dtype_of(problem)
        network = problem.network.to(dtype) if dtype else problem.network

        def values(split: str) -> dict[str, float]:
            network.load_state_dict(network.state_dict())  # hooks may compute something from it
            network.eval()
            return values_of(problem, split)

        return Oracle(network.train(), values)


def dtype_of(problem: Problem) -> torch.dtype | None:
    return None if problem.dtype is None else getattr(torch, problem.dtype)


def batches_of(problem: Problem, split: str = "train") -> Any:
    """Return the batches of a split; cut tensors into batches."""
    data, size = problem.data, problem.batch_size
    data = data[split] if isinstance(data, Mapping) else data
    if isinstance(data, tuple):
        return list(zip(*(tensor.split(size) for tensor in data), strict=True))
    return list(data.split(size)) if isinstance(data, torch.Tensor) else data


def converted(tree: Any, dtype: torch.dtype | None) -> Any:
    """Return a copy of a batch, with its floating-point tensors converted to a type."""
    if isinstance(tree, dict):
        return {name: converted(value, dtype) for name, value in tree.items()}
    if isinstance(tree, tuple):
        return tuple(converted(value, dtype) for value in tree)
    if not isinstance(tree, torch.Tensor):
        return tree
    copy = tree.detach().clone()
    if dtype and (tree.is_floating_point() or tree.is_complex()):
        copy = copy.to(COMPLEX[dtype] if tree.is_complex() else dtype)
    return copy.requires_grad_(tree.requires_grad)


def seed_by_hand(seed: int, i: int) -> None:
    number = int.from_bytes(hashlib.sha256(f"{seed}/{i}/".encode()).digest()[:8], "big") >> 1
    torch.manual_seed(number)
    np.random.seed(number % 2**32)
    random.seed(number)


def as_number(value: Any) -> float:
    return value.item() if isinstance(value, torch.Tensor) else value


def values_of(problem: Problem, split: str = "train") -> dict[str, float]:
    """Return the value of each function at the weights that the network has now."""
    values = {}
    for name, function in zip(("loss", *problem.metrics), problem.functions, strict=True):
        total = count = 0.0
        for i, batch in enumerate(batches_of(problem, split)):
            seed_by_hand(problem.seed, i)
            with torch.no_grad():
                given = converted(batch, dtype_of(problem))
                found = function.function(problem.network, given)
            if isinstance(found, tuple):
                total, count = total + as_number(found[0]), count + as_number(found[1])
            else:
                total, count = total + found.detach().double().sum().item(), count + len(found)
        mean = total / count
        values[name] = function.finish(mean) if function.finish else mean
    return values


# Planes that tests make without a file.


def directions_of(state: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    generator = np.random.default_rng(3)
    return {
        axis: {
            name: (0.2 * generator.standard_normal(values.shape)).astype(np.float32)
            for name, values in state.items()
            if values.dtype.kind == "f"
        }
        for axis in ("alpha", "beta")
    }


def center_of(problem: Problem) -> dict[str, np.ndarray]:
    return {n: v.copy() for n, v in tensors_of(problem.network.train()).items()}


def plain_values(make: Callable[[], Problem], alpha: float, beta: float) -> list[float]:
    """Return the value of each function of a problem at a point of the plane of directions_of."""
    problem = make()
    state, dtype = center_of(problem), dtype_of(problem)
    if dtype:
        problem.network.to(dtype)
    steps = directions_of(state)
    moved = dict(state)
    for name in steps["alpha"]:
        exact = np.float64 if dtype == torch.float64 else np.float32
        moved[name] = moved[name].astype(exact)
        for axis, by in (("alpha", alpha), ("beta", beta)):
            moved[name] = (moved[name] + by * steps[axis][name].astype(exact)).astype(exact)
    fill_network(problem.network, moved)
    problem.network.eval()
    return list(values_of(problem).values())
