"""The number of classes of a loss that is a plain cross-entropy, found by watching torch.

The loss of a problem is a function of the user's, which need not say what it computes. If torch's
own cross-entropy is all of it, the width of its inputs is the number of classes.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from landscape_mpi.compute.operation_watch import OperationWatch

NLL = (torch.ops.aten.nll_loss_forward.default, torch.ops.aten.nll_loss2d_forward.default)
SAME = 1e-5  # relative difference of two sums of the same losses in float32
ROWS = 64  # of the inputs, whose probabilities are added up


class CrossEntropyWatch(OperationWatch):
    """Note each cross-entropy that a loss computes: its mean and its number of classes."""

    def __init__(self) -> None:
        super().__init__()
        self._found: list[tuple[float, int | None]] = []

    def run(
        self, operation: torch._ops.OpOverload, given: tuple[Any, ...], named: dict[str, Any]
    ) -> object:
        """Run an operation, and note it if it is the last part of a cross-entropy."""
        if operation in NLL:
            inputs, targets, weights, _, ignored = given
            self._found.append(_measure(inputs, targets, weights, int(ignored)))
        return operation(*given, **named)

    def n_classes(self, pair: torch.Tensor) -> int | None:
        """Return the number of classes, or None if the loss is not one plain cross-entropy.

        Args:
            pair: Sum and count that the loss returned for the batch, float64 [2].
        """
        if len(self._found) != 1:
            return None
        (mean, n_classes), (total, count) = self._found[0], map(float, pair)
        if n_classes is None or not count or not math.isclose(total / count, mean, rel_tol=SAME):
            return None
        return n_classes


def _measure(
    inputs: torch.Tensor, targets: torch.Tensor, weights: object, ignored: int
) -> tuple[float, int | None]:
    """Return the mean of the losses, and the number of classes; None if it is not to be known.

    Args:
        inputs: Logarithms of probabilities, [n_classes] or [n, n_classes, ...].
        targets: Classes, [...].
        weights: Weights of the classes, or None.
        ignored: Targets that do not count.
    """
    axis = 0 if inputs.ndim == 1 else 1
    n_classes = inputs.shape[axis]
    rows = inputs.movedim(axis, -1).reshape(-1, n_classes)
    classes = targets.reshape(-1)
    counted = classes != ignored
    if weights is not None or n_classes < 2 or not counted.any():
        return math.nan, None
    sums = rows[:ROWS].double().exp().sum(dim=1)
    is_own = len(rows) == n_classes and torch.equal(classes, torch.arange(n_classes).to(classes))
    if is_own or not torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        return math.nan, None  # each sample is a class of its own, or these are no probabilities
    picked = rows[counted].gather(1, classes[counted][:, None])
    return float(-picked.double().mean()), n_classes
