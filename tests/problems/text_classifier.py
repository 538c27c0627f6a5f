"""BERT: sentences of all lengths, padded by the loader's collate_fn, in train and test."""

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset
from transformers import BatchEncoding, BertConfig, BertForSequenceClassification

from landscape_mpi import Problem

SYMBOLS = 50


class Sentences(Dataset):
    def __init__(self, n, seed):
        self.n, self.seed = n, seed

    def __len__(self):
        return self.n

    def __getitem__(self, number):
        draw = torch.Generator().manual_seed(self.seed + number)
        symbols = torch.randint(1, SYMBOLS, (5 + number % 8,), generator=draw)
        second = (torch.arange(len(symbols)) > 3).long()
        return {"input_ids": symbols, "token_type_ids": second, "label": int(symbols[0] % 3)}


def padded(sentences):
    names = ("input_ids", "token_type_ids")
    rows = {name: pad_sequence([s[name] for s in sentences], batch_first=True) for name in names}
    rows["attention_mask"] = pad_sequence(
        [torch.ones_like(s["input_ids"]) for s in sentences], True
    )
    return BatchEncoding(rows | {"labels": torch.tensor([s["label"] for s in sentences])})


def network():
    torch.manual_seed(3)
    size = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    size |= {"intermediate_size": 64, "max_position_embeddings": 16, "vocab_size": SYMBOLS}
    return BertForSequenceClassification(BertConfig(num_labels=3, initializer_range=0.2, **size))


def data():
    sentences = {"train": Sentences(28, seed=100), "test": Sentences(12, seed=900)}
    return {
        split: DataLoader(found, batch_size=8, collate_fn=padded)
        for split, found in sentences.items()
    }


def logits(net, batch):
    return net(**{name: rows for name, rows in batch.items() if name != "labels"}).logits


def loss(net, batch):
    return cross_entropy(logits(net, batch), batch["labels"], reduction="none")


def right(net, batch):
    return (logits(net, batch).argmax(1) == batch["labels"]).float()


def problem():
    return Problem(network(), data(), loss, metrics={"accuracy": (right, lambda mean: 100 * mean)})
