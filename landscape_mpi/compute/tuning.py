"""Find by measurement what decides the speed on a GPU: the batch, and whether to compile.

On a CPU neither is searched for: the speed is flat from 32 to 128 samples a batch, and compiled
code is no faster than the fused operations there, so that the defaults serve, and two runs need
not be told of each other to agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.precision import deviation

BATCHES = (256, 512, 1024, 2048, 4096, 8192)
BATCHES_TIMED = 4  # in a point that is timed
AS_GOOD_AS_THE_BEST = 1.03
WORTH_COMPILING = 1.05
MakePlane = Callable[[int, bool, int], LossPlane]  # of a batch, compiled or not, for n samples
POINTS = ((0.0, 0.0), (0.5, 0.5))  # where both are compared
SAME_LOSS = {"fp32": 1e-5, "tf32": 1e-3, "bf16": 2e-2}  # relative, compiled beside not compiled


def choose_batch_and_code(
    make_plane: MakePlane,
    *,
    n_samples: int,
    precision: str,
    batch: int | None = None,
    compiled: bool | None = None,
) -> tuple[int, bool, str]:
    """Return the batch, whether to compile, and why.

    Args:
        make_plane: Makes a plane to time.
        n_samples: There are so many.
        precision: Of the planes.
        batch: What is asked for, and not measured.
        compiled: Likewise.
    """

    def n_timed(batch: int) -> int:
        return min(n_samples, BATCHES_TIMED * batch)

    def seconds_per_sample(batch: int) -> float:
        plane = make_plane(batch, compiled is True, n_timed(batch))
        return plane.shortest_seconds(*POINTS[0]) / n_timed(batch)

    taken = batch or fastest_batch(seconds_per_sample)
    if compiled is not None:
        return taken, compiled, "compiled as asked" if compiled else "not compiled as asked"
    worth, words = is_worth_compiling(lambda c: make_plane(taken, c, n_timed(taken)), precision)
    return taken, worth, words


def fastest_batch(
    seconds_per_sample: Callable[[int], float], candidates: Sequence[int] = BATCHES
) -> int:
    """Return the smallest batch that is as good as the fastest.

    Args:
        seconds_per_sample: Measures a batch; may run out of memory, which ends the search.
        candidates: Rising.
    """
    seconds: dict[int, float] = {}
    for batch in candidates:
        try:
            seconds[batch] = seconds_per_sample(batch)
        except torch.OutOfMemoryError:
            break
    if not seconds:
        return candidates[0]  # what does not fit is halved when the ranks are set up
    limit = AS_GOOD_AS_THE_BEST * min(seconds.values())
    return next(batch for batch, value in seconds.items() if value <= limit)


def is_worth_compiling(make_plane: Callable[[bool], LossPlane], precision: str) -> tuple[bool, str]:
    """Return whether the compiled network is faster and gives the same losses, and why.

    Args:
        make_plane: Returns a plane, compiled or not.
        precision: Of both.
    """
    try:
        plain = make_plane(False)
        expected = [plain.evaluate(*point)[:1] for point in POINTS]
        plain_s = plain.shortest_seconds(*POINTS[0])
        compiled = make_plane(True)
        found = [compiled.evaluate(*point)[:1] for point in POINTS]
        compiled_s = compiled.shortest_seconds(*POINTS[0])
    except torch.OutOfMemoryError:
        return False, "not compiled, for lack of memory"
    except Exception as problem:  # compilers fail in their own ways
        words = str(problem).splitlines()[0][:100] if str(problem) else type(problem).__name__
        return False, f"not compiled ({words})"
    difference = deviation(np.concatenate(found), np.concatenate(expected))
    if not difference <= SAME_LOSS[precision]:
        return False, f"not compiled, since that changes the loss by {difference:.2g}"
    faster = plain_s / compiled_s
    return faster >= WORTH_COMPILING, f"compiled it is {faster:.2f} times as fast"
