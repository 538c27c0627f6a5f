"""Draw initial weights of networks with rectifiers."""

from __future__ import annotations

from torch import nn


def draw_initial_weights(module: nn.Module) -> None:
    """Draw the weights of a convolution or linear layer; for ``network.apply``.

    Source: He et al. 2015, arXiv:1502.01852: variance 2 / fan-in.
    """
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
