"""Several solutions of one network, and the lines between each two of them."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

import numpy as np
from torch import nn

from landscape_mpi.cluster.communicator import ROOT, Ranks
from landscape_mpi.compute.directions import digest
from landscape_mpi.compute.subspace import one_thread
from landscape_mpi.compute.tensors import tensors_of
from landscape_mpi.compute.units import Units, find_units
from landscape_mpi.compute.weight_matching import align
from landscape_mpi.errors import InputError
from landscape_mpi.job.inputs import Inputs
from landscape_mpi.store.lines import pairs_of
from landscape_mpi.zoo.checkpoint import load_state, read_checkpoint

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Solutions:
    """What rank 0 has read."""

    states: list[State]  # parameters and buffers that are floating-point numbers
    units: list[Units] | None  # that may change places; None where nothing is matched

    @property
    def sha256(self) -> str:
        """Return the digest of all, in their order."""
        return digest(*self.states)


@dataclass(frozen=True)
class Ends:
    """The ends of all lines."""

    points: list[State]  # the solutions, then those that were matched
    lines: list[tuple[int, int]]  # of each pair the numbers of its points


def read_solutions(options: argparse.Namespace, inputs: Inputs) -> Solutions:
    """Read all checkpoints. Local; call it on one rank.

    Args:
        options: ``solutions``, ``trust_checkpoint``, ``model`` and ``match``.
        inputs: Of the first of them.
    """
    network = inputs.network_copy()
    units = find_units(network, model=options.model) if options.match == "weights" else None
    states = [_floats(inputs.network)]
    for path in options.solutions[1:]:
        load_state(network, read_checkpoint(path, trust=options.trust_checkpoint))
        states.append(_floats(network))
    return Solutions(states, units)


def _floats(network: nn.Module) -> State:
    """Return copies of what a line moves; counters stay."""
    found = tensors_of(network).items()
    return {name: values.copy() for name, values in found if values.dtype.kind == "f"}


def check_number(options: argparse.Namespace) -> None:
    """Check that there is a line.

    Raises:
        InputError: If fewer than two solutions are named, or fewer than three places.
    """
    if len(options.solutions) < 2:
        raise InputError(
            f"barriers: {options.solutions[0]} is one solution, and a line needs two. Name more "
            f"checkpoints of the same network."
        )
    if options.points < 3:
        raise InputError(
            f"--points {options.points}: the ends are two of them, and a barrier lies between "
            f"them. Pass --points 3 or more."
        )


def match_all(ranks: Ranks, solutions: Solutions | None, *, seed: int) -> Ends | None:
    """Match the second of each pair to the first, if that is asked. Collective over the ranks.

    Args:
        ranks: All ranks of the run, which share the pairs.
        solutions: On rank 0.
        seed: Of the order in which layers are looked at.

    Returns:
        The ends of the lines, on rank 0.
    """
    asked = ranks.comm.bcast(solutions is not None and solutions.units is not None, root=ROOT)
    if not asked:
        return Ends(solutions.states, pairs_of(len(solutions.states))) if solutions else None
    known = ranks.comm.bcast(solutions, root=ROOT)
    pairs = pairs_of(len(known.states))
    with one_thread():  # the same sums of products on any number of ranks
        own = [
            align(known.states[i], known.states[j], known.units, seed=seed)
            for i, j in pairs[ranks.rank :: ranks.size]
        ]
    gathered = ranks.comm.gather(own, root=ROOT)
    if gathered is None:
        return None
    n = len(known.states)
    matched = [gathered[p % ranks.size][p // ranks.size] for p in range(len(pairs))]
    return Ends([*known.states, *matched], [(i, n + p) for p, (i, _) in enumerate(pairs)])
