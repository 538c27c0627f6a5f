"""Compare the surface of a random network, as the command computes it, with the plain loop."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import h5py
import numpy as np
import torch
from cases import random_networks
from cases.case import Run
from cases.random_networks import Description, RandomNetwork, distance, random_network
from one_process import run_alone

CLOSE_RESCALED = 1e-4
EPS = 1e-5  # of torch's batch-norm
CHANNELS_SECOND = ("transposed", "transposed_grouped", "in_out")
UNSCALED = ("weight_mask", "weight_v", "original1")  # of weights whose lengths are kept apart


@dataclass(frozen=True)
class Compared:
    """The outcome of a network."""

    outcome: str  # right, wrong, refused or failed
    words: str  # the difference, or what the command said

    @property
    def is_good(self) -> bool:
        return self.outcome == "right"


def surface(case: RandomNetwork, out: Path, run: Run = run_alone) -> np.ndarray | Compared:
    """Return the losses that the command gives, or what came of it otherwise."""
    out.unlink(missing_ok=True)
    with mock.patch.dict(os.environ, case.environment):
        ended = run(case.words(out))
    if ended.status != 0:
        is_refusal = ended.status == 2 and "Traceback" not in ended.words
        return Compared("refused" if is_refusal else "failed", ended.words)
    with h5py.File(out) as file:
        return file["train_loss"][()]


def compare(
    given: Description, options: Sequence[str], out: Path, run: Run = run_alone
) -> Compared:
    """Compute a surface and compare it with the plain loop."""
    case = random_network(given, options)
    found = surface(case, out, run)
    if isinstance(found, Compared):
        return found
    apart, allowed = case.apart(out, found)
    return Compared("right" if apart <= allowed else "wrong", f"{apart:.1e} from the plain loop")


def compare_rescaled(given: Description, options: Sequence[str], out: Path) -> Compared:
    """Compare the surfaces of one function before and after its channels are rescaled.

    The vectors are other ones, and so are the weights; the losses must not be.
    """
    found = []
    for state in (state_of(given), rescaled(given, state_of(given))):
        checkpoint = out.with_suffix(".pt")
        torch.save(state, checkpoint)
        losses = surface(random_network(given, [*options, f"--checkpoint={checkpoint}"]), out)
        if isinstance(losses, Compared):
            return losses
        found.append(losses)
    apart = distance(*found)
    return Compared("right" if apart <= CLOSE_RESCALED else "wrong", f"{apart:.1e} when rescaled")


def state_of(given: Description) -> dict[str, torch.Tensor]:
    return random_networks.build(given).state_dict()


def rescaled(given: Description, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Multiply the output channels of the first part's map; its batch-norm takes them back."""
    factors = torch.tensor([1.0, 7.0, 0.2, 3.0, 0.5, 11.0, 2.0, 0.1])
    kind = given["parts"][0][1]
    changed = {name: tensor.clone() for name, tensor in state.items()}
    for name, tensor in changed.items():
        inside = name.removeprefix(random_networks.PREFIXES[given["wrapper"]])
        if inside.startswith("body.0.map."):
            scale_channels(kind, name.rpartition(".")[2], tensor, factors)
        elif inside.startswith("body.0.norm.") and name.endswith("running_mean"):
            tensor.mul_(factors)
        elif inside.startswith("body.0.norm.") and name.endswith("running_var"):
            tensor.copy_((tensor + EPS) * factors.square() - EPS)
    return changed


def scale_channels(kind: str, name: str, tensor: torch.Tensor, factors: torch.Tensor) -> None:
    """Multiply what one tensor of a map has of each output channel, if it has any."""
    if name in UNSCALED:
        return
    if kind in CHANNELS_SECOND and name == "weight":
        n_groups = 2 if kind == "transposed_grouped" else 1
        for part, own in zip(tensor.chunk(n_groups), factors.chunk(n_groups), strict=True):
            part.mul_(own.view(1, -1, *[1] * (tensor.ndim - 2)))
    else:
        tensor.mul_(factors.view(-1, *[1] * (tensor.ndim - 1)))
