"""Networks that keep something from one call of a layer to the next."""

import torch
from torch import nn

SHELF = {}


def _body(seed):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 24, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(24, 24, 3, padding=1), nn.ReLU())


class Keeping(nn.Module):
    """The output of an early layer, kept by a hook, is read behind the last."""

    def __init__(self, seed):
        super().__init__()
        self.body, self.head = _body(seed), nn.Linear(48, 4)

    def joined(self, hidden, kept):
        return self.head(torch.cat([hidden, kept], 1).mean((2, 3)))


class InAttribute(Keeping):
    def __init__(self):
        super().__init__(101)
        self.body[1].register_forward_hook(lambda m, i, made: setattr(self, "skip", made))

    def forward(self, images):
        return self.joined(self.body(images), self.skip)


class InClosure(Keeping):
    def __init__(self):
        super().__init__(102)
        kept = {}
        self.body[1].register_forward_hook(lambda m, i, made: kept.update(skip=made))
        self.read = lambda: kept["skip"]

    def forward(self, images):
        return self.joined(self.body(images), self.read())


class InModule(Keeping):
    """In a dictionary of the file."""

    def __init__(self):
        super().__init__(103)
        self.body[1].register_forward_hook(lambda m, i, made: SHELF.update(skip=made))

    def forward(self, images):
        return self.joined(self.body(images), SHELF["skip"])


class InList(nn.Module):
    """A U-Net whose way down appends to a list, and whose way up pops from it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(104)
        self.down = nn.ModuleList([nn.Conv2d(1, 12, 3, padding=1), nn.Conv2d(12, 12, 3, padding=1)])
        self.up = nn.ModuleList([nn.Conv2d(24, 12, 3, padding=1), nn.Conv2d(24, 12, 3, padding=1)])
        self.head, self.skips = nn.Linear(12, 4), []

    def forward(self, images):
        for layer in self.down:
            images = layer(images).relu()
            self.skips.append(images)
        for layer in self.up:
            images = layer(torch.cat([images, self.skips.pop()], 1)).relu()
        return self.head(images.mean((2, 3)))


class InLayer(nn.Module):
    """A layer keeps what another one reads."""

    def __init__(self):
        super().__init__()
        self.body, self.head = _body(105), nn.Linear(24, 4)

    def forward(self, images):
        self.body[0].seen = images
        hidden = self.body(images)
        return self.head((hidden + self.body[0].seen).mean((2, 3)))


class HiddenReset(nn.Module):
    """A recurrent network that keeps its hidden state, and resets it for each batch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(106)
        self.cell, self.out, self.hidden = nn.LSTM(6, 16, batch_first=True), nn.Linear(16, 3), None

    def forward(self, sequences):
        self.hidden = None
        for step in range(sequences.shape[1]):
            outputs, self.hidden = self.cell(sequences[:, step : step + 1], self.hidden)
        return self.out(outputs[:, 0])


class HiddenKept(HiddenReset):
    """The same, going on from the batch before."""

    def forward(self, sequences):
        kept = self.hidden
        if kept is not None and kept[0].shape[1] != len(sequences):
            kept = None
        outputs, self.hidden = self.cell(sequences, kept)
        return self.out(outputs[:, -1])


class Cached(nn.Module):
    """Makes its mask once for a length, and keeps it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(107)
        self.lift, self.out, self.masks = nn.Linear(6, 8), nn.Linear(8, 3), {}

    def forward(self, sequences):
        length = sequences.shape[1]
        if length not in self.masks:
            self.masks[length] = torch.ones(length, length).tril()
        return self.out((self.masks[length] @ self.lift(sequences)).relu().mean(1))


class CachedWeights(nn.Module):
    """Keeps a product of its weights from the first call on: wrong at every other point."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(108)
        self.one, self.two, self.product = nn.Linear(10, 16), nn.Linear(16, 3), None

    def forward(self, rows):
        if self.product is None:
            self.product = (self.two.weight @ self.one.weight).detach()
        return rows @ self.product.T


class Encoder(nn.Module):
    """torch's own transformer, which takes a way of its own in evaluation."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(109)
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.lift, self.body, self.out = (
            nn.Linear(6, 8),
            nn.TransformerEncoder(layer, 1),
            nn.Linear(8, 3),
        )

    def forward(self, sequences):
        return self.out(self.body(self.lift(sequences)).mean(1))


def encoder():
    with torch.no_grad():
        return Encoder()
