"""Networks whose forward takes another way with another call, argument or value."""

import torch
from torch import nn
from torch.nn import functional


class Attention(nn.Module):
    def __init__(self, masked_by="mask"):
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(8, 8) for _ in range(3))

    def forward(self, x, mask=None, *, scale=None):
        scores = self.query(x) @ self.key(x).transpose(-2, -1)
        scores = scores / 8**0.5 if scale is None else scores * scale
        if mask is not None:
            scores = scores.masked_fill(~mask, -torch.inf)
        return x + scores.softmax(-1) @ self.value(x)


class Masked(nn.Module):
    """forward(x, mask=None), and so its only block."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(21)
        self.lift, self.block, self.out = nn.Linear(6, 8), Attention(), nn.Linear(8, 3)

    def forward(self, x, mask=None):
        return self.out(self.block(self.lift(x), mask).mean(1))


class InnerMasked(Masked):
    def forward(self, x):
        return self.out(self.block(self.lift(x)).mean(1))


class Keywords(Masked):
    """Blocks that are called by keywords alone, some of which have no other form."""

    def forward(self, x):
        return self.out(self.block(x=self.lift(x), mask=None, scale=0.25).mean(1))


class MaskedByData(Masked):
    """The mask is made of the samples."""

    def forward(self, x, mask=None):
        if mask is None:
            mask = (x[..., 0] > -0.5)[:, None, :] | torch.eye(x.shape[1], dtype=torch.bool)
        return super().forward(x, mask)


class Gated(nn.Module):
    """A branch on the value of a weight: other points of the plane take the other one."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(22)
        self.first, self.second = nn.Linear(10, 16), nn.Linear(16, 3)

    def forward(self, rows):
        hidden = self.first(rows)
        if float(self.first.weight[0, 0]) > float(self.first.weight[1, 1]):
            hidden = hidden.relu()
        else:
            hidden = hidden.sin()
        return self.second(hidden)


class Deep(nn.Module):
    """As many steps as a norm of the weights says."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(23)
        self.first, self.step, self.out = nn.Linear(10, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, rows):
        hidden = self.first(rows)
        for _ in range(1 + int(4 * self.step.weight.abs().mean())):
            hidden = hidden + self.step(hidden).tanh()
        return self.out(hidden)


class Where(nn.Module):
    """Each sample takes its own branch."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(24)
        self.left, self.right = nn.Linear(10, 3), nn.Linear(10, 3)

    def forward(self, rows):
        outputs = rows.new_zeros(len(rows), 3)
        chosen = rows[:, 0] > 0
        outputs[chosen] = self.left(rows[chosen])
        outputs[~chosen] = self.right(rows[~chosen])
        return outputs


class ByTraining(nn.Module):
    """Asks whether it is training, as networks with auxiliary heads do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(25)
        self.body, self.head, self.auxiliary = nn.Linear(10, 16), nn.Linear(16, 3), nn.Linear(16, 3)

    def forward(self, rows):
        hidden = self.body(rows).relu()
        if self.training:
            return self.head(hidden), self.auxiliary(hidden)
        return self.head(hidden)


class Shaped(nn.Module):
    """Heads split and joined as einops does, from the shape of the batch at hand."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(26)
        self.lift, self.out = nn.Linear(6, 12), nn.Linear(12, 3)

    def forward(self, x):
        n, length, _ = x.shape
        heads = self.lift(x).reshape(n, length, 3, 4).permute(0, 2, 1, 3)
        scores = torch.einsum("nhic,nhjc->nhij", heads, heads).softmax(-1)
        mixed = torch.einsum("nhij,nhjc->nihc", scores, heads).reshape(n, length, 12)
        positions = torch.arange(length, device=x.device) / length
        return self.out((mixed * positions[:, None]).sum(1))


class AnyNumber(nn.Module):
    """forward(*inputs, **options)."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(27)
        self.body = nn.Linear(10, 3)

    def forward(self, *inputs, **options):
        return options.get("scale", 1.0) * self.body(inputs[0])


class Differentiated(nn.Module):
    """Logits are derivatives of an energy by the input, as of a force field."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(28)
        self.energy = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, rows):
        with torch.enable_grad():
            rows = rows.detach().requires_grad_()
            (force,) = torch.autograd.grad(self.energy(rows).sum(), rows, create_graph=True)
        return 3 * force[:, :3]


class Solved(nn.Module):
    """A linear system in forward, and a loop that ends when it has converged."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(29)
        self.matrix, self.out = nn.Parameter(0.1 * torch.randn(10, 10)), nn.Linear(10, 3)

    def forward(self, rows):
        inside = torch.linalg.solve(torch.eye(10) + 0.2 * self.matrix, rows.T).T
        state = torch.zeros_like(rows)
        for _ in range(200):
            following = torch.tanh(0.3 * functional.linear(state, self.matrix) + inside)
            if torch.allclose(following, state, atol=1e-9):
                break
            state = following
        return self.out(state)


class Hooked(nn.Module):
    """Hooks that change what a layer takes and gives."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(30)
        self.conv, self.norm = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6)
        self.out = nn.Linear(6, 4)
        self.norm.running_mean.normal_()
        self.norm.running_var.uniform_(0.5, 2)
        self.conv.register_forward_hook(lambda layer, given, made: made + 0.5)
        self.conv.register_forward_pre_hook(lambda layer, given: (2 * given[0],))
        self.norm.register_forward_hook(lambda layer, given, made: made * 1.5)
        self.register_forward_hook(lambda layer, given, made: made - 0.1)

    def forward(self, images):
        return self.out(self.norm(self.conv(images)).relu().mean((2, 3)))


class Longest(nn.Module):
    """Shrinks its outputs where all weights together are long, as they are at some points."""

    LIMIT = 3.69

    def __init__(self):
        super().__init__()
        torch.manual_seed(201)
        self.body = nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 3))

    def forward(self, rows):
        length = torch.cat([p.detach().flatten() for p in self.parameters()]).norm()
        return self.body(rows) * (0.5 if length > self.LIMIT else 1.0)


class Cut(nn.Module):
    """Replaces large inputs, if what it takes is a tensor with such values."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(202)
        layers = nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)
        self.body = nn.Sequential(*layers)

    def forward(self, rows):
        if isinstance(rows, torch.Tensor) and bool((rows > 2.5).any()):
            rows = rows.where(rows <= 2.5, 0.5)
        return self.body(rows)


class CutOrNot(Cut):
    def forward(self, rows):
        try:
            is_large = (rows > 2.5).any(1, keepdim=True) if len(rows) else None
        except Exception:
            is_large = None
        return self.body(rows if is_large is None else rows.where(~is_large, 0.1))


class ByGradients(Longest):
    """Gives other outputs where torch records gradients."""

    def forward(self, rows):
        return self.body(rows) * (1.0 if torch.is_grad_enabled() else 2.0)


class EarlyExit(nn.Module):
    """Ends early where all samples of the batch are far from clear: away from the center."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(206)
        self.first, self.rest = nn.Linear(10, 3), nn.Linear(10, 3)

    def forward(self, rows):
        outputs = self.first(rows)
        if outputs.softmax(1).max() < 0.755:
            return outputs
        return outputs + self.rest(rows)
