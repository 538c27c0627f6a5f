"""The progress of the run: a bar on a terminal, one plain line per round in a log."""

from __future__ import annotations

import sys
import time
import warnings
from typing import Any

from landscape_mpi.cluster.duration import describe_duration, describe_rate
from landscape_mpi.cluster.rounds import RoundReport


class Progress:
    """Reports the rounds of a run."""

    def __init__(
        self,
        *,
        n_points: int,
        n_done: int,
        samples_per_point: int | None,
        noun: str = "images",
        shown: bool = True,
        bar: bool | None = None,
        is_open: bool = False,
    ) -> None:
        """Begin the report.

        Args:
            n_points: Points of the surface.
            n_done: Points that earlier runs computed.
            samples_per_point: Samples of a point, over all splits; None if points differ in their
                work: then the rate counts points.
            noun: Noun for the samples.
            shown: Whether to print; true on one rank.
            bar: Show a bar, or nothing; None for a bar on a terminal and lines elsewhere.
            is_open: Whether computed points may lead to further ones, so that the final number is
                unknown.
        """
        self.n_computed = 0
        self._n_points, self._is_open = n_points, is_open
        self._n_before = n_done
        self._samples_per_point = samples_per_point
        self._noun = noun
        self._began = time.perf_counter()
        self._bar = None
        self._is_silent = bar is False
        if shown and (sys.stderr.isatty() if bar is None else bar):
            self._bar = _new_bar(None if is_open else n_points, n_done)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *problem: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def report(self, done: RoundReport) -> None:
        """Show the state after a round."""
        self.n_computed += done.n_points
        n_done = self._n_before + self.n_computed
        speed = f"{self._rate(done)}, balance {done.balance:.2f}"
        if self._bar is not None:
            self._bar.set_postfix_str(speed)
            self._bar.update(done.n_points)
            return
        if self._is_silent:
            return
        if self._is_open:
            words = f"{n_done:,} points computed, {done.n_pending:,} more requested so far"
            print(f"{words}, {speed}", flush=True)
            return
        share = 100 * n_done / self._n_points
        left = self._time_left(self._n_points - n_done)
        print(f"{n_done}/{self._n_points} points ({share:.0f} %), {speed}, {left}", flush=True)

    def _rate(self, done: RoundReport) -> str:
        if self._samples_per_point is None:
            return f"{describe_rate(60 * done.n_points / done.seconds)} points/min"
        rate = done.n_points * self._samples_per_point / done.seconds
        return f"{rate:,.0f} {self._noun}/s"

    def _time_left(self, n_left: int) -> str:
        if not self.n_computed:
            return "time left unknown"
        elapsed = time.perf_counter() - self._began
        return f"{describe_duration(n_left * elapsed / self.n_computed)} left"


def _new_bar(n_points: int | None, n_done: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # from tqdm, in a notebook without ipywidgets
        from tqdm.auto import tqdm
    return tqdm(total=n_points, initial=n_done, unit="point", dynamic_ncols=True)
