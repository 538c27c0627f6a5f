"""Simulate runs on up to 4,096 ranks: how much of their time do the ranks compute?

    make scaling

The rounds are planned by the real ShardPlan, from the times that the simulated ranks report to
it. How long a point takes is drawn from measured times (point_times.csv); what else happens to
the ranks is assumed: scaling.md, which takes the table that this writes, says what.
"""

import csv
import math
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from landscape_mpi.cluster.shards import ShardPlan, is_over

HERE = Path(__file__).parent
TIMES = HERE / "point_times.csv"
GRIDS = (51, 251, 1001)
RANKS = (32, 64, 128, 256, 512, 1024, 2048, 4096)
N_RUNS = 4  # simulated of each kind; the table shows their mean
ROUND_S = 30.0  # the default of --round-seconds
WRITE_S = 0.05  # a round's write and messages, measured: docs/explanation/writes.md
STALL_S, RESTART_S = 300.0, 60.0  # until a rank that hangs is given up, until the job runs again


@dataclass(frozen=True)
class Scenario:
    """The speed of the ranks of a run."""

    name: str
    spread: float = 0.0  # standard deviation of the ranks' speeds, relative
    slow_share: float = 0.0  # of the ranks, which take twice as long
    pauses_per_hour: float = 0.0  # of a rank, of PAUSE_S each
    rank_hours_per_hang: float = math.inf


PAUSE_S = 5.0
EVEN = Scenario("even")
UNEVEN = replace(EVEN, name="uneven", spread=0.05)
SLOW = replace(UNEVEN, name="slow ranks", slow_share=0.01)
PAUSES = replace(UNEVEN, name="pauses", pauses_per_hour=0.1)
FAILURES = replace(UNEVEN, name="failures", rank_hours_per_hang=50_000.0)
SCENARIOS = (EVEN, UNEVEN, SLOW, PAUSES, FAILURES)


def read_times(path: Path = TIMES) -> list[np.ndarray]:
    """Return the measured times of each rank in the order of its points, s."""
    with path.open() as file:
        rows = [(row["rank"], float(row["seconds"])) for row in csv.DictReader(file)]
    return [np.array([s for rank, s in rows if rank == own]) for own in sorted(dict(rows))]


class Cluster:
    """Simulated ranks. Each goes through a measured series from a place of its own, so that times
    drift as they did; series, speeds and pauses are drawn once for each run."""

    def __init__(self, n_ranks, times, scenario, rng):
        mean = np.mean(np.concatenate(times))
        speed = np.exp(rng.normal(0.0, scenario.spread, n_ranks))
        n_slow = round(scenario.slow_share * n_ranks)
        speed[rng.choice(n_ranks, n_slow, replace=False)] /= 2
        self.point_s = mean / speed  # mean time of each rank, pauses left out
        self._series = [times[k] / times[k].mean() for k in rng.integers(0, len(times), n_ranks)]
        self._place = [int(rng.integers(len(series))) for series in self._series]
        self._pauses_per_s = scenario.pauses_per_hour / 3600
        self._rng = rng

    def compute(self, rank, n, deadline_s):
        """Return how many of n points a rank does until the deadline, and the time it takes."""
        series = self._series[rank]
        places = (self._place[rank] + np.arange(n)) % len(series)
        seconds = series[places] * self.point_s[rank]
        if self._pauses_per_s:
            seconds = seconds + PAUSE_S * self._rng.poisson(seconds * self._pauses_per_s)
        ends = np.cumsum(seconds)
        over = np.flatnonzero(is_over(np.arange(1, n + 1), ends, deadline_s))
        n_done = min(n, int(over[0]) + 1) if len(over) else n
        self._place[rank] = int((self._place[rank] + n_done) % len(series))
        return n_done, float(ends[n_done - 1])


def simulate_run(n_points, cluster, *, hang_at_s=math.inf, write_s=WRITE_S):
    """Return the time of a run, s; a rank that hangs costs its round, the limit and a restart."""
    n_ranks = len(cluster.point_s)
    plan = ShardPlan(np.arange(n_points), n_ranks, round_seconds=ROUND_S)
    now = 0.0
    while plan.n_pending:
        n_before = plan.n_pending
        shards = plan.next_round()
        busy = np.zeros(n_ranks)
        for rank, shard in enumerate(shards):
            n_done, busy[rank] = 0, 0.0
            if len(shard):
                n_done, busy[rank] = cluster.compute(rank, len(shard), plan.deadline_seconds)
            plan.record(rank, n_points=n_done, seconds=busy[rank])
        if now <= hang_at_s < now + busy.max():
            now = hang_at_s + STALL_S + RESTART_S
            plan = ShardPlan(np.arange(n_before), n_ranks, round_seconds=ROUND_S)
        else:
            now += busy.max() + write_s
    return now


