"""Networks that read their weights otherwise than as an attribute of a layer."""

import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional
from torch.nn.utils import parameters_to_vector


def _body():
    torch.manual_seed(11)
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Linear(16, 3))


class Penalised(nn.Module):
    """Logits, and beside them a penalty on the weights, which the loss adds."""

    def __init__(self, penalty):
        super().__init__()
        self.body, self.penalty = _body(), penalty

    def forward(self, rows):
        logits = self.body(rows)
        return torch.cat([logits, self.penalty(self) * torch.ones_like(logits[:, :1])], dim=1)


def penalised_loss(outputs, targets):
    logits, penalty = outputs[:, :3], outputs[:, 3]
    return functional.cross_entropy(logits, targets, reduction="none") + 0.05 * penalty


def by_parameters():
    return Penalised(lambda own: sum(p.abs().sum() for p in own.parameters()))


def by_names():
    def squares(own):
        named = own.named_parameters()
        return sum(p.square().sum() for name, p in named if "bias" not in name)

    return Penalised(squares)


def by_vector():
    return Penalised(lambda own: parameters_to_vector(own.parameters()).norm())


def by_state_dict():
    return Penalised(lambda own: sum(t.abs().mean() for t in own.state_dict().values()))


def by_modules():
    def squares(own):
        layers = [m for m in own.modules() if isinstance(m, nn.Linear)]
        return sum(layer.weight.square().mean() for layer in layers)

    return Penalised(squares)


class ByState(nn.Module):
    """All of it computed from what state_dict() returns."""

    def __init__(self):
        super().__init__()
        self.body = _body()

    def forward(self, rows):
        state = self.body.state_dict()
        hidden = functional.linear(rows, state["0.weight"], state["0.bias"]).relu()
        return functional.linear(hidden, state["2.weight"], state["2.bias"])


class Called(nn.Module):
    """Calls a part of itself with tensors of its own making."""

    def __init__(self):
        super().__init__()
        self.body = _body()

    def forward(self, rows):
        halves = {name: 0.5 * p for name, p in self.body.named_parameters()}
        return self.body(rows) + functional_call(self.body, halves, (rows,))


class Flat(nn.Module):
    """All weights in one Parameter, cut up in forward."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(parameters_to_vector(_body().parameters()).detach().clone())

    def forward(self, rows):
        first, shift, second, last = self.weights.split([160, 16, 48, 3])
        hidden = functional.linear(rows, first.view(16, 10), shift).relu()
        return functional.linear(hidden, second.view(3, 16), last)


class Views(nn.Module):
    """Keeps views of one Parameter as attributes, cut up once."""

    def __init__(self):
        super().__init__()
        self.weights = nn.Parameter(parameters_to_vector(_body().parameters()).detach().clone())
        parts = self.weights.data.split([160, 16, 48, 3])
        self.first, self.shift = parts[0].view(16, 10), parts[1]
        self.second, self.last = parts[2].view(3, 16), parts[3]

    def forward(self, rows):
        hidden = functional.linear(rows, self.first, self.shift).relu()
        return functional.linear(hidden, self.second, self.last)


class Listed(nn.Module):
    """Keeps its parameters in a plain list beside the layers that own them."""

    def __init__(self):
        super().__init__()
        self.body = _body()
        self.all = [
            p for layer in self.body if isinstance(layer, nn.Linear) for p in [layer.weight]
        ]

    def forward(self, rows):
        return functional.linear(functional.linear(rows, self.all[0]).relu(), self.all[1])


class Generated(nn.Module):
    """A hypernetwork: one layer makes the weights of another."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(12)
        self.code = nn.Parameter(torch.randn(4))
        self.maker, self.out = nn.Linear(4, 160), nn.Linear(16, 3)

    def forward(self, rows):
        return self.out(functional.linear(rows, self.maker(self.code).view(16, 10)).relu())


class Closed(nn.Module):
    """A layer that only a closure knows, and no attribute but its parameters' list."""

    def __init__(self):
        super().__init__()
        body = _body()
        self.weights = nn.ParameterList(body.parameters())
        self.compute = [lambda rows: body(rows)]

    def forward(self, rows):
        return self.compute[0](rows)


class ByDictionary(nn.Module):
    """Weights in a ParameterDict, chosen by name."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(13)
        self.weights = nn.ParameterDict(
            {"in": torch.randn(16, 10) / 3, "out": torch.randn(3, 16) / 4}
        )

    def forward(self, rows):
        for name in ("in", "out"):
            rows = functional.linear(rows, self.weights[name]).tanh()
        return rows


class GradViews(Views):
    """The same views, with their history."""

    def __init__(self):
        super().__init__()
        self.first, self.shift = self.weights[:160].view(16, 10), self.weights[160:176]
        self.second, self.last = self.weights[176:224].view(3, 16), self.weights[224:]


class BufferOfWeight(nn.Module):
    """A buffer that shares the memory of a weight, and is what forward reads."""

    def __init__(self):
        super().__init__()
        self.body = _body()
        self.register_buffer("seen", self.body[0].weight.data, persistent=False)

    def forward(self, rows):
        hidden = functional.linear(rows, self.seen, self.body[0].bias).relu()
        return self.body[2](hidden)


class Transposed(nn.Module):
    """A Parameter that does not lie in memory in the order of its axes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(14)
        self.weight, self.out = nn.Parameter((torch.randn(10, 16) / 3).T), nn.Linear(16, 3)

    def forward(self, rows):
        return self.out(functional.linear(rows, self.weight).tanh())


class Clamped(nn.Module):
    """Cuts its weights in forward, in place."""

    def __init__(self):
        super().__init__()
        self.body = _body()

    def forward(self, rows):
        with torch.no_grad():
            self.body[0].weight.clamp_(-0.2, 0.2)
        return self.body(rows)


class LongLetters(nn.Module):
    """An embedding that shortens its rows in forward, in place."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(15)
        self.letters, self.out = nn.Embedding(9, 8, max_norm=1.5), nn.Linear(8, 4)

    def forward(self, symbols):
        return self.out(self.letters(symbols).mean(1))


class Temperature(nn.Module):
    """Logits times a parameter that is a single number."""

    def __init__(self):
        super().__init__()
        self.body, self.sharpness = _body(), nn.Parameter(torch.tensor(1.5))

    def forward(self, rows):
        return self.sharpness * self.body(rows)


class StaleView(nn.Module):
    """Multiplies by a row of its weight that it keeps as an attribute."""

    def __init__(self):
        super().__init__()
        self.body = _body()
        self.row = self.body[2].weight.data[0, :3]

    def forward(self, rows):
        return self.body(rows) * (1 + self.row)
