"""Networks that return several things, and the same network that returns its logits alone."""

import dataclasses
from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import nn

from cases.networks import samples


def rows_and_a_test():
    inputs, targets = samples.rows()["train"]
    return {"train": (inputs[:60], targets[:60]), "test": (inputs[60:], targets[60:])}


class Body(nn.Module):
    """Two layers; ``parts`` gives what is between them, and the logits."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(131)
        self.body, self.head = nn.Linear(10, 12), nn.Linear(12, 3)

    def parts(self, rows):
        hidden = self.body(rows).tanh()
        return hidden, self.head(hidden)

    def forward(self, rows):
        return self.parts(rows)[1]


class Pair(Body):
    def forward(self, rows):
        return self.parts(rows)


class Listed(Body):
    def forward(self, rows):
        return [*self.parts(rows), None]


class Named(Body):
    def forward(self, rows):
        hidden, logits = self.parts(rows)
        return {"hidden": hidden, "logits": logits, "n": len(rows)}


class Parts(NamedTuple):
    hidden: torch.Tensor
    logits: torch.Tensor


class NamedPair(Body):
    def forward(self, rows):
        return Parts(*self.parts(rows))


@dataclasses.dataclass
class Output:
    hidden: torch.Tensor
    logits: torch.Tensor


class AsObject(Body):
    def forward(self, rows):
        return Output(*self.parts(rows))


class ModelOutput(OrderedDict):
    """An output as transformers returns it: a dict with attributes and places."""

    def __getattr__(self, name):
        return self[name]

    def to_tuple(self):
        return tuple(self.values())


class AsModelOutput(Body):
    def forward(self, rows):
        hidden, logits = self.parts(rows)
        return ModelOutput(logits=logits, hidden_states=(hidden,))


class Kept(Body):
    """Keeps in itself what the next step needs, which threads must not share."""

    def forward(self, rows):
        self.kept = self.parts(rows)
        return {"hidden": self.kept[0], "logits": self.head(self.kept[0])}


def parallel():
    return nn.DataParallel(Pair())


def compiled():
    return torch.compile(Pair(), backend="eager")


class Convolutions(nn.Module):
    """Batch-norm, and a dict as torchvision's segmentation networks return it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(132)
        self.conv, self.norm = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 4)

    def logits(self, images):
        return self.head(self.norm(self.conv(images)).relu().mean((2, 3)))

    def forward(self, images):
        return {"out": self.logits(images)}


class PlainConvolutions(Convolutions):
    def forward(self, images):
        return self.logits(images)


def scripted():
    return torch.jit.script(Scripted())


class Scripted(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(10, 3)

    def forward(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        logits = self.head(rows)
        return rows, logits


def classifier(plain=False):
    """A tiny network of transformers for the classes of whole sequences."""
    from transformers import DistilBertConfig, DistilBertForSequenceClassification

    class Plain(DistilBertForSequenceClassification):
        def forward(self, symbols):
            return super().forward(symbols).logits

    torch.manual_seed(133)
    sizes = {"vocab_size": 9, "dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 16}
    sizes |= {"max_position_embeddings": 16, "initializer_range": 0.2}
    config = DistilBertConfig(**sizes, num_labels=4)
    return (Plain if plain else DistilBertForSequenceClassification)(config)


def plain_classifier():
    return classifier(plain=True)


def language_model(plain=False):
    """A tiny network of transformers for the next symbol; beside its logits it returns a cache."""
    from transformers import GPT2Config, GPT2LMHeadModel

    class Plain(GPT2LMHeadModel):
        def forward(self, symbols):
            return super().forward(symbols).logits

    torch.manual_seed(134)
    sizes = {"vocab_size": 9, "n_embd": 8, "n_layer": 1, "n_head": 2, "n_positions": 16}
    config = GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)
    return (Plain if plain else GPT2LMHeadModel)(config)


def plain_language_model():
    return language_model(plain=True)