def efficiency(n_points, n_ranks, scenario, times, seed):
    """Return the share of the ranks' time in which they compute: the time of the run if no rank
    ever waited, was paused or failed, over the simulated one."""

    def cluster():
        return Cluster(n_ranks, times, scenario, np.random.default_rng(seed))

    ideal_s = n_points / (1 / cluster().point_s).sum()
    taken_s = simulate_run(n_points, cluster())
    n_hangs = taken_s / 3600 * n_ranks / scenario.rank_hours_per_hang
    if n_hangs:  # one, in the middle of the run, as often as it is to be expected
        with_one_s = simulate_run(n_points, cluster(), hang_at_s=taken_s / 2)
        taken_s += n_hangs * (with_one_s - taken_s)
    return ideal_s / taken_s


def whole_points(n_points, n_ranks):
    """Return the efficiency that equal ranks cannot exceed, since a point is not divided."""
    return n_points / n_ranks / math.ceil(n_points / n_ranks)


def simulate_all(times):
    """Return efficiencies by grid, number of ranks and scenario."""
    results = {}
    for n in GRIDS:
        for n_ranks in RANKS:
            for scenario in SCENARIOS:
                runs = [efficiency(n * n, n_ranks, scenario, times, seed) for seed in range(N_RUNS)]
                results[n, n_ranks, scenario.name] = float(np.mean(runs))
            print(table_row(results, n, n_ranks), flush=True)
    return results


def table_row(results, n, n_ranks):
    """Return a row of the table, percent."""
    bound = f"{100 * whole_points(n * n, n_ranks):.1f}"
    values = [f"{100 * results[n, n_ranks, scenario.name]:.1f}" for scenario in SCENARIOS]
    cells = [f"{n} x {n}", f"{n_ranks:,}", f"{n * n / n_ranks:,.1f}", bound, *values]
    return f"| {' | '.join(cells)} |"


def table(results):
    """Return the efficiencies as a table."""
    names = [scenario.name for scenario in SCENARIOS]
    heads = ["grid", "ranks", "points a rank", "whole points", *names]
    rows = [table_row(results, n, n_ranks) for n in GRIDS for n_ranks in RANKS]
    return "\n".join([f"| {' | '.join(heads)} |", "|" + "---:|" * len(heads), *rows])


def draw(results, path):
    """Draw the efficiency over the number of ranks."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.4, 4.0), layout="constrained")
    for n, color in zip(GRIDS, ("#d55e00", "#0072b2", "#009e73"), strict=True):
        for name, style in ((UNEVEN.name, "o-"), (SLOW.name, "s--")):
            values = [100 * results[n, n_ranks, name] for n_ranks in RANKS]
            label = f"{n} x {n} points, {name}"
            axes.plot(RANKS, values, style, color=color, ms=4, lw=1.4, label=label)
    axes.axhline(95, color="0.6", lw=0.8, zorder=0)
    axes.text(RANKS[-1], 94, "95", color="0.4", fontsize=8, ha="right", va="top")
    axes.set_xscale("log", base=2)
    axes.set_xticks(RANKS, [f"{n_ranks:,}" for n_ranks in RANKS])
    axes.minorticks_off()
    axes.set(xlabel="ranks", ylabel="efficiency, percent", ylim=(0, 101))
    axes.set_title("Simulated runs, points of 0.66 s", fontsize=10)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)


def main():
    """Simulate, and write the table into scaling.md and the figure beside it."""
    results = simulate_all(read_times())
    page = HERE / "scaling.md"
    before, _, rest = page.read_text().partition("<!-- table -->\n")
    _, _, after = rest.partition("<!-- end of table -->")
    middle = f"<!-- table -->\n{table(results)}\n<!-- end of table -->"
    page.write_text(before + middle + after)
    draw(results, HERE / "scaling.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
