"""How many points each rank gets in a round, from the speeds measured so far."""

from __future__ import annotations

import numpy as np


class ShardPlan:
    """The points still to compute, and how fast each rank has been."""

    def __init__(self, pending: np.ndarray, n_ranks: int, *, round_seconds: float) -> None:
        """Begin with no speed known: the first round measures one point a rank.

        Args:
            pending: Flat indices in the order to compute them, int64 [n].
            n_ranks: Number of ranks.
            round_seconds: How long a round is meant to last, s.
        """
        self._pending = pending
        self._round_seconds = round_seconds
        self._point_seconds = np.full(n_ranks, np.nan)

    @property
    def n_pending(self) -> int:
        """Points not handed out yet."""
        return len(self._pending)

    def next_round(self) -> list[np.ndarray]:
        """Take the next points off the list and return each rank's share, int64 [n_local]."""
        counts = shard_sizes(
            self._point_seconds, n_points=self.n_pending, round_seconds=self._round_seconds
        )
        ends = np.cumsum(counts)
        shards = [self._pending[end - n : end] for end, n in zip(ends, counts, strict=True)]
        self._pending = self._pending[ends[-1] :]
        return shards

    def record(self, rank: int, *, n_points: int, seconds: float) -> None:
        """Note what a rank has done in the round that ended.

        Args:
            rank: The rank.
            n_points: Points it computed; with none, its speed stays as it was known.
            seconds: Time it took for them, s.
        """
        if n_points:
            self._point_seconds[rank] = max(seconds / n_points, 1e-9)


def shard_sizes(point_seconds: np.ndarray, *, n_points: int, round_seconds: float) -> np.ndarray:
    """Return how many points each rank gets, so that all end the round together.

    Args:
        point_seconds: Time of a point on each rank, s, float64 [n_ranks]; NaN is not known.
        n_points: Points left.
        round_seconds: Length of a round, s; a point that takes longer is a round of its own.

    Returns:
        Points per rank, int64 [n_ranks], n_points in all or fewer; some may be 0 when fewer
        points than ranks are left.
    """
    unknown = np.isnan(point_seconds)
    if unknown.all():
        sizes = np.ones(len(point_seconds), np.int64)
    else:
        # A rank not measured yet is taken to be as slow as the slowest, so that it delays nobody.
        cost = np.where(unknown, np.nanmax(point_seconds), point_seconds)
        sizes = np.maximum(1, np.minimum(round_seconds / cost, n_points).astype(np.int64))
    if sizes.sum() <= n_points:
        return sizes
    cost = np.ones(len(sizes)) if unknown.all() else cost
    return _share_out(cost, n_points)


def _share_out(cost: np.ndarray, n_points: int) -> np.ndarray:
    """Return the shares of n_points with the earliest end of the slowest rank.

    With the deadline T a rank does floor(T / cost) points; the smallest sufficient T is the
    end of some rank's k-th point, found by bisection over such ends.
    """
    low, high = 0.0, float(cost.min() * n_points)
    for _ in range(100):
        middle = (low + high) / 2
        if np.floor(middle / cost).sum() >= n_points:
            high = middle
        else:
            low = middle
    sizes = np.floor(high / cost * (1 + 1e-12)).astype(np.int64)
    while sizes.sum() > n_points:  # ranks whose last point ends at the deadline together
        sizes[np.argmax(sizes * cost)] -= 1
    return sizes
