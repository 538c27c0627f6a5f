"""Outputs and inputs of shapes that are easily taken for others."""

import torch
from torch import nn

from cases.networks import samples


def _targets(n, *shape, n_classes=4):
    return torch.randint(n_classes, (n, *shape), generator=torch.Generator().manual_seed(111))


def tagged():
    """A class for each of 12 symbols."""
    inputs = samples.tokens()["train"][0]
    return {"train": (inputs, _targets(len(inputs), 12))}


def tagged_as_many():
    """A class of 12 for each of 12 symbols."""
    inputs = samples.tokens()["train"][0]
    return {"train": (inputs, _targets(len(inputs), 12, n_classes=12))}


class Tagger(nn.Module):
    def __init__(self, n_classes, *, second):
        super().__init__()
        torch.manual_seed(112)
        self.letters, self.out = nn.Embedding(9, 8), nn.Conv1d(8, n_classes, 3, padding=1)
        self.second = second

    def forward(self, symbols):
        logits = self.out(self.letters(symbols).transpose(1, 2))
        return logits if self.second else logits.transpose(1, 2)


def classes_second():
    return Tagger(4, second=True)


def classes_last():
    return Tagger(4, second=False)


def as_many_second():
    return Tagger(12, second=True)


def as_many_last():
    return Tagger(12, second=False)


def segmented():
    inputs = samples.images()["train"][0]
    return {"train": (inputs, _targets(len(inputs), 8, 8, n_classes=3))}


def segmented_in_part():
    inputs, targets = segmented()["train"]
    targets[:, :, ::3] = 255
    return {"train": (inputs, targets)}


def segmenter():
    torch.manual_seed(113)
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))


class Protein(nn.Module):
    """Four letters, six classes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(114)
        self.letters, self.conv, self.out = (
            nn.Embedding(4, 8),
            nn.Conv1d(8, 12, 3),
            nn.Linear(12, 6),
        )

    def forward(self, symbols):
        return self.out(self.conv(self.letters(symbols).transpose(1, 2)).relu().mean(2))


class Packed(nn.Module):
    """A recurrent network over sequences whose lengths it counts itself."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(115)
        self.letters, self.cell, self.out = nn.Embedding(9, 8), nn.GRU(8, 12), nn.Linear(12, 4)

    def forward(self, symbols):
        lengths = (symbols != 0).sum(1).cpu()
        packed = nn.utils.rnn.pack_padded_sequence(
            self.letters(symbols), lengths, batch_first=True, enforce_sorted=False
        )
        return self.out(self.cell(packed)[1][-1])


class Chosen(nn.Module):
    """Reads numbers that its rows must hold: a place in each row, and whole positive values."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(116)
        self.table, self.out = nn.Embedding(5, 8), nn.Linear(8, 3)

    def forward(self, rows):
        if not bool((rows[:, 0] >= 1).all()):
            raise ValueError("the first number of a row must be 1 or more")
        return self.out(self.table(rows[:, 0].long() - 1) + rows[:, 1:2].log())


def chosen_rows():
    draw = torch.Generator().manual_seed(117)
    first = torch.randint(1, 6, (samples.N, 1), generator=draw).float()
    rows = torch.cat([first, 0.5 + torch.rand(samples.N, 3, generator=draw)], 1)
    return {"train": (rows, torch.arange(samples.N) % 3)}


def squeezed():
    """Returns a number a sample, [n]."""
    torch.manual_seed(119)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0))


class Pair(nn.Module):
    """Returns what is no tensor."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(118)
        self.body = nn.Linear(10, 3)

    def forward(self, rows):
        return self.body(rows), rows.mean()


class Named(Pair):
    def forward(self, rows):
        return {"logits": self.body(rows)}


class Total(Pair):
    """Returns one number for a batch."""

    def forward(self, rows):
        return self.body(rows).sum()


class SqueezedAll(Pair):
    """Loses the axis of the samples where there is only one."""

    def forward(self, rows):
        return self.body(rows).squeeze()


class ByKeyword(Pair):
    def forward(self, *, rows):
        return self.body(rows)
