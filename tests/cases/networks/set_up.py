"""Networks for which the order counts: built, weights loaded in training mode, then eval()."""

import copy

import torch
from torch import nn
from torch.nn import functional


class Merging(nn.Module):
    """The product of down and up, which eval() merges into the weight."""

    def train(self, mode=True):
        super().train(mode)
        if mode == self.merged:
            change = self.up.data @ self.down.data
            self.weight.data += -change if mode else change
            self.merged = not mode
        return self


class LowRank(Merging):
    """A frozen weight and a trained product of rank 2, merged by eval() as adapters do."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) / n_in**0.5, requires_grad=False)
        self.down = nn.Parameter(torch.randn(2, n_in) / n_in**0.5)
        self.up = nn.Parameter(torch.randn(n_out, 2))
        self.merged = False

    def forward(self, rows):
        outputs = functional.linear(rows, self.weight)
        return outputs if self.merged else outputs + rows @ self.down.T @ self.up.T


def low_rank():
    torch.manual_seed(61)
    return nn.Sequential(LowRank(10, 16), nn.Tanh(), LowRank(16, 3))


class Fused(nn.Module):
    """Two branches that eval() makes one weight of, kept as a plain attribute."""

    def __init__(self, n_in, n_out):
        super().__init__()
        self.one = nn.Parameter(torch.randn(n_out, n_in) / n_in**0.5)
        self.two = nn.Parameter(torch.randn(n_out, n_in) / n_in**0.5)
        self.sum = None

    def train(self, mode=True):
        self.sum = None if mode else (self.one * self.two.exp()).detach()
        return super().train(mode)

    def forward(self, rows):
        weight = self.one * self.two.exp() if self.sum is None else self.sum
        return functional.linear(rows, weight)


def fused():
    torch.manual_seed(62)
    return nn.Sequential(Fused(10, 16), nn.Tanh(), Fused(16, 3))


class Deployed(nn.Module):
    """Replaces its batch-norm by one convolution when eval() is called, as RepVGG's deployment."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(63)
        self.conv, self.norm = nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6)
        self.out = nn.Linear(6, 4)
        self.deployed = None

    def train(self, mode=True):
        super().train(mode)
        self.deployed = None
        if not mode:
            scale = (self.norm.weight / (self.norm.running_var + self.norm.eps).sqrt()).detach()
            weight = self.conv.weight.detach() * scale.view(-1, 1, 1, 1)
            shift = self.norm.bias.detach() - self.norm.running_mean * scale
            self.deployed = [weight, shift]
        return self

    def forward(self, images):
        if self.deployed is None:
            hidden = self.norm(self.conv(images))
        else:
            hidden = functional.conv2d(images, *self.deployed)
        return self.out(hidden.relu().mean((2, 3)))


def _mlp(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(10, 16), nn.Tanh(), nn.Linear(16, 3))


class Copies(nn.Module):
    """state_dict() returns copies: what is copied into them goes nowhere."""

    def __init__(self):
        super().__init__()
        self.body = _mlp(64)

    def forward(self, rows):
        return self.body(rows)

    def state_dict(self, *args, **kwargs):
        return copy.deepcopy(super().state_dict(*args, **kwargs))


def copies_by_hook():
    network = _mlp(65)

    def copy_all(module, state, prefix, metadata):
        for name in list(state):
            state[name] = state[name].clone()

    network.register_state_dict_post_hook(copy_all)
    return network


class Renames(nn.Module):
    """Writes its weights under other names than its own, and reads both."""

    def __init__(self):
        super().__init__()
        self.body = _mlp(66)
        self.register_state_dict_post_hook(self._write)
        self.register_load_state_dict_pre_hook(self._read)

    def forward(self, rows):
        return self.body(rows)

    @staticmethod
    def _write(module, state, prefix, metadata):
        for name in [name for name in state if name.startswith(f"{prefix}body.")]:
            state[name.replace("body.", "old_")] = state.pop(name)

    @staticmethod
    def _read(module, state, prefix, *others):
        for name in [name for name in state if name.startswith(f"{prefix}old_")]:
            state[name.replace("old_", "body.")] = state.pop(name)


