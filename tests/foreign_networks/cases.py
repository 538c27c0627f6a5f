"""A network with its data and loss: its command, and what the plain loop says."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from one_process import Ended
from plain_loop import plain_losses
from torch import nn
from torch.nn import functional

TESTS = Path(__file__).parent.parent
PACKAGE = "foreign_networks"
PLANE = ("--x=-1:1:3", "--y=0:0.4:2", "--batch=16", "--save-directions")
CLOSE = 1e-5  # relative


def squared(outputs, targets):
    return (outputs.reshape(targets.shape) - targets).square()


LOSSES = {"cross_entropy": functional.cross_entropy, "mse": squared}


@dataclass(frozen=True)
class Case:
    """A network with the data and the loss it is evaluated on."""

    network: str  # module:function of foreign_networks
    data: str = "samples:rows"
    loss: str = "cross_entropy"
    trained: bool = False  # whether its weights come from a checkpoint
    options: tuple[str, ...] = ()
    classes_last: bool = False  # of the outputs, if a sample has several targets

    def __str__(self) -> str:
        return "-".join([self.network, *("trained" for _ in range(self.trained)), *self.options])


def found(name: str) -> Any:
    module, function = name.split(":")
    return getattr(importlib.import_module(f"{PACKAGE}.{module}"), function)


def loss_of(case: Case) -> Any:
    loss = LOSSES[case.loss] if case.loss in LOSSES else found(case.loss)
    if case.classes_last:
        return lambda outputs, targets: loss(outputs.movedim(-1, 1), targets)
    return loss


def after_steps(case: Case) -> nn.Module:
    """Return the network after some steps, as a training loop leaves it: in training mode."""
    network, (inputs, targets) = found(case.network)(), found(case.data)()["train"]
    network.train()(inputs[:16])  # gives lazy layers their shape
    optimizer = torch.optim.Adam([p for p in network.parameters() if p.requires_grad], lr=0.02)
    for _ in range(15):
        loss = loss_of(case)(network(inputs), targets).mean()
        if not loss.requires_grad:
            return shaken(network)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network


@torch.no_grad()
def shaken(network: nn.Module) -> nn.Module:
    """Add noise to the weights of a network that gradients do not reach."""
    draw = torch.Generator().manual_seed(3)
    for parameter in network.parameters():
        parameter.add_(0.2 * torch.randn(parameter.shape, generator=draw))
    return network


def command(case: Case, folder: Path, out: Path) -> tuple[list[str], dict[str, Any] | None]:
    """Return a command, and the state of the checkpoint that it is given."""
    loss = case.loss if case.loss in LOSSES else f"{PACKAGE}.{case.loss}"
    words = ["landscape_mpi.surface", f"--model={PACKAGE}.{case.network}", f"--loss={loss}"]
    words += [f"--data={PACKAGE}.{case.data}", f"--out={out}", *PLANE, *case.options]
    if not case.trained:
        return words, None
    state = after_steps(case).state_dict()
    torch.save(state, folder / "trained.pt")
    return [*words, f"--checkpoint={folder / 'trained.pt'}"], state


def check_losses(case: Case, out: Path, state: dict[str, Any] | None) -> None:
    samples = found(case.data)()["train"]
    expected = plain_losses(out, found(case.network), samples, loss_of(case), state=state)
    assert np.ptp(expected) > 1e-3 * np.abs(expected).max()  # the plane is not flat
    with h5py.File(out) as file:
        np.testing.assert_allclose(file["train_loss"][()], expected, rtol=CLOSE)


def check_refusal(ended: Ended, out: Path, cause: str) -> None:
    assert ended.status == 2, ended.words
    assert "error: " in ended.words
    assert cause in ended.words
    assert not out.exists()


ROWS, IMAGES, COLORS = "samples:rows", "samples:images", "samples:colors"
SEQUENCES, TOKENS, NUMBERS = "samples:sequences", "samples:tokens", "samples:numbers"
PENALISED = "weights_read:penalised_loss"
