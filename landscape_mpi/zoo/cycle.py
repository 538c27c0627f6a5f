"""Compute the cyclic learning rate of fast geometric ensembling, which falls and rises again.

Source: Garipov et al. 2018, arXiv:1802.10026, section 4: in iteration i, counted from 1,

    rate(i) = (1 - 2 t) high + 2 t low          for 0 < t <= 1/2,
    rate(i) = (2 - 2 t) low + (2 t - 1) high    for 1/2 < t <= 1,
    t = (mod(i - 1, length) + 1) / length,

and the weights are collected in the middle of each cycle, where t = 1/2 and the rate is low.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True)
class Cycle:
    """Describe a cycle of the learning rate."""

    high: float  # learning rate at the ends of the cycle
    low: float  # learning rate in the middle of the cycle
    length: int  # number of iterations, even

    def rate(self, iteration: int) -> float:
        """Return the learning rate of an iteration, counted from 1."""
        place = (iteration - 1) % self.length + 1  # t = place / length
        if 2 * place <= self.length:
            share_low = 2 * place / self.length
        else:
            share_low = 2 - 2 * place / self.length
        return (1 - share_low) * self.high + share_low * self.low

    def is_minimum(self, iteration: int) -> bool:
        """Return whether an iteration is in the middle of a cycle."""
        return 2 * ((iteration - 1) % self.length + 1) == self.length

    def minima(self, n_iterations: int) -> range:
        """Return the iterations, up to a number, that are in the middle of a cycle."""
        return range(self.length // 2, n_iterations + 1, self.length)

    def fractions(self, n_iterations: int, n: int) -> Iterator[int]:
        """Yield the iterations at each n-th part of every cycle, rounded, up to a number.

        Args:
            n_iterations: Number of iterations of the run.
            n: Parts of a cycle, at most its length; even to include the minima.
        """
        done = 0
        while (place := round(Fraction(done + 1, n) * self.length)) <= n_iterations:
            done += 1
            yield place


def length_of(epochs: Fraction, n_batches: int) -> int:
    """Return a cycle's length: the even number of iterations nearest to its epochs, at least 2."""
    return max(2, 2 * round(epochs * n_batches / 2))
