"""Plan the number of points of each rank in a round, from the speeds measured so far.

A round should end on all ranks at the same time, since all wait for the last one. The measured
speeds give the sizes of the shards. Speeds vary, so a rank also stops at the round's deadline and
gives the rest of its shard back. Then ranks wait for a slow one no longer than about half a point.
"""

from __future__ import annotations

import numpy as np

MEMORY = 0.5  # weight of the rounds before the last one in the speed of a rank
SPARE = 1.25  # shards have more points than expected, for a rank that got faster
SHORTEST_ROUND = 0.25  # of a full round: a shorter last round is merged into the previous ones
# Up to MOST_LAST_POINTS points per rank form the last round. If there are more, LAST_SHARE of them
# is left for it: with the speeds of the previous round, a few points are divided well, but many are
# divided badly.
MOST_LAST_POINTS = 16
LAST_SHARE = 0.2
MOST_UNEVEN = 4.0  # times the median: a slower point was a mishap, and does not set the pace
LATE = 1.25  # of the expected time of the last round; then unfinished points are distributed again


class ShardPlan:
    """The points still to compute, and the measured speed of each rank."""

    def __init__(
        self, pending: np.ndarray, n_ranks: int, *, round_seconds: float, at_once: int = 1
    ) -> None:
        """Begin without known speeds: the first round measures one point per rank.

        Args:
            pending: Flat indices in the order to compute them, int64 [n].
            n_ranks: Number of ranks.
            round_seconds: Intended length of a round, s.
            at_once: Points that a rank computes together; here, a point then means such a block.
        """
        self._order, self._at_once = pending, at_once
        self._left = np.arange(-(-len(pending) // at_once))  # blocks in that order, rising
        self._shards: list[np.ndarray] = []  # blocks handed out, by rank
        self._given_back: list[np.ndarray] = []
        self._round_seconds = round_seconds
        self._n_blocks, self._seconds = np.zeros(n_ranks), np.zeros(n_ranks)
        self.deadline_seconds = np.inf  # deadline of the last round, from its beginning, s

    @property
    def n_pending(self) -> int:
        """Return the number of points that are not handed out, or given back."""
        return sum(len(self._points(blocks)) for blocks in (self._left, *self._given_back))

    def _points(self, blocks: np.ndarray) -> np.ndarray:
        places = (blocks[:, None] * self._at_once + np.arange(self._at_once)).ravel()
        return self._order[places[places < len(self._order)]]

    def add(self, points: np.ndarray) -> None:
        """Add further points and keep the known speeds; all previous ones must be done.

        Args:
            points: Flat indices in the order to compute them, int64 [n].
        """
        self._order = points
        self._left = np.arange(-(-len(points) // self._at_once))
        self._shards, self._given_back = [], []

    def next_round(self) -> list[np.ndarray]:
        """Take the next points off the list and return each rank's share, int64 [n_local]."""
        if self._given_back:
            # They were handed out from the front, so all of them come before the remaining points.
            self._left = np.concatenate([np.sort(np.concatenate(self._given_back)), self._left])
            self._given_back = []
        counts, self.deadline_seconds = self._plan_round()
        n_blocks = counts.sum()
        self._shards = [self._left[:n_blocks][places] for places in deal(counts)]
        self._left = self._left[n_blocks:]
        return [self._points(blocks) for blocks in self._shards]

    def _plan_round(self) -> tuple[np.ndarray, float]:
        """Return the number of points of each rank, and the deadline of the round, s."""
        cost = self._point_seconds()
        n_left = len(self._left)
        if np.isnan(cost).all():
            return shard_sizes(cost, n_points=n_left, round_seconds=self._round_seconds), np.inf
        # A rank without a measurement counts as the slowest, so that it does not delay the others.
        cost = np.where(np.isnan(cost), np.nanmax(cost), cost)
        everything = shard_sizes(cost, n_points=n_left, round_seconds=np.inf)
        seconds = round_length(cost, n_points=n_left, round_seconds=self._round_seconds)
        if np.isinf(seconds):
            return everything, LATE * float((everything * cost).max()) + float(cost.mean())
        counts = np.ceil(SPARE * seconds / cost).astype(np.int64)
        # Most ranks end half a point late or early; a rank with long points is never late.
        deadline = seconds + 0.5 * float(np.median(cost))
        return (counts if counts.sum() <= n_left else everything), deadline

    def _point_seconds(self) -> np.ndarray:
        """Return the time of a point on each rank, s, float64 [n_ranks]; NaN if unknown."""
        with np.errstate(invalid="ignore"):
            return np.maximum(self._seconds / self._n_blocks, 1e-9)

    def record(self, rank: int, *, n_points: int, seconds: float) -> None:
        """Record the work of a rank in the last round; the rest of its shard is left to do.

        Args:
            rank: The rank.
            n_points: Points it computed, the first of its shard; with none, its known speed stays.
            seconds: Time for them, s.
        """
        n_blocks = -(-n_points // self._at_once)
        self._given_back.append(self._shards[rank][n_blocks:])
        if n_blocks:
            self._n_blocks[rank] = MEMORY * self._n_blocks[rank] + n_blocks
            self._seconds[rank] = MEMORY * self._seconds[rank] + seconds


def deal(counts: np.ndarray) -> list[np.ndarray]:
    """Return the places of each rank among the points of a round, rising, int64 [n_local].

    Points are dealt in turns, because neighbours cost about as much as one another, but other
    regions may cost many times that where the samples of a point depend on its loss.

    Args:
        counts: Points of each rank, int64 [n_ranks].
    """
    turns = np.concatenate([(np.arange(n) + 0.5) / n for n in counts])
    owners = np.repeat(np.arange(len(counts)), counts)[np.argsort(turns, kind="stable")]
    return np.split(np.argsort(owners, kind="stable"), np.cumsum(counts)[:-1])


def is_over(n_done: float, elapsed: float, deadline_seconds: float) -> bool:
    """Say whether a rank stops before its next point, which would end past the deadline.

    Args:
        n_done: Points of the shard that it has done, at least 1.
        elapsed: Time since the round began, s.
        deadline_seconds: Deadline of the round, s.
    """
    return elapsed + elapsed / n_done > deadline_seconds


def round_length(cost: np.ndarray, *, n_points: int, round_seconds: float) -> float:
    """Return the intended length of the next round, so that the last one is not too short.

    Args:
        cost: Time of a point on each rank, s, float64 [n_ranks].
        n_points: Points left.
        round_seconds: Length of a round, s; a point of a slow rank may make it longer.

    Returns:
        Seconds; infinite if the last round can take all points.
    """
    left_s = n_points / float((1 / cost).sum())
    slowest = min(float(cost.max()), MOST_UNEVEN * float(np.median(cost)))
    longest = max(round_seconds, slowest)
    if left_s <= min(MOST_LAST_POINTS * cost.mean(), (1 + SHORTEST_ROUND) * longest):
        return np.inf
    before_last = (1 - LAST_SHARE) * left_s
    if before_last > (1 + SHORTEST_ROUND) * longest:
        before_last = left_s / max(2, np.ceil(left_s / longest - SHORTEST_ROUND))
    return max(before_last, slowest)


def shard_sizes(point_seconds: np.ndarray, *, n_points: int, round_seconds: float) -> np.ndarray:
    """Return the number of points of each rank, so that all end the round together.

    Args:
        point_seconds: Time of a point on each rank, s, float64 [n_ranks]; NaN if unknown.
        n_points: Points left.
        round_seconds: Length of a round, s; a point that takes longer is a round of its own.

    Returns:
        Points per rank, int64 [n_ranks], at most n_points in all; some may be 0 if fewer points
        than ranks are left.
    """
    unknown = np.isnan(point_seconds)
    if unknown.all():
        sizes = np.ones(len(point_seconds), np.int64)
    else:
        # A rank without a measurement counts as the slowest, so that it does not delay the others.
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
