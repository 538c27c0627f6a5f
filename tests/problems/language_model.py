"""GPT-2: labels of -100 for prompts and padding, which do not count, and the perplexity."""

import math

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from landscape_mpi import Problem

SYMBOLS, PROMPT, IGNORED = 61, 3, -100


def network():
    torch.manual_seed(1)
    size = {"n_positions": 24, "n_embd": 32, "n_layer": 2, "n_head": 2}
    size |= {"bos_token_id": 0, "eos_token_id": 0}
    return GPT2LMHeadModel(GPT2Config(vocab_size=SYMBOLS, initializer_range=0.2, **size))


def data():
    """Eight texts a batch, filled up to the longest."""
    draw = torch.Generator().manual_seed(2)
    return [batch(length, draw) for length in (12, 24, 17)]


def batch(length, draw):
    symbols = torch.randint(SYMBOLS, (8, length), generator=draw)
    place, ends = torch.arange(length), torch.randint(PROMPT + 2, length, (8, 1), generator=draw)
    labels = symbols.masked_fill((place < PROMPT) | (place >= ends), IGNORED)
    return {"input_ids": symbols, "attention_mask": (place < ends).long(), "labels": labels}


def loss(net, batch):
    n = (batch["labels"][:, 1:] != IGNORED).sum()
    return net(**batch).loss * n, n


def problem():
    return Problem(network(), data(), loss, metrics={"perplexity": (loss, math.exp)})
