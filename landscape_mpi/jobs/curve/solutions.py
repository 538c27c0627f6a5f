"""Read several solutions of one network, and define the lines between each pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from landscape_mpi.cluster.communicator import ROOT, Ranks, agree, on_root
from landscape_mpi.compute.directions import digest
from landscape_mpi.compute.subspace import one_thread
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.compute.units import Units, find_units
from landscape_mpi.compute.weight_matching import align, deviation
from landscape_mpi.engine.checkpoints import read_weights
from landscape_mpi.engine.inputs import Inputs
from landscape_mpi.engine.network_source import NetworkSource
from landscape_mpi.engine.problem_inputs import ProblemInputs
from landscape_mpi.errors import InputError
from landscape_mpi.jobs.curve.request import BarriersRequest
from landscape_mpi.store.lines import pairs_of

T = TypeVar("T")
State = dict[str, np.ndarray]
N_TRIED = 16  # number of samples on which a matched solution must be the same function as before
# Relative to the largest output. Another order of sums changes it by 2e-6 in 30 layers.
MOST_DEVIATION = 1e-3


@dataclass(frozen=True)
class Trial:
    """Hold the network and the samples for a trial of matched solutions."""

    source: NetworkSource
    unmoved: State  # tensors of the network that the lines do not move
    inputs: torch.Tensor  # inputs as the network sees them


@dataclass(frozen=True)
class Solutions:
    """Hold the solutions that rank 0 has read."""

    states: list[State]  # parameters and buffers that are floating-point numbers
    units: list[Units]  # units that may change places
    trial: Trial | None  # None without matching

    @property
    def sha256(self) -> str:
        """Return the digest of all solutions, in their order."""
        return digest(*self.states)


@dataclass(frozen=True)
class Ends:
    """Hold the ends of all lines."""

    points: list[State]  # the solutions, then the matched ones
    lines: list[tuple[int, int]]  # for each pair the indices of its points


def read_solutions(asked: BarriersRequest, inputs: Inputs | ProblemInputs) -> Solutions:
    """Read all checkpoints. Local; call it on one rank.

    Args:
        asked: Request of the solutions, their network, and the matching.
        inputs: Inputs with the first solution.
    """
    units, trial = [], None
    if isinstance(inputs, Inputs) and asked.match == "weights":
        units = find_units(inputs.network, model=asked.inputs.network.model)
        samples = inputs.resident("train", device="cpu").batch(slice(0, N_TRIED))
        unmoved = {name: v for name, v in inputs.state.items() if v.dtype.kind != "f"}
        trial = Trial(inputs.source, unmoved, samples)
    states = [{name: v for name, v in inputs.state.items() if v.dtype.kind == "f"}]
    trust, key = asked.inputs.network.trust_checkpoint, asked.inputs.network.checkpoint_key
    for path in asked.solutions[1:]:
        states.append(_floats(inputs.with_weights(read_weights(path, trust=trust, key=key))))
    return Solutions(states, units, trial)


def _floats(network: nn.Module) -> State:
    """Return copies of the tensors that a line moves, without counters."""
    found = tensors_of(network).items()
    return {name: values.copy() for name, values in found if values.dtype.kind == "f"}


def check_number(asked: BarriersRequest) -> None:
    """Check that there is at least one line.

    Raises:
        InputError: If fewer than two solutions are named, or fewer than three places.
    """
    if len(asked.solutions) < 2:
        raise InputError(
            f"barriers: {asked.solutions[0]} is one solution, but a line needs two. Name more "
            "checkpoints of the same network."
        )
    if asked.places.points < 3:
        raise InputError(
            f"--points {asked.places.points}: the ends are two of them, and a barrier lies between "
            f"them. Pass --points 3 or more."
        )


def match_all(
    ranks: Ranks, solutions: Solutions | None, *, seed: int, names: Sequence[Path]
) -> Ends | None:
    """Match the second of each pair to the first, if requested. Collective over the ranks.

    Args:
        ranks: All ranks of the run; they share the pairs.
        solutions: Solutions, on rank 0.
        seed: Seed of the order in which layers are visited.
        names: Names of the solutions, for messages.

    Returns:
        The ends of the lines, on rank 0.

    Raises:
        SharedInputError: On every rank, if a matched solution is no longer the same function.
    """
    asked = ranks.comm.bcast(solutions is not None and solutions.trial is not None, root=ROOT)
    if not asked:
        return Ends(solutions.states, pairs_of(len(solutions.states))) if solutions else None
    known = ranks.comm.bcast(solutions, root=ROOT)
    network = agree(ranks, known.trial.source.build)
    pairs = pairs_of(len(known.states))
    with one_thread():  # gives the same sums of products on any number of ranks
        own = [_match(known, network, *pair, seed=seed) for pair in pairs[ranks.rank :: ranks.size]]
    gathered = ranks.comm.gather(own, root=ROOT)
    matched = _in_order(gathered, len(pairs)) if gathered is not None else []
    on_root(ranks, lambda: _check_kept(pairs, [apart for _, apart in matched], names, known.trial))
    if gathered is None:
        return None
    n = len(known.states)
    ends = [*known.states, *(state for state, _ in matched)]
    return Ends(ends, [(i, n + p) for p, (i, _) in enumerate(pairs)])


def _match(
    known: Solutions, network: nn.Module, first: int, second: int, *, seed: int
) -> tuple[State, float]:
    """Return a solution matched to another one, and the resulting change of its outputs."""
    assert known.trial is not None
    before, unmoved = known.states[second], known.trial.unmoved
    after = align(known.states[first], before, known.units, seed=seed)
    return after, deviation(network, unmoved | before, unmoved | after, known.trial.inputs)


def _in_order(gathered: list[list[T]], n: int) -> list[T]:
    """Return n results, in order, of ranks that took turns."""
    return [gathered[k % len(gathered)][k // len(gathered)] for k in range(n)]


def _check_kept(
    pairs: Sequence[tuple[int, int]], apart: Sequence[float], names: Sequence[Path], trial: Trial
) -> None:
    """Check that every matched solution is still the same function.

    Raises:
        InputError: If one has changed.
    """
    for (first, second), moved in zip(pairs, apart, strict=True):
        if not moved <= MOST_DEVIATION:
            raise InputError(
                f"--match weights: {names[second]}, after its units were permuted to match those "
                f"of {names[first]}, is another function: on {len(trial.inputs)} training samples "
                f"its outputs differ by {moved:.2g} of the largest. --model {trial.source.model} "
                "uses its units in a way that is not known here, so the line would lead to "
                "another network. Leave --match out."
            )
