"""What rank 0 tells of a run that a signal has stopped."""

from __future__ import annotations


def say_stopped(signal: str | None, n_done: int, n: int, noun: str) -> None:
    """Say how much of a run is done, and how to go on. Local; call it on rank 0.

    Args:
        signal: Its name, None where only another rank got it.
        n_done: How many are done.
        n: Of how many.
        noun: Of what.
    """
    print(
        f"stopped by {signal or 'a signal'} with {n_done:,} of {n:,} {noun} done; run the same "
        f"command again to go on",
        flush=True,
    )
