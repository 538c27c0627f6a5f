"""Checkpoints that a command's options name, read and described in the log."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from landscape_mpi.zoo.checkpoint import Checkpoint, fitted, load_state, read_checkpoint


def read_weights(path: Path, *, trust: bool = False, key: str | None = None) -> Checkpoint:
    """Read a checkpoint, and print which of its weights are used. Local; call it on one rank.

    Args:
        path: The file or folder.
        trust: Whether to run pickled code that it may hold.
        key: Name of one of several sets of weights.
    """
    checkpoint = read_checkpoint(path, trust=trust, key=key)
    _say(checkpoint, checkpoint.notes)
    return checkpoint


def load_weights(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Load a checkpoint into a network, and print the parts that are left out. Local.

    Args:
        network: Network to fill, in place.
        checkpoint: A checkpoint from read_weights.
    """
    load_state(network, checkpoint)
    say_fit(network, checkpoint)


def say_fit(network: nn.Module, checkpoint: Checkpoint) -> None:
    """Print the parts of a checkpoint that a network leaves out. Local."""
    _say(checkpoint, fitted(checkpoint, network).notes[len(checkpoint.notes) :])


def _say(checkpoint: Checkpoint, notes: tuple[str, ...]) -> None:
    for note in notes:
        print(f"{checkpoint.path}: {note}", flush=True)
