"""Minima, saddles and maxima of a surface, and how persistent they are.

Water that rises over the surface fills a pool at each minimum. Where two pools meet, at a saddle,
the one with the higher bottom ends (the elder rule). Its
persistence is the rise of the water in it: the climb from its minimum to a deeper basin. Where
water closes a ring around an island, at another saddle, the island begins to sink; it ends at its
maximum. In terms of homology, these are the sublevel sets in dimensions 0 and 1. This module
decides
what the grid leaves open:

- Neighbours: views/neighbours.py.
- Ties: of equal values, the one that comes first in the order [alpha, beta] is lower (Edelsbrunner
  & Mücke 1990, "Simulation of simplicity"), and a pair without persistence does not count. So a
    plateau is at most one point, and the pairs do not change under a rising map of the values: they
    are the same for a loss and its logarithm.
- The border: a minimum there begins a pool and counts, though the loss may fall beyond; a maximum
  there closes no ring and does not. A complete plane then has
  minima - saddles + maxima = 1, a saddle counting once for each pair that it ends or begins.
- Points that are not computed, NaN or infinite are left out: holes, around which a ring may close
  that never ends. Each such ring lowers the sum by 1, each piece that holes cut off raises it by 1.
- The deepest minimum never ends. Its persistence is measured up to the highest point.
- A line has minima, and maxima where two of them meet.
- Coordinates only name a point: the spacing of the grid does not count.

Sources: Edelsbrunner & Harer 2010, "Computational Topology", chapters VI and VII (pairs, elder
rule, persistence); Carr, Snoeyink, Axen 2003 (merge trees); gudhi's manual, "Cubical complex".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from landscape_mpi.views.neighbours import EIGHT, Neighbours, join_points
from landscape_mpi.views.panel import Panel

NONE = -1


@dataclass(frozen=True)
class Pairs:
    """Minima or maxima, each with the saddle of its pair; the most persistent first."""

    point: np.ndarray  # int64 [n], flat index into [n_alpha, n_beta]
    saddle: np.ndarray  # int64 [n], flat index too, NONE for a minimum that never ends
    persistence: np.ndarray  # float64 [n], in heights of the panel

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.point)

    def first(self, n: int) -> Pairs:
        """Return the n most persistent ones."""
        return Pairs(self.point[:n], self.saddle[:n], self.persistence[:n])


@dataclass(frozen=True)
class Topology:
    """The critical points of a quantity of a surface, and its merge tree."""

    panel: Panel
    neighbours: str  # the way in which points are joined, in words
    minima: Pairs
    into: np.ndarray  # int64 [n_minima], the minimum into which each merges, NONE if it never ends
    share: np.ndarray  # float64 [n_minima], share of the points from which one descends to it
    maxima: Pairs
    rings: np.ndarray  # int64 [n], saddles that close rings around points left out
    least: float = 0.0  # smallest persistence that was requested, in heights of the panel

    @property
    def is_line(self) -> bool:
        """Say whether the surface is a line: then two minima meet at a maximum."""
        return min(self.panel.surface.shape) == 1

    @property
    def saddles(self) -> np.ndarray:
        """Return the saddles of minima, of maxima, and of rings, int64 [n]."""
        ended = self.minima.saddle[self.minima.saddle != NONE]
        return np.concatenate([ended, self.maxima.saddle, self.rings])

    @property
    def saddle_persistence(self) -> np.ndarray:
        """Return the persistence of each saddle's pair, infinite for a ring, float64 [n]."""
        ended = self.minima.persistence[self.minima.saddle != NONE]
        rings = np.full(len(self.rings), np.inf)
        return np.concatenate([ended, self.maxima.persistence, rings])

    @property
    def unit(self) -> str:
        """Return the unit of persistence: decades on a logarithmic scale, empty for a number."""
        scale = self.panel.scale
        if scale is not None and scale.kind != "linear":
            return "decades"
        unit = self.panel.surface.units[self.panel.name]
        return "" if unit == "1" else unit

    @property
    def others(self) -> np.ndarray:
        """Return the persistence of all minima but the deepest, float64 [n - 1]."""
        return self.minima.persistence[1:]

    @property
    def height(self) -> float:
        """Return the height of the whole surface, from its lowest to its highest point."""
        heights = self.panel.heights[self.panel.finite]
        return float(heights.max() - heights.min())


def find_topology(panel: Panel, *, neighbours: int = EIGHT, least: float = 0.0) -> Topology:
    """Find the minima, saddles and maxima of a quantity, and pair them.

    Args:
        panel: The quantity, with some finite points; persistence is measured in its heights, which
            are decades on a logarithmic scale.
        neighbours: 4 or 8.
        least: Smallest persistence of a pair that is kept.

    Raises:
        InputError: If gudhi is not installed, or too few points are computed to join them.
    """
    joined = join_points(panel, neighbours)
    order, ranks = rank_points(panel)
    pools, islands = _intervals(joined, ranks, len(order))
    edges = _edges_by_rank(joined.edges, ranks, len(order))
    sinks = _descend(edges, len(order))
    parents = _parents(pools, edges, sinks)
    # The most persistent first; of equal ones the one that ends last, so that parents come first.
    heights = panel.heights.ravel()[order]
    persistence = _persistence(pools, heights)
    ranked = np.lexsort((-pools[:, 1], -persistence, pools[:, 1] < len(order)))
    pools, persistence = pools[ranked], persistence[ranked]
    places = np.full(len(order) + 1, NONE)
    places[pools[:, 0]] = np.arange(len(pools))
    rings = islands[islands[:, 1] == len(order)]
    whole = Topology(
        panel=panel,
        neighbours=joined.words,
        minima=Pairs(order[pools[:, 0]], np.append(order, NONE)[pools[:, 1]], persistence),
        into=places[parents[ranked]],
        share=np.bincount(places[sinks], minlength=len(pools)) / len(order),
        maxima=_islands(islands[islands[:, 1] < len(order)], order, heights),
        rings=order[rings[:, 0]],
    )
    return keep_persistent(whole, least)


