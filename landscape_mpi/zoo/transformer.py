"""Build a small transformer that reads a text and predicts the next symbol at each place.

Source: Vaswani et al. 2017, arXiv:1706.03762; normalisation before each part: Xiong et al. 2020,
arXiv:2002.04745.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional

from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.family import Family

N_BLOCKS = 2
N_HEADS = 4
WIDTH = 64


class Attention(nn.Module):
    """Let each place attend to itself and earlier places.

    It is written out because the fused kernels have no second derivative, which curvature needs.
    """

    later: torch.Tensor

    def __init__(self, width: int, n_heads: int, length: int) -> None:
        super().__init__()
        self.shape = (3, n_heads, width // n_heads)
        self.mixed = nn.Linear(width, 3 * width)  # makes queries, keys and values
        self.linear = nn.Linear(width, width)
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        self.register_buffer("later", later, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [n, length, width]."""
        query, key, value = self.mixed(x).unflatten(-1, self.shape).transpose(1, 3).unbind(2)
        scores = query @ key.transpose(-2, -1) / math.sqrt(self.shape[-1])
        weights = scores.masked_fill(self.later, -math.inf).softmax(dim=-1)
        return self.linear((weights @ value).transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Apply attention, then two linear layers, each added to its input."""

    def __init__(self, width: int, n_heads: int, length: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, n_heads, length)
        self.norm2 = nn.LayerNorm(width)
        self.linear1 = nn.Linear(width, 4 * width)
        self.linear2 = nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return [n, length, width]."""
        x = x + self.attention(self.norm1(x))
        return x + self.linear2(functional.gelu(self.linear1(self.norm2(x))))


class Transformer(nn.Module):
    """Embed symbols and places; apply blocks, layer-norm and a linear classifier at each place.

    The initial weights are torch's own; those of the places are normal, times 0.02.

    Args:
        n_symbols: Number of symbols; each one is an output.
        length: Number of places in a sequence.
    """

    def __init__(self, *, n_symbols: int, length: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(n_symbols, WIDTH)
        self.places = nn.Parameter(0.02 * torch.randn(length, WIDTH))
        self.blocks = nn.Sequential(*(Block(WIDTH, N_HEADS, length) for _ in range(N_BLOCKS)))
        self.norm = nn.LayerNorm(WIDTH)
        self.linear = nn.Linear(WIDTH, n_symbols)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits [n, length, n_symbols] for sequences int64 [n, length]."""
        return self.linear(self.norm(self.blocks(self.embedding(x) + self.places)))


def _build(name: str, sample: Sample) -> nn.Module:
    return Transformer(n_symbols=sample.n_next_symbols, length=sample.shape[0])


FAMILY = Family(
    names=("transformer",),
    kinds=("text",),
    build=_build,
    words="two blocks, 64 wide, four heads, layer-norm (which `--ignore bn` also keeps fixed), "
    "for texts",
)
