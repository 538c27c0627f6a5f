"""The values of single samples or batches, whose sums give the quantities of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class UnitValues:
    """Sums and counts of some samples or batches; a quantity is total sum / total count."""

    sums: np.ndarray  # float64 [n_quantities, n]
    counts: np.ndarray  # targets, weights or samples in each sum, float64 [n_quantities, n]
    totals: np.ndarray  # totals of the sums, as an exact run computes them, float64 [n_quantities]
    total_counts: np.ndarray  # float64 [n_quantities]


def values_of_samples(
    kept: Sequence[torch.Tensor], n_samples: int, *, has_error: bool
) -> UnitValues:
    """Return loss and error, percent, of each sample.

    Args:
        kept: Losses, misses, and perhaps weights and counted targets; see ResidentSplit.kept. Each
            may be flattened.
        n_samples: Number of samples.
        has_error: Whether the loss has an error beside it.
    """
    losses, wrong, *others = kept
    weights, counted = others or (torch.ones_like(losses), torch.ones_like(wrong))
    return _together(
        ((losses, weights, 1), (wrong, counted, 100))[: 2 if has_error else 1], n_samples
    )


def values_of_batches(kept: Sequence[torch.Tensor]) -> UnitValues:
    """Return the value of each function of a problem for each batch.

    Args:
        kept: Sum and count of each function in turn, float64 [n_batches]; see ProblemSplit.kept.
    """
    pairs = zip(kept[0::2], kept[1::2], strict=True)
    return _together([(sums, counts, 1) for sums, counts in pairs], len(kept[0]))


def _together(quantities: Sequence[tuple[torch.Tensor, torch.Tensor, int]], n: int) -> UnitValues:
    sums = [factor * _of_units(values, n) for values, _, factor in quantities]
    counts = [_of_units(values, n) for _, values, _ in quantities]
    # Added up on the device, as mean_values does: one portion of all samples gives the same bits.
    totals = [factor * _total(values) for values, _, factor in quantities]
    total_counts = [_total(values) for _, values, _ in quantities]
    return UnitValues(
        np.stack(sums), np.stack(counts), np.array(totals), np.array(total_counts, dtype=float)
    )


def _of_units(values: torch.Tensor, n: int) -> np.ndarray:
    """Return the sum of each sample's values, float64 [n]."""
    return np.asarray(values.double().reshape(n, -1).sum(dim=1).cpu().numpy())


def _total(values: torch.Tensor) -> float:
    return float(values.sum(dtype=torch.float64))
