"""Compute the loss of every sample from outputs and targets, and which samples are wrong.

Nothing here reads a value back from the device, so a CUDA graph can record it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional

Tensors = torch.Tensor | tuple[torch.Tensor, torch.Tensor]
OfPair = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # function of outputs and targets
WithWeights = Callable[[torch.Tensor, torch.Tensor], Tensors]


def cross_entropy(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the cross-entropy of classes, nat.

    It is computed in float64: if a network is confident, the loss is the small difference of two
    large numbers, and float32 would keep few of its digits.

    Args:
        outputs: Logits, float32 or float64 [..., n_classes].
        targets: Class numbers, int64 [...].

    Returns:
        float32 [...], or float64 for float64 outputs.
    """
    logits = outputs.flatten(0, -2).double()
    losses = functional.cross_entropy(logits, targets.flatten(), reduction="none")
    return _as_precise_as(outputs, losses).view_as(targets)


def _as_precise_as(outputs: torch.Tensor, losses: torch.Tensor) -> torch.Tensor:
    """Return float64 losses in float32, unless the outputs are float64 too."""
    return losses if outputs.dtype == torch.float64 else losses.float()


def mse(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return squared errors of numbers, or their mean over the outputs for one-hot classes.

    Their mean over all samples equals torch.nn.MSELoss.

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
    """Return whether the largest output [..., n_classes] differs from the target, bool [...]."""
    return outputs.argmax(dim=-1) != targets


def sign_is_wrong(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return whether a logit lies on the wrong side of 0, bool [...]."""
    return (outputs.reshape(targets.shape) > 0) != (targets > 0.5)


FUNCTIONS: dict[str, OfPair] = {"cross_entropy": cross_entropy, "mse": mse, "bce": bce}
UNITS = {"cross_entropy": "nat", "bce": "nat"}  # the unit of any other loss is 1
ERRORS: dict[str, OfPair] = {"largest output": largest_is_wrong, "sign": sign_is_wrong}


@dataclass(frozen=True)
class Loss:
    """Describe a loss, the targets that count in its mean, and the related error.

    The classes lie along axis 1 of the outputs or along the last, as ``class_axis`` says; the
    functions of this file see them last.
    """

    of_samples: WithWeights  # float [n], or in the targets' shape; a user's also gives weights
    error: str | None = None  # a key of ERRORS; None if the loss has no error
    class_axis: int = -1  # 1 or -1
    ignored: int | None = None  # target that is ignored
    class_weights: tuple[float, ...] | None = None
    own: bool = False  # whether of_samples is the user's and gets outputs and targets unchanged
    label_smoothing: float = 0.0  # for the cross-entropy: share of the target given to all classes

    def measure(
        self, outputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | bool, torch.Tensor | None]:
        """Return losses, misses and weights; see weighted and wrong."""
        losses, weights = self.weighted(outputs, targets)
        return losses, self.wrong(outputs, targets, losses), weights

    def weighted(
        self, outputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return losses and their weights; the mean is sum of losses / sum of weights.

        Args:
            outputs: Outputs for n samples, float32.
            targets: Targets of the same samples.

        Returns:
            Losses, float [n] or in the shape of the targets, and weights of the same shape; None if
            each weight is 1. An ignored target has 0 in both.
        """
        counted = self.counted(targets)
        valid = targets if counted is None else targets.where(counted, 0)
        if self.own:
            found = self.of_samples(outputs, targets)
        else:
            found = self.of_samples(self.classes_last(outputs), valid)
        losses, weights = found if isinstance(found, tuple) else (found, None)
        if self.class_weights is not None:
            weights = _on_device(self.class_weights, losses.device)[valid]
            losses = losses * weights
        if self.label_smoothing:
            losses = self._smoothed(losses, outputs)
        if counted is None or counted.shape != losses.shape:
            return losses, weights
        weights = torch.ones_like(losses) if weights is None else weights
        return losses.where(counted, 0), weights.where(counted, 0)

    def _smoothed(self, losses: torch.Tensor, outputs: torch.Tensor) -> torch.Tensor:
        """Return (1 - s) times the losses, plus s times the mean of w_c (-log p_c) over classes c.

        Args:
            losses: Cross-entropies times the weights of their targets, float32 or float64 [...].
            outputs: Logits, with the classes along class_axis.

        Returns:
            float32 [...], or float64 for float64 outputs.

        Source: Szegedy et al. 2016, arXiv:1512.00567, section 7; the weights of classes as in
        torch.nn.CrossEntropyLoss.
        """
        of_all = -torch.log_softmax(self.classes_last(outputs).double(), dim=-1)
        if self.class_weights is not None:
            of_all = of_all * _on_device(self.class_weights, outputs.device)
        s = self.label_smoothing
        return _as_precise_as(outputs, (1 - s) * losses.double() + s * of_all.mean(dim=-1))

    def summed(
        self, outputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | int]:
        """Return the sum of the losses of some samples, float64, and the sum of their weights."""
        losses, weights = self.weighted(outputs, targets)
        return losses.double().sum(), losses.numel() if weights is None else weights.double().sum()

    def summed_quickly(
        self, outputs: torch.Tensor, targets: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor | int]:
        """Return the same; compute and sum a cross-entropy in the type of the outputs."""
        if self.of_samples is not cross_entropy:
            return self.summed(outputs, targets)
        weights = self.class_weights
        loss = functional.cross_entropy(
            self.classes_last(outputs).flatten(0, -2),
            targets.flatten(),
            weight=None if weights is None else _on_device(weights, outputs.device).to(outputs),
            ignore_index=-100 if self.ignored is None else self.ignored,
            label_smoothing=self.label_smoothing,
            reduction="sum",
        )
        return loss, self._total_weight(targets)

    def _total_weight(self, targets: torch.Tensor) -> torch.Tensor | int:
        """Return the sum of the weights of cross-entropies."""
        counted = self.counted(targets)
        if self.class_weights is None:
            return targets.numel() if counted is None else counted.sum()
        valid = targets if counted is None else targets.where(counted, 0)
        weights = _on_device(self.class_weights, targets.device)[valid].double()
        return weights.sum() if counted is None else weights.where(counted, 0).sum()

    def counted(self, targets: torch.Tensor) -> torch.Tensor | None:
        """Return which targets count, bool in their shape; None if all do."""
        return None if self.ignored is None else targets != self.ignored

    def classes_last(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return the outputs with the axis of their classes last."""
        return outputs if self.class_axis == -1 else outputs.movedim(self.class_axis, -1)

    def wrong(
        self, outputs: torch.Tensor, targets: torch.Tensor, losses: torch.Tensor
    ) -> torch.Tensor | bool:
        """Return which targets are missed, bool in their shape; NaN is a miss.

        Args:
            outputs: float32.
            targets: Targets of as many samples.
            losses: Result of of_samples for the two.
        """
        if self.error is None:
            return False
        unknown = losses.isnan().view(-1, *[1] * (targets.ndim - 1))
        if losses.shape == targets.shape:
            unknown = losses.isnan()
        wrong = ERRORS[self.error](self.classes_last(outputs), targets) | unknown
        counted = self.counted(targets)
        return wrong if counted is None else wrong & counted


@functools.cache
def _on_device(weights: tuple[float, ...], device: torch.device) -> torch.Tensor:
    # Kept for later passes as well; some of these are differentiated.
    with torch.inference_mode(False):
        return torch.tensor(weights, dtype=torch.float32, device=device)


CROSS_ENTROPY = Loss(cross_entropy, "largest output")