def keep_persistent(topology: Topology, least: float) -> Topology:
    """Keep the pairs of at least this persistence; other basins join the one they merge into.

    A pair without persistence is always left out; a minimum that never ends stays.
    """

    def number(pairs: Pairs) -> int:
        strong = (pairs.persistence >= least) & (pairs.persistence > 0)
        return int((strong | (pairs.saddle == NONE)).sum())

    n = number(topology.minima)
    share = topology.share.copy()
    for weak in range(len(share) - 1, n - 1, -1):
        share[topology.into[weak]] += share[weak]
    return replace(
        topology,
        minima=topology.minima.first(n),
        into=topology.into[:n],
        share=share[:n],
        maxima=topology.maxima.first(number(topology.maxima)),
        least=least,
    )


def rank_points(panel: Panel) -> tuple[np.ndarray, np.ndarray]:
    """Sort the finite points of a panel without ties, the lowest first.

    Returns:
        The flat indices in this order, int64 [n]; and the rank of each point of the grid, float64
        [n_points], n for points left out.
    """
    finite = np.flatnonzero(panel.finite)
    order = finite[np.argsort(panel.values.ravel()[finite], kind="stable")]
    ranks = np.full(panel.finite.size, float(len(order)))
    ranks[order] = np.arange(len(order))
    return order, ranks


def _intervals(joined: Neighbours, ranks: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the beginnings and ends of pools and of islands as ranks, int64 [n, 2]; n for none."""
    complex_ = joined.build(ranks)
    complex_.compute_persistence(homology_coeff_field=2)
    found = []
    for dimension in (0, 1):
        pairs = complex_.persistence_intervals_in_dimension(dimension).reshape(-1, 2)
        pairs = np.minimum(pairs, n).astype(np.int64)
        found.append(pairs[pairs[:, 0] < n])
    return found[0], found[1]


def _edges_by_rank(edges: np.ndarray, ranks: np.ndarray, n: int) -> np.ndarray:
    """Return the edges between finite points as ranks, int64 [n, 2]: lower and higher end."""
    found = np.sort(ranks[edges].astype(np.int64), axis=1)
    found = found[found[:, 1] < n]
    return found[np.argsort(found[:, 1], kind="stable")]


def _descend(edges: np.ndarray, n: int) -> np.ndarray:
    """Return for each point the minimum below it, by steps to the lowest neighbour, int64 [n]."""
    sinks = np.arange(n)
    np.minimum.at(sinks, edges[:, 1], edges[:, 0])
    while not np.array_equal(sinks, sinks[sinks]):
        sinks = sinks[sinks]
    return sinks


def _parents(pools: np.ndarray, edges: np.ndarray, sinks: np.ndarray) -> np.ndarray:
    """Return the pool into which each one flows at its end, as ranks, int64 [n].

    Args:
        pools: Ranks of the minimum and the saddle of each pool, int64 [n, 2].
        edges: Ranks of the ends of each edge, the lower first; sorted by the higher.
        sinks: The minimum below each point, int64 [n_points].

    Returns:
        The rank of the other minimum, n_points for a pool that never ends.
    """
    n = len(sinks)
    # A pool that has ended points to the one it flowed into; the last one has not ended.
    flows = {int(pool): int(pool) for pool in pools[:, 0]}
    parents = {int(pool): n for pool in pools[:, 0]}
    for saddle in np.unique(pools[pools[:, 1] < n, 1]):
        start, end = np.searchsorted(edges[:, 1], [saddle, saddle + 1])
        meeting = {_root(flows, int(pool)) for pool in sinks[edges[start:end, 0]]}
        eldest = min(meeting)
        for pool in meeting - {eldest}:
            flows[pool] = parents[pool] = eldest
    return np.array([parents[int(pool)] for pool in pools[:, 0]], dtype=np.int64)


def _root(flows: dict[int, int], pool: int) -> int:
    while flows[pool] != pool:
        flows[pool] = flows[flows[pool]]
        pool = flows[pool]
    return pool


def _persistence(pairs: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Return the persistence of each pair, up to the highest point if it never ends."""
    ends = np.append(heights, heights.max())
    return np.asarray(ends[pairs[:, 1]] - heights[pairs[:, 0]], dtype=np.float64)


def _islands(islands: np.ndarray, order: np.ndarray, heights: np.ndarray) -> Pairs:
    persistence = _persistence(islands, heights)
    ranked = np.lexsort((-islands[:, 1], -persistence))
    saddle, top = islands[ranked].T
    return Pairs(order[top], order[saddle], persistence[ranked])


def coordinates_of(panel: Panel, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return alpha and beta of points, float64 [n] each."""
    rows, columns = np.unravel_index(points, panel.surface.shape)
    return panel.surface.alpha[rows], panel.surface.beta[columns]


def on_border(panel: Panel, points: np.ndarray) -> np.ndarray:
    """Say which points lie on the border of the grid, or at the ends of a line, bool [n]."""
    found = np.zeros(len(points), dtype=bool)
    for index, n in zip(
        np.unravel_index(points, panel.surface.shape), panel.surface.shape, strict=True
    ):
        if n > 1:
            found |= (index == 0) | (index == n - 1)
    return found
