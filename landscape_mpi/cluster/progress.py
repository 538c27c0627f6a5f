"""How far the run is: a bar on a terminal, one plain line per round in a log."""

from __future__ import annotations

import sys
import time

from tqdm import tqdm

from landscape_mpi.cluster.rounds import RoundReport


class Progress:
    """Reports the rounds of a run on rank 0."""

    def __init__(self, *, n_points: int, n_done: int, images_per_point: int) -> None:
        """Begin the report.

        Args:
            n_points: Points of the surface.
            n_done: Of these, computed by earlier runs.
            images_per_point: Samples a point evaluates, over all splits.
        """
        self._n_points = n_points
        self._n_done = n_done
        self._n_before = n_done
        self._images_per_point = images_per_point
        self._began = time.perf_counter()
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=n_points, initial=n_done, unit="point", dynamic_ncols=True)

    def report(self, done: RoundReport) -> None:
        """Show the state after a round."""
        self._n_done += done.n_points
        rate = done.n_points * self._images_per_point / done.seconds
        if self._bar is not None:
            self._bar.set_postfix_str(f"{rate:,.0f} images/s, balance {done.balance:.2f}")
            self._bar.update(done.n_points)
            return
        print(
            f"{self._n_done}/{self._n_points} points "
            f"({100 * self._n_done / self._n_points:.0f} %), {rate:,.0f} images/s, "
            f"balance {done.balance:.2f}, {self._time_left()}",
            flush=True,
        )

    def close(self) -> None:
        """Leave the terminal in order."""
        if self._bar is not None:
            self._bar.close()

    def _time_left(self) -> str:
        elapsed = time.perf_counter() - self._began
        computed = self._n_done - self._n_before
        if not computed:
            return "time left unknown"
        left = (self._n_points - self._n_done) * elapsed / computed
        return f"{describe_duration(left)} left"


def describe_duration(seconds: float) -> str:
    """Return a duration as a person says it, e.g. ``2 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
