"""Networks that ask how their tensors lie in memory, or count on it."""

import torch
from torch import nn


class Viewed(nn.Module):
    """.view between convolutions and the classifier, as tutorials have it."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(91)
        self.one, self.two, self.out = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3), nn.Linear(96, 4)

    def forward(self, images):
        hidden = torch.relu(self.two(torch.relu(self.one(images))))
        return self.out(hidden.view(-1, 96))


class Shuffled(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(92)
        self.conv, self.shuffle, self.out = (
            nn.Conv2d(3, 8, 3),
            nn.PixelShuffle(2),
            nn.Linear(288, 4),
        )

    def forward(self, images):
        hidden = self.shuffle(self.conv(images))
        n, channels, height, width = hidden.shape
        hidden = hidden.view(n, channels, height // 2, 2, width // 2, 2)
        return self.out(hidden.permute(0, 1, 3, 5, 2, 4).contiguous().view(n, -1))


class Strided(nn.Module):
    """Windows cut out with strides that hold for channels first."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(93)
        self.conv, self.out = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(64, 4)

    def forward(self, images):
        hidden = self.conv(images)
        windows = torch.as_strided(hidden, (len(images), 4, 16), (4 * 64, 64, 4))
        return self.out(windows.reshape(len(images), -1))


class AsksStrides(nn.Module):
    """Computes with the strides that it finds."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(94)
        self.conv, self.out = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def forward(self, images):
        hidden = self.conv(images)
        return self.out(hidden.mean((2, 3))) * (1 + hidden.stride()[1] / 36)


class AsksFormat(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(95)
        self.conv, self.out = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def forward(self, images):
        hidden = self.conv(images)
        if hidden.is_contiguous(memory_format=torch.channels_last):
            hidden = hidden.flip(1)
        return self.out(hidden.amax((2, 3)))


class AsksWeights(nn.Module):
    """Views the weight of its convolution as one long row."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(96)
        self.conv, self.out = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def forward(self, images):
        return self.out(self.conv(images).mean((2, 3))) + self.conv.weight.view(-1)[5:9]


class InPlace(nn.Module):
    """Changes its input, as networks that normalise pixels themselves do."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(97)
        self.conv, self.out = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

    def forward(self, images):
        images.sub_(0.3).mul_(1.5)
        return self.out(self.conv(images).relu_().mean((2, 3)))


class InPlaceRows(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(98)
        self.out = nn.Linear(10, 3)

    def forward(self, rows):
        rows[:, 0] += 1.0
        return self.out(rows.clamp_(-1, 1))
