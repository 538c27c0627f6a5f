"""Batch-norm in places where folding it would be wrong, and normalisation of other classes."""

import torch
from torch import nn
from torch.nn import functional


def spread(network):
    """Give running statistics, scales and shifts values that matter; return the network."""
    draw = torch.Generator().manual_seed(41)
    for name, tensor in [*network.named_buffers(), *network.named_parameters()]:
        if name.endswith("running_mean"):
            tensor.copy_(0.3 * torch.randn(tensor.shape, generator=draw))
        elif name.endswith("running_var"):
            tensor.copy_(0.5 + torch.rand(tensor.shape, generator=draw))
    return network


def linear_over_tokens():
    """Linear over the last axis, batch-norm over the tokens."""
    torch.manual_seed(42)
    layers = nn.Linear(6, 7), nn.BatchNorm1d(5), nn.ReLU(), nn.Flatten(), nn.Linear(35, 3)
    return spread(nn.Sequential(*layers))


def linear_over_as_many_tokens():
    """The same with as many features as tokens, where a fold would have the right shape."""
    torch.manual_seed(43)
    layers = nn.Linear(6, 5), nn.BatchNorm1d(5), nn.ReLU(), nn.Flatten(), nn.Linear(25, 3)
    return spread(nn.Sequential(*layers))


class Twice(nn.Module):
    """One convolution called twice, each time before a batch-norm of its own."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(44)
        self.stem, self.conv = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3, padding=1)
        self.one, self.two = nn.BatchNorm2d(6), nn.BatchNorm2d(6)
        self.out = nn.Linear(6, 4)
        spread(self)

    def forward(self, images):
        hidden = self.stem(images)
        hidden = self.one(self.conv(hidden)).relu()
        return self.out(self.two(self.conv(hidden)).relu().mean((2, 3)))


class OneNorm(nn.Module):
    """One batch-norm behind two convolutions."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(45)
        self.stem, self.conv, self.norm = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 6, 3), nn.BatchNorm2d(6)
        self.out = nn.Linear(6, 4)
        spread(self)

    def forward(self, images):
        hidden = self.norm(self.stem(images)).relu()
        return self.out(self.norm(self.conv(hidden)).relu().mean((2, 3)))


class BothRead(nn.Module):
    """Two layers read the output of the convolution: before and behind the batch-norm."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(46)
        self.conv, self.norm, self.out = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 4)
        spread(self)

    def forward(self, images):
        hidden = self.conv(images)
        return self.out((self.norm(hidden).relu() + hidden.abs()).mean((2, 3)))


class WeightReadToo(nn.Module):
    """The weight of a folded convolution is also read by name."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(47)
        self.conv, self.norm, self.out = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 4)
        spread(self)

    def forward(self, images):
        hidden = self.norm(self.conv(images)).relu().mean((2, 3))
        return self.out(hidden) + self.conv.weight.mean() + self.norm.running_var.mean()


class ByFunction(nn.Module):
    """F.batch_norm with the tensors of a layer that is never called."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(48)
        self.conv, self.norm, self.out = nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.Linear(6, 4)
        spread(self)

    def forward(self, images):
        norm = self.norm
        hidden = functional.batch_norm(
            self.conv(images), norm.running_mean, norm.running_var, norm.weight, norm.bias
        )
        return self.out(hidden.relu().mean((2, 3)))


class NormAndActivation(nn.BatchNorm2d):
    """A batch-norm whose forward does more."""

    def forward(self, images):
        return 0.5 * functional.elu(super().forward(images))


class Frozen(nn.Module):
    """A batch-norm of one's own, its four tensors buffers, as detection networks have it."""

    def __init__(self, n):
        super().__init__()
        for name, value in (
            ("weight", 1.2),
            ("bias", 0.1),
            ("running_mean", 0),
            ("running_var", 1),
        ):
            self.register_buffer(name, torch.full((n,), float(value)))

    def forward(self, images):
        scale = self.weight * (self.running_var + 1e-5).rsqrt()
        shift = self.bias - self.running_mean * scale
        return images * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)


def _convolutions(make_norm, seed):
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 6, 3), make_norm(6), nn.ReLU(), nn.Conv2d(6, 6, 3), make_norm(6)]
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4))


def norm_and_activation():
    return spread(_convolutions(NormAndActivation, 49))


def frozen():
    return spread(_convolutions(Frozen, 50))


def synchronised():
    return spread(_convolutions(nn.SyncBatchNorm, 51))


def plain():
    """The same as synchronised, of torch's everyday class."""
    return spread(_convolutions(nn.BatchNorm2d, 51))


def instance_with_statistics():
    return spread(
        _convolutions(lambda n: nn.InstanceNorm2d(n, affine=True, track_running_stats=True), 52)
    )


def without_statistics():
    return _convolutions(lambda n: nn.BatchNorm2d(n, track_running_stats=False), 53)


def rows_without_statistics():
    torch.manual_seed(54)
    norm = nn.BatchNorm1d(16, track_running_stats=False)
    return nn.Sequential(nn.Linear(10, 16), norm, nn.ReLU(), nn.Linear(16, 3))


class Channels(nn.Module):
    """Layer-norm over the channels, scale and shift of [1, C, 1, 1]."""

    def __init__(self, n):
        super().__init__()
        self.gain = nn.Parameter(1 + 0.2 * torch.randn(1, n, 1, 1))
        self.offset = nn.Parameter(0.2 * torch.randn(1, n, 1, 1))

    def forward(self, images):
        centered = images - images.mean(1, keepdim=True)
        return centered / (centered.square().mean(1, keepdim=True) + 1e-6).sqrt() * self.gain + (
            self.offset
        )


class Lengths(nn.Module):
    """Divides by the length of the channels; one vector, of no telling name."""

    def __init__(self, n):
        super().__init__()
        self.g = nn.Parameter(1 + 0.2 * torch.randn(n, 1, 1))

    def forward(self, images):
        return functional.normalize(images, dim=1) * self.g * len(self.g) ** 0.5


def channels():
    return _convolutions(Channels, 55)


def lengths():
    return _convolutions(Lengths, 56)


def kept_in_training():
    """A batch-norm that eval() does not reach."""
    network = plain()
    network[1].train = lambda mode=True: network[1]
    return network


def volumes():
    """Convolutions over three axes."""
    torch.manual_seed(57)
    layers = [nn.Conv3d(1, 4, 2), nn.BatchNorm3d(4), nn.ReLU(), nn.ConvTranspose3d(4, 3, 2)]
    return spread(nn.Sequential(*layers, nn.BatchNorm3d(3), nn.Flatten(), nn.Linear(192, 3)))
