"""The source of a problem: a function that every rank calls, or a live object in Python.

Importing this module does not import torch: options name problems before they are read.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from landscape_mpi.errors import InputError, in_one_line
from landscape_mpi.invocation import typed
from landscape_mpi.problem import Problem

if TYPE_CHECKING:
    from torch import nn

LIVE = "a problem in Python"


class ProblemSource:
    """A named or live problem, made once on each rank that asks for it."""

    def __init__(self, problem: Problem | str) -> None:
        """Store a problem, or the name of its function.

        Args:
            problem: The problem itself, or ``package.module:function`` that returns it.
        """
        self._problem = problem if isinstance(problem, Problem) else None
        self.spec = problem if isinstance(problem, str) else None
        self._is_ready = False
        self._unused: nn.Module | None = None

    @property
    def name(self) -> str:
        """Return the name of the problem for files and messages."""
        return LIVE if self.spec is None else self.spec

    def get(self) -> Problem:
        """Return the problem, the same object every time, its network in the type of ``dtype``.

        Raises:
            InputError: If the function cannot be found or returns something else.
            UserCodeError: If it fails.
        """
        if not self._is_ready:
            self._problem = _ready(self._problem or self._made())
            self._is_ready = True
        assert self._problem is not None
        return self._problem

    def _made(self, seed: int | None = None) -> Problem:
        from landscape_mpi.zoo.own_network import BUILD_SEED, seed_generators
        from landscape_mpi.zoo.user_functions import call_function

        assert self.spec is not None
        seed_generators(BUILD_SEED if seed is None else seed)
        made = call_function("--problem", self.spec, returns="a landscape_mpi.Problem")
        if not isinstance(made, Problem):
            kind = "None, as a function without return does" if made is None else None
            kind = kind or f"an object of type {type(made).__name__}"
            raise InputError(
                f"--problem: {self.spec} returned {kind}, not a landscape_mpi.Problem. Let it "
                f"return landscape_mpi.Problem(network, data, loss)."
            )
        return made

    def another_network(self, *, seed: int | None = None) -> nn.Module:
        """Return a further network like the problem's, with arbitrary weights.

        Args:
            seed: Seed for its function; None for the seed of the problem itself.
        """
        if self.spec is not None:
            return _ready(self._made(seed)).network
        return self._copied()

    def set_aside(self) -> None:
        """Copy a live network before its first call in this run, for take_unused().

        The copy lacks anything that the network keeps from its first call. If the network was
        called before this run, the copy cannot avoid it.
        """
        if self.spec is None:
            try:
                self._unused = self._copied()
            except Exception:  # raised by the network's own code
                self._unused = None

    def take_unused(self) -> nn.Module | None:
        """Return the copy that was set aside, once; None if there is none."""
        unused, self._unused = self._unused, None
        return unused

    def _copied(self) -> nn.Module:
        """Return a copy of a live network.

        Raises:
            InputError: If its own code fails to copy it.
        """
        from landscape_mpi.compute.ties import tie_again, ties_of

        network = self.get().network
        try:
            made = copy.deepcopy(network)
        except Exception as problem:  # raised by the network's own code
            raise InputError(
                "Problem: this needs a second network, and copy.deepcopy(network) raised "
                f"{in_one_line(problem)}. Correct that, or name a function that makes the "
                f"problem: {typed('surface')} --problem my_module:my_function."
            ) from problem
        tie_again(made, ties_of(network))
        return made


def _ready(problem: Problem) -> Problem:
    """Bring the network of a problem to the CPU, and convert it to the requested type."""
    import torch

    from landscape_mpi.compute.devices.cpu import CPU
    from landscape_mpi.compute.movable_network import check_movable
    from landscape_mpi.compute.ties import converted

    own = (parameter for parameter in problem.network.parameters() if not parameter.is_meta)
    if any(
        parameter.device != CPU.place for parameter in own
    ):  # an object without weights is refused later
        converted(problem.network, CPU.name)  # for the checks; each rank takes its own device later
    if problem.dtype is not None:
        check_movable(problem.network)
        converted(problem.network, getattr(torch, problem.dtype))
    return problem
