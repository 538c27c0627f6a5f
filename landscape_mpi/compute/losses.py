"""What losses make of outputs and targets: the loss of every sample, and which are wrong.

Nothing here asks the device for a value, so that a CUDA graph can hold it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

OfPair = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # of outputs and targets


def cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of classes, nat.

    It is made in float64: where a network is sure of itself, the loss is the small difference of
    two large numbers, of which float32 leaves few digits.

    Args:
        outputs: Logits, float32 [..., n_classes].
        targets: Class numbers, int64 [...].

    Returns:
        float32 [...].
    """
    logits = outputs.flatten(0, -2).double()
    losses = functional.cross_entropy(logits, targets.flatten(), reduction="none")
    return losses.float().view_as(targets)


def mse(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return squared errors: of numbers, or the mean over the outputs from one-hot classes.

    Their mean over all samples is what torch.nn.MSELoss gives.

    Args:
        outputs: float32 with as many numbers as the targets, or [..., n_classes].
        targets: Numbers, float32 [...], or class numbers, int64 [...].

    Returns:
        float32 [...].
    """
    if targets.is_floating_point():
        return (outputs.reshape(targets.shape) - targets).square()
    classes = torch.arange(outputs.shape[-1], device=outputs.device)
    one_hot = (targets.unsqueeze(-1) == classes).to(outputs.dtype)
    return (outputs - one_hot).square().mean(dim=-1)


def bce(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the binary cross-entropy of logits, nat.

    Args:
        outputs: Logits of class 1, float32 with as many numbers as the targets.
        targets: From 0 to 1, any type [...].

    Returns:
        float32 [...].
    """
    return functional.binary_cross_entropy_with_logits(
        outputs.reshape(targets.shape), targets.to(outputs.dtype), reduction="none"
    )


def largest_is_wrong(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return whether the largest output [..., n_classes] is another than the target, bool [...]."""
    return outputs.argmax(dim=-1) != targets


def sign_is_wrong(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return whether a logit lies on the wrong side of 0, bool [...]."""
    return (outputs.reshape(targets.shape) > 0) != (targets > 0.5)


FUNCTIONS: dict[str, OfPair] = {"cross_entropy": cross_entropy, "mse": mse, "bce": bce}
UNITS = {"cross_entropy": "nat", "bce": "nat"}  # of others 1
ERRORS: dict[str, OfPair] = {"largest output": largest_is_wrong, "sign": sign_is_wrong}


@dataclass(frozen=True)
class Loss:
    """A loss, and what is called an error beside it."""

    of_samples: OfPair  # float [n], or of the shape of the targets
    error: str | None = None  # a key of ERRORS; None where there is no such thing

    def wrong(
        self, outputs: torch.Tensor, targets: torch.Tensor, losses: torch.Tensor
    ) -> torch.Tensor | bool:
        """Return which targets are missed, bool of their shape; not-a-number is a miss.

        Args:
            outputs: float32.
            targets: Of so many samples.
            losses: What of_samples made of the two.
        """
        if self.error is None:
            return False
        unknown = losses.isnan().view(-1, *[1] * (targets.ndim - 1))
        if losses.shape == targets.shape:
            unknown = losses.isnan()
        return ERRORS[self.error](outputs, targets) | unknown


CROSS_ENTROPY = Loss(cross_entropy, "largest output")
