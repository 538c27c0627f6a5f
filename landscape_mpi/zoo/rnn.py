"""Build recurrent networks that read a text and predict the next symbol at each place."""

from __future__ import annotations

import re

import torch
from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.family import Family

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
MOST_HIDDEN = 100_000
USUAL_HIDDEN = (120, 140)
NAME = r"(rnn|lstm|gru)([0-9]{1,9})"


class CharacterRnn(nn.Module):
    """Apply an embedding, one recurrent layer, and a linear classifier at each place.

    The initial weights are torch's own.

    Args:
        cell: One of CELLS.
        n_hidden: Units of the recurrent layer, and length of a symbol's embedding.
        n_symbols: Number of symbols; each one is an output.

    Raises:
        InputError: If n_hidden is not a valid size.
    """

    def __init__(self, cell: str, n_hidden: int, *, n_symbols: int) -> None:
        super().__init__()
        if not 1 <= n_hidden <= MOST_HIDDEN:
            raise InputError(f"{n_hidden} hidden units; there must be 1 to {MOST_HIDDEN:,}.")
        self.embedding = nn.Embedding(n_symbols, n_hidden)
        self.recurrent = CELLS[cell](n_hidden, n_hidden, batch_first=True)
        self.linear = nn.Linear(n_hidden, n_symbols)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [n, length, n_symbols] for sequences int64 [n, length]."""
        return self.linear(self.recurrent(self.embedding(x))[0])


def _build(name: str, sample: Sample) -> nn.Module:
    match = re.fullmatch(NAME, name)
    assert match is not None  # because the name belongs to the family
    return CharacterRnn(match[1], int(match[2]), n_symbols=sample.n_next_symbols)


FAMILY = Family(
    names=tuple(f"{cell}{n_hidden}" for cell in CELLS for n_hidden in USUAL_HIDDEN),
    kinds=("text",),
    build=_build,
    title="`rnn120`, `lstm120`, `gru120`",
    words="recurrent networks with 120 or any other number of hidden units, for texts",
    pattern=NAME,
    forms=tuple(f"{cell}UNITS" for cell in CELLS),
)
