"""Recurrent networks that read a text and say at each place what comes next."""

from __future__ import annotations

import torch
from torch import nn

from landscape_mpi.errors import InputError

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
MOST_HIDDEN = 100_000


class CharacterRnn(nn.Module):
    """Embedding, one recurrent layer, linear classifier at each place.

    The initial weights are torch's own.

    Args:
        cell: One of CELLS.
        n_hidden: Units of the recurrent layer, and numbers that stand for a symbol.
        n_symbols: Symbols there are; each is an output.

    Raises:
        InputError: If n_hidden is no size.
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
