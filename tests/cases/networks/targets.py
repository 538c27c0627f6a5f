"""Losses and targets with conventions of their own."""

import torch
from torch import nn
from torch.nn import functional

from cases.networks import samples

WEIGHTS = torch.tensor([1.0, 5.0, 20.0])


def linear():
    torch.manual_seed(121)
    return nn.Linear(10, 3)


def weighted(outputs, targets):
    return functional.cross_entropy(outputs, targets, weight=WEIGHTS, reduction="none")


def ignoring(outputs, targets):
    return functional.cross_entropy(outputs, targets, reduction="none")


def rows_in_part():
    """Every third class is not known: -100."""
    inputs, targets = samples.rows()["train"]
    targets = targets.clone()
    targets[::3] = -100
    return {"train": (inputs, targets)}


def rows_without():
    """One negative number that nobody has said does not count."""
    inputs, targets = samples.rows()["train"]
    targets = targets.clone()
    targets[3] = -7
    return {"train": (inputs, targets)}


def density():
    torch.manual_seed(122)
    return nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 2))


def likelihood(outputs, targets):
    variance = (outputs[:, 1] - 3).exp()
    return functional.gaussian_nll_loss(
        outputs[:, 0], targets, variance, eps=1e-8, reduction="none"
    )


class Autoencoder(nn.Module):
    """The decoder's weight was made of the encoder's, and is a Parameter of its own."""

    def __init__(self, *, tied):
        super().__init__()
        torch.manual_seed(123)
        self.encoder, self.decoder = nn.Linear(8, 4, bias=False), nn.Linear(4, 8, bias=False)
        with torch.no_grad():
            if tied:
                self.decoder.weight.data = self.encoder.weight.data.T
            else:
                self.decoder.weight.copy_(self.encoder.weight.T)

    def forward(self, rows):
        return self.decoder(self.encoder(rows).tanh())


def copied():
    return Autoencoder(tied=False)


def tied_by_data():
    return Autoencoder(tied=True)


class OneParameter(nn.Module):
    """Input and output letters share one Parameter."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(124)
        self.letters, self.mix = nn.Embedding(9, 8), nn.Linear(8, 8)
        self.out = nn.Linear(8, 9, bias=False)
        self.out.weight = self.letters.weight

    def forward(self, symbols):
        return self.out(self.mix(self.letters(symbols)).tanh())


def following():
    inputs = samples.tokens()["train"][0]
    return {"train": (inputs, inputs.roll(1, 1))}


def language(outputs, targets):
    return functional.cross_entropy(outputs.transpose(1, 2), targets, reduction="none")


def linear_of_four():
    torch.manual_seed(125)
    return nn.Linear(4, 3)


def language_of_any(outputs, targets):
    """The loss of each place, wherever of the two axes four classes lie."""
    outputs = outputs if outputs.shape[1] == 4 else outputs.transpose(1, 2)
    return functional.cross_entropy(outputs, targets, reduction="none")


def one_hot():
    inputs, targets = samples.rows()["train"]
    return {"train": (inputs, functional.one_hot(targets, 3))}


def in_place(outputs, targets):
    """Changes what it is given: outputs of -z, and classes in the opposite order."""
    outputs.neg_()
    targets.neg_().add_(2)
    return functional.cross_entropy(outputs, targets, reduction="none")
