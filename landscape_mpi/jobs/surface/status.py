"""Describe the progress of a surface file, while its job runs or afterwards."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from landscape_mpi.cluster.duration import describe_duration, describe_rate
from landscape_mpi.engine.grid import coarse_to_fine
from landscape_mpi.store.runs import describe_damaged
from landscape_mpi.store.status import Run, Status, on_hosts, read_status


def say_status(path: Path) -> int:
    """Print the progress of a surface file. Local; needs neither MPI nor torch.

    Returns:
        Exit status 0.
    """
    print(describe(read_status(path), now=datetime.now(UTC)))
    return 0


def describe(status: Status, *, now: datetime) -> str:
    """Return the progress of a surface file, line by line.

    Args:
        status: Status from the file.
        now: The time, to tell how long ago the last write was.
    """
    surface, known = status.surface, status.surface.attributes
    about = f"{known['model']} on {known['data']}, " if {"model", "data"} <= set(known) else ""
    ago = describe_duration(max(0.0, (now - status.last_write).total_seconds()))
    share = int(100 * status.n_done / surface.n_points)  # 100 only if all points are done
    lines = [
        f"{surface.path}: {about}{surface.shape[0]} x {surface.shape[1]} points",
        f"{_how_far(status, share)}, last write {ago} ago",
    ]
    if surface.interpolation is not None:
        lines.append(surface.interpolation.check_words)
    if surface.sampling is not None and status.n_done:
        lines.append(surface.sampling.words)
    if status.n_damaged_runs:
        lines.append(describe_damaged(status.n_damaged_runs))
    if status.run is not None:
        lines += _run_lines(status, status.run)
    return "\n".join(lines)


def _how_far(status: Status, share: int) -> str:
    words = f"{status.n_done:,} of {status.surface.n_points:,} points"
    found = status.surface.interpolation
    if found is not None:
        return f"{words} computed ({share} %), the others are interpolated to {found.tolerance}"
    if status.is_adaptive and status.n_done < status.surface.n_points:
        return f"{words} computed ({share} %); more follow where the values require them"
    return f"{words} done ({share} %)"


def _run_lines(status: Status, run: Run) -> list[str]:
    span = f"{run.started:%F %T} UTC"
    if run.ended is not None:
        span += f" to {run.ended:%F %T} UTC"
    balance = status.balance(coarse_to_fine(*status.surface.shape))
    shown = f"; balance {balance:.2f}" if balance is not None else ""
    return [
        f"run {run.number}, {span}: {_progress(status, run)}",
        f"{run.n_ranks} rank{'' if run.n_ranks == 1 else 's'}, {on_hosts(run.hosts)}: "
        f"{run.devices}{shown}",
    ]


def _progress(status: Status, run: Run) -> str:
    outcome = run.outcome or "running, or killed"
    if run.n_points is None:
        why = "damaged" if status.n_damaged_runs else "full"
        return f"{outcome}; its rate is unknown, because the table of runs is {why}"
    rate, n_left = status.points_per_s, status.surface.n_points - status.n_done
    if rate is None:
        return f"{outcome}; no round written yet"
    words = f"{outcome}; {run.n_points:,} points, {_rate(rate)}"
    if n_left and run.ended is None and not status.is_adaptive:
        words += f", {describe_duration(n_left / rate)} left"
    return words


def _rate(points_per_s: float) -> str:
    if points_per_s >= 1:
        return f"{describe_rate(points_per_s)} points/s"
    return f"{1 / points_per_s:,.3g} s a point"
