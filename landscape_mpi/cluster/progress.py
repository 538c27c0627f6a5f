"""How far the run is: a bar on a terminal, one plain line per round in a log."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from tqdm import tqdm

if TYPE_CHECKING:  # importing it starts MPI, and describe_duration is for everybody
    from landscape_mpi.cluster.rounds import RoundReport


class Progress:
    """Reports the rounds of a run."""

    def __init__(
        self, *, n_points: int, n_done: int, images_per_point: int, shown: bool = True
    ) -> None:
        """Begin the report.

        Args:
            n_points: Points of the surface.
            n_done: Of these, computed by earlier runs.
            images_per_point: Samples a point evaluates, over all splits.
            shown: Whether to print; true on one rank.
        """
        self.n_computed = 0
        self._n_points = n_points
        self._n_before = n_done
        self._images_per_point = images_per_point
        self._began = time.perf_counter()
        self._bar = None
        if shown and sys.stderr.isatty():
            self._bar = tqdm(total=n_points, initial=n_done, unit="point", dynamic_ncols=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *problem: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def report(self, done: RoundReport) -> None:
        """Show the state after a round."""
        self.n_computed += done.n_points
        n_done = self._n_before + self.n_computed
        rate = done.n_points * self._images_per_point / done.seconds
        speed = f"{rate:,.0f} images/s, balance {done.balance:.2f}"
        if self._bar is not None:
            self._bar.set_postfix_str(speed)
            self._bar.update(done.n_points)
            return
        share = 100 * n_done / self._n_points
        left = self._time_left(self._n_points - n_done)
        print(f"{n_done}/{self._n_points} points ({share:.0f} %), {speed}, {left}", flush=True)

    def _time_left(self, n_left: int) -> str:
        if not self.n_computed:
            return "time left unknown"
        elapsed = time.perf_counter() - self._began
        return f"{describe_duration(n_left * elapsed / self.n_computed)} left"


def describe_duration(seconds: float) -> str:
    """Return a duration as a person says it, e.g. ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
