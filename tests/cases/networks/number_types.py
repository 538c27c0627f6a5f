"""Networks of other types and places than float32 on the CPU."""

import torch
from torch import nn


def _mlp(n_in, n_out, **kind):
    torch.manual_seed(131)
    layers = nn.Linear(n_in, 16, **kind), nn.Tanh(), nn.Linear(16, n_out, **kind)
    return nn.Sequential(*layers)


def double():
    return _mlp(2, 1, dtype=torch.float64)


class Mixed(nn.Module):
    """Computes a part of it in float64."""

    def __init__(self):
        super().__init__()
        self.body, self.exact = _mlp(2, 4), nn.Linear(4, 1, dtype=torch.float64)

    def forward(self, rows):
        return self.exact(self.body(rows).double())


class Lower(nn.Module):
    """A network of lower precision, which casts what it takes."""

    def __init__(self, dtype):
        super().__init__()
        self.body = _mlp(10, 3, dtype=dtype)

    def forward(self, rows):
        return self.body(rows.to(self.body[0].weight.dtype))


def half():
    return Lower(torch.float16)


def brain():
    return Lower(torch.bfloat16)


class Complex(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(132)
        self.weight = nn.Parameter(torch.randn(3, 10, dtype=torch.complex64))

    def forward(self, rows):
        return (rows.to(torch.complex64) @ self.weight.T).abs()


def untrained():
    """Nothing requires a gradient."""
    return _mlp(10, 3).requires_grad_(False)


class NoParameters(nn.Module):
    def forward(self, rows):
        return rows[:, :3]


class Whole(nn.Module):
    """A parameter of whole numbers."""

    def __init__(self):
        super().__init__()
        self.body = _mlp(10, 3)
        self.order = nn.Parameter(torch.tensor([2, 0, 1]), requires_grad=False)

    def forward(self, rows):
        return self.body(rows)[:, self.order]


def meta():
    return _mlp(10, 3, device="meta")


class ToCuda(nn.Module):
    """Puts what it takes on a device that may not be there."""

    def __init__(self):
        super().__init__()
        self.body = _mlp(10, 3)

    def forward(self, rows):
        return self.body(rows.to("cuda:0")).cpu()


def on_cuda():
    return _mlp(10, 3, device="cuda:99")


class DoubleOut(nn.Module):
    """Logits of another type than the weights."""

    def __init__(self):
        super().__init__()
        self.body = _mlp(10, 3)

    def forward(self, rows):
        return self.body(rows).double().log_softmax(-1)


class HalfInside(Lower):
    """A part in float16, which forward knows."""

    def __init__(self):
        super().__init__(torch.float16)

    def forward(self, rows):
        return self.body(rows.half())
