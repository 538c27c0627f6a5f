"""Checkpoints that a command's options name: how they are read, and what the log says of them."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from landscape_mpi.zoo.checkpoint import Checkpoint, fitted, load_state, read_checkpoint


def read_weights(path: Path, *, trust: bool = False, key: str | None = None) -> Checkpoint:
    """Read a checkpoint, and print which of its weights are taken. Local; call it on one rank.

    Args:
        path: The file or folder.
        trust: Run pickled code that it may hold.
        key: Which of several weight sets to take.
    """
    checkpoint = read_checkpoint(path, trust=trust, key=key)
    _say(checkpoint, checkpoint.notes)
    return checkpoint


def load_weights(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Load a checkpoint into a network, and print what of it is left out. Local.

    Args:
        network: Network to fill, in place.
        checkpoint: As read_weights returned it.
    """
    load_state(network, checkpoint)
    say_fit(network, checkpoint)


def say_fit(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Print what a network leaves out of a checkpoint. Local."""
    _say(checkpoint, fitted(checkpoint, network).notes[len(checkpoint.notes) :])


def _say(checkpoint: Checkpoint, notes: tuple[str, ...]) -> None:
    for note in notes:
        print(f"{checkpoint.path}: {note}", flush=True)