class Transposing(nn.Module):
    """Keeps its weight transposed in files, by _load_from_state_dict and _save_to_state_dict."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(67)
        self.weight = nn.Parameter(torch.randn(10, 10) / 3)
        self.out = nn.Linear(10, 3)

    def forward(self, rows):
        return self.out(functional.linear(rows, self.weight).tanh())

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}weight"] = destination[f"{prefix}weight"].T

    def _load_from_state_dict(self, state, prefix, *others):
        state[f"{prefix}weight"] = state[f"{prefix}weight"].T
        super()._load_from_state_dict(state, prefix, *others)


class Scaled(nn.Module):
    """A number that its state dict holds as extra state, which training changes."""

    def __init__(self):
        super().__init__()
        self.body, self.scale = _mlp(68), 1.0

    def forward(self, rows):
        if self.training:
            self.scale *= 1.05
        return self.scale * self.body(rows)

    def get_extra_state(self):
        return {"scale": self.scale}

    def set_extra_state(self, state):
        self.scale = state["scale"]


class Grows(nn.Module):
    """A buffer that training registers, and loading too."""

    def __init__(self):
        super().__init__()
        self.body = _mlp(69)
        self.register_buffer("shift", None)

    def forward(self, rows):
        if self.training:
            self.shift = torch.tensor([0.5, 0.0, -0.5])
        return self.body(rows) if self.shift is None else self.body(rows) + self.shift

    def _load_from_state_dict(self, state, prefix, *others):
        if f"{prefix}shift" in state:
            self.shift = torch.zeros_like(state[f"{prefix}shift"])
        super()._load_from_state_dict(state, prefix, *others)


def lazy_linear():
    torch.manual_seed(70)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))


def lazy_all():
    torch.manual_seed(71)
    layers = [nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU(), nn.LazyConv2d(6, 3)]
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.LazyLinear(4))


class MadeInForward(nn.Module):
    """Builds a layer when it is first called."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(72)
        self.body, self.head = nn.Linear(10, 16), None

    def forward(self, rows):
        hidden = self.body(rows).relu()
        if self.head is None:
            torch.manual_seed(73)
            self.head = nn.Linear(hidden.shape[1], 3)
        return self.head(hidden)


class FusedByHook(nn.Module):
    """A product of two weights that a hook makes when they are loaded."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(203)
        self.one, self.two = nn.Linear(10, 16, bias=False), nn.Linear(16, 3, bias=False)
        self.fuse()
        self.register_load_state_dict_post_hook(lambda module, keys: module.fuse())

    def fuse(self):
        self.product = (self.two.weight @ self.one.weight).detach()

    def forward(self, rows):
        if self.training:
            return self.two(self.one(rows))
        return functional.linear(rows, self.product)


class FusedByLoading(FusedByHook):
    """The same in a load_state_dict of its own."""

    def __init__(self):
        super().__init__()
        self._load_state_dict_post_hooks.clear()

    def load_state_dict(self, *args, **kwargs):
        found = super().load_state_dict(*args, **kwargs)
        self.fuse()
        return found


class Versioned(nn.Module):
    """Reads files of its first version, which stored twice the weight."""

    _version = 2

    def __init__(self):
        super().__init__()
        torch.manual_seed(204)
        self.weight, self.out = nn.Parameter(torch.randn(16, 10) / 3), nn.Linear(16, 3)

    def forward(self, rows):
        return self.out(functional.linear(rows, self.weight).tanh())

    def _load_from_state_dict(self, state, prefix, metadata, *others):
        if metadata.get("version", 1) < 2:
            state[f"{prefix}weight"] = state[f"{prefix}weight"] / 2
        super()._load_from_state_dict(state, prefix, metadata, *others)


def versioned_part():
    """The same inside another network."""
    return nn.Sequential(Versioned(), nn.Linear(3, 3))


class Measuring(nn.Module):
    """Keeps the lengths of its weights in a buffer, and measures them when the mode changes."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(205)
        self.one, self.two = nn.Linear(10, 16), nn.Linear(16, 3)
        self.register_buffer("lengths", self.one.weight.detach().norm(dim=1))

    def train(self, mode=True):
        super().train(mode)
        self.lengths = self.one.weight.detach().norm(dim=1)
        return self

    def forward(self, rows):
        return self.two((self.one(rows) / self.lengths).tanh())
