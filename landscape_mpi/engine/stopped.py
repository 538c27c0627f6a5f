"""The message of rank 0 about a run that a signal has stopped."""

from __future__ import annotations


def say_stopped(signal: str | None, n_done: int, n: int, noun: str) -> None:
    """Say how much of a run is done, and how to resume. Local; call it on rank 0.

    Args:
        signal: Name of the signal, None if only another rank received it.
        n_done: Number of things done.
        n: Number of all things.
        noun: Noun for them.
    """
    print(
        f"stopped by {signal or 'a signal'} with {n_done:,} of {n:,} {noun} done; run the same "
        "command again to continue",
        flush=True,
    )
