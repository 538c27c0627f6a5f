"""T5: pairs of texts as named tuples, targets filled up with -100."""

from typing import NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader
from transformers import T5Config, T5ForConditionalGeneration

from landscape_mpi import Problem

SYMBOLS, IGNORED = 40, -100


class Texts(NamedTuple):
    source: torch.Tensor  # 0 where it is filled up
    target: torch.Tensor  # -100 where it is filled up


def network():
    torch.manual_seed(4)
    size = {"d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2}
    config = T5Config(vocab_size=SYMBOLS, decoder_start_token_id=0, pad_token_id=0, **size)
    return T5ForConditionalGeneration(config)


def pairs():
    draw = torch.Generator().manual_seed(5)
    return [
        [torch.randint(2, SYMBOLS, (n,), generator=draw) for n in (4 + i % 7, 3 + i % 5)]
        for i in range(20)
    ]


def padded(pairs):
    sources, targets = zip(*pairs, strict=True)
    return Texts(
        pad_sequence(sources, batch_first=True),
        pad_sequence(targets, batch_first=True, padding_value=IGNORED),
    )


def data():
    return DataLoader(pairs(), batch_size=6, collate_fn=padded)


def loss(net, texts):
    mask, n = (texts.source != 0).long(), (texts.target != IGNORED).sum()
    return net(input_ids=texts.source, attention_mask=mask, labels=texts.target).loss * n, n


def problem():
    return Problem(network(), data(), loss, units="nats per symbol")
