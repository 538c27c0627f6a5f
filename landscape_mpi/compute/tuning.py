"""Find by measurement what decides the speed on a GPU: the batch, and whether to compile.

On a CPU neither is searched for: the speed is flat from 32 to 128 samples a batch, and compiled
code is no faster than the fused operations there, so that the defaults serve, and two runs need
not be told of each other to agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch

from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.precision import deviation

BATCHES = (256, 512, 1024, 2048, 4096, 8192)
AS_GOOD_AS_THE_BEST = 1.03
WORTH_COMPILING = 1.05
TIMED_RUNS = 3
SAME_LOSS = {"fp32": 1e-5, "tf32": 1e-3, "bf16": 2e-2}  # relative, compiled beside not compiled


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


def is_worth_compiling(
    plain: LossPlane, make_compiled: Callable[[], LossPlane], precision: str
) -> tuple[bool, str]:
    """Return whether the compiled network is faster and gives the same losses, and why.

    Args:
        plain: Not compiled.
        make_compiled: Returns the same plane compiled.
        precision: Of both.
    """
    try:
        compiled = make_compiled()
        found = [compiled.evaluate(*point)[:1] for point in ((0.0, 0.0), (0.5, 0.5))]
        compiled_s = seconds_per_point(compiled)
    except torch.OutOfMemoryError:
        return False, "not compiled, for lack of memory"
    except Exception as problem:  # compilers fail in their own ways
        words = str(problem).splitlines()[0][:100] if str(problem) else type(problem).__name__
        return False, f"not compiled ({words})"
    expected = [plain.evaluate(*point)[:1] for point in ((0.0, 0.0), (0.5, 0.5))]
    difference = max(deviation(f, e) for f, e in zip(found, expected, strict=True))
    if difference > SAME_LOSS[precision]:
        return False, f"not compiled, since that changes the loss by {difference:.2g}"
    faster = seconds_per_point(plain) / compiled_s
    return faster >= WORTH_COMPILING, f"compiled it is {faster:.2f} times as fast"


def seconds_per_point(plane: LossPlane) -> float:
    """Return the shortest time of a point, s; the first, which prepares, is not counted."""
    plane.evaluate(0.0, 0.0)
    seconds = []
    for _ in range(TIMED_RUNS):
        began = time.perf_counter()
        plane.evaluate(0.0, 0.0)
        seconds.append(time.perf_counter() - began)
    return min(seconds)
