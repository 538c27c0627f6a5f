"""Tune the settings for speed: the batch, compilation, and the number of points at once.

On a GPU they are measured. On a CPU the batch follows from the network, so that separate runs
agree. Compiled code is not faster than the fused operations there, and a larger batch fills a core
as well as several points do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from landscape_mpi.compute.cost import SampleCost
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.precision import SAME_LOSS, deviation
from landscape_mpi.compute.stacked_plane import StackedLossPlane

CPU_BATCHES = (64, 4096)  # smallest and largest batch, if its memory allows
CPU_BATCH_BYTES = 256 << 20  # per thread; fixed, so that a resumed run uses the same batch
TENSORS_AT_A_TIME = 3  # tensors of the largest size: a layer's input and output, and a kept one
CPU_BATCH_UNKNOWN = 8  # batch of a network whose cost cannot be counted
CPU_BATCH_VALUES = 1_000_000  # activations of a batch, 4 MB in float32: what a core's caches hold
CPU_BATCHES_A_SPLIT = 8  # least number of batches, so that threads and ranks can share a point
BATCHES = (256, 512, 1024, 2048, 4096, 8192)
BATCHES_TIMED = 4  # batches in a timed point
AS_GOOD_AS_THE_BEST = 1.03
WORTH_COMPILING = 1.05
COMPILING_S = 60.0  # typical time of compiling a ResNet
MOST_GAINED = 0.5  # fraction of a run that compiling saves; no network becomes three times as fast
WORTH_REORDERING = 1.05  # layout of images and filters; torch's own if it is as fast
STACKS = (4, 16)  # numbers of points at once to try
WORTH_STACKING = 1.05  # least factor by which more points must be faster than fewer
MakePlane = Callable[[int, bool, int], PointLosses]  # batch, compiled or not, samples
POINTS = ((0.0, 0.0), (0.5, 0.5))  # points where both are compared


def batch_for_cpu(cost: SampleCost | None, n_samples: int) -> int:
    """Return the batch of a CPU: larger for small networks, whose layers take microseconds.

    For ResNets on CIFAR-10 the speed is flat from 32 to 128 samples; a network of three small
    linear layers is four times as fast with 512. The batch is smaller if a sample takes much
    memory, such as the logits of a language model (length times vocabulary).

    Args:
        cost: Cost of a sample; None if unknown.
        n_samples: Samples of the first split.

    Returns:
        A power of two, independent of the machine.
    """
    if cost is None:
        return CPU_BATCH_UNKNOWN
    low, high = CPU_BATCHES
    most = min(CPU_BATCH_VALUES / max(1.0, cost.values_moved / 2), n_samples / CPU_BATCHES_A_SPLIT)
    fits = CPU_BATCH_BYTES / (TENSORS_AT_A_TIME * max(1.0, cost.largest_bytes))
    return min(high, max(low, _power_of_two(most)), _power_of_two(fits))


def _power_of_two(most: float) -> int:
    return 2 ** int(np.log2(max(1.0, most)))


def choose_batch_and_code(
    make_plane: MakePlane,
    *,
    n_samples: int,
    precision: str,
    n_points: int,
    batch: int | None = None,
    compiled: bool | None = None,
) -> tuple[int, bool, str]:
    """Return the batch, whether to compile, and why.

    Args:
        make_plane: Function that makes a plane to time.
        n_samples: Number of samples.
        precision: Precision of the planes.
        n_points: Number of points that each rank computes.
        batch: Requested batch; it is then not measured.
        compiled: Whether to compile, if requested.
    """

    def n_timed(batch: int) -> int:
        return min(n_samples, BATCHES_TIMED * batch)

    def seconds_per_sample(batch: int) -> float:
        plane = make_plane(batch, compiled is True, n_timed(batch))
        return plane.shortest_seconds(*POINTS[0]) / n_timed(batch)

    taken = batch or fastest_batch(seconds_per_sample)
    if compiled is not None:
        return (
            taken,
            compiled,
            "compiled, as requested" if compiled else "not compiled, as requested",
        )
    worth, words = is_worth_compiling(
        lambda c: make_plane(taken, c, n_timed(taken)),
        precision,
        n_planes=n_points * n_samples / n_timed(taken),
    )
    return taken, worth, words


def fastest_batch(
    seconds_per_sample: Callable[[int], float], candidates: Sequence[int] = BATCHES
) -> int:
    """Return the smallest batch that is practically as fast as the fastest.

    Args:
        seconds_per_sample: Function that measures a batch; running out of memory ends the search.
        candidates: Batches in rising order.
    """
    seconds: dict[int, float] = {}
    for batch in candidates:
        try:
            seconds[batch] = seconds_per_sample(batch)
        except torch.OutOfMemoryError:
            break
    if not seconds:
        return candidates[0]  # a batch that does not fit is halved when the ranks are set up
    limit = AS_GOOD_AS_THE_BEST * min(seconds.values())
    return next(batch for batch, value in seconds.items() if value <= limit)


def is_worth_compiling(
    make_plane: Callable[[bool], PointLosses], precision: str, *, n_planes: float
) -> tuple[bool, str]:
    """Return whether the compiled network is faster and gives the same losses, and why.

    Compiling is not tried if it would take longer than it can save.

    Args:
        make_plane: Function that returns a plane, compiled or not.
        precision: Precision of both.
        n_planes: This run's work on a rank, in multiples of a plane's point.
    """
    try:
        plain = make_plane(False)
        expected = [plain.evaluate(*point)[:1] for point in POINTS]
        plain_s = plain.shortest_seconds(*POINTS[0])
        if MOST_GAINED * plain_s * n_planes < COMPILING_S:
            return False, "not compiled, because the run is too short for it"
        compiled = make_plane(True)
        found = [compiled.evaluate(*point)[:1] for point in POINTS]
        compiled_s = compiled.shortest_seconds(*POINTS[0])
    except torch.OutOfMemoryError:
        return False, "not compiled, because of lack of memory"
    except Exception as problem:  # compilers fail in many ways
        words = str(problem).splitlines()[0][:100] if str(problem) else type(problem).__name__
        return False, f"not compiled ({words})"
    difference = deviation(np.concatenate(found), np.concatenate(expected))
    if not difference <= SAME_LOSS[precision]:
        return False, f"not compiled, because that changes the loss by {difference:.2g}"
    faster = plain_s / compiled_s
    return faster >= WORTH_COMPILING, f"compiled it is {faster:.2f} times as fast"


def is_worth_reordering(make_plane: Callable[[bool], PointLosses]) -> tuple[bool, str]:
    """Return whether channels last in memory are faster, and a text that tells by how much.

    Tensor cores need this layout; kernels of plain float32 may be slower with it.

    Args:
        make_plane: Function that returns a plane with channels last, or in torch's own order.
    """
    usual_s, reordered_s = (
        make_plane(is_last).shortest_seconds(*POINTS[0]) for is_last in (False, True)
    )
    faster = usual_s / reordered_s
    words = f"channels last are {faster:.2f} times as fast as first"
    return faster >= WORTH_REORDERING, words


def choose_points_at_once(
    make_plane: Callable[[], PointLosses],
    make_stack: Callable[[int], StackedLossPlane],
    *,
    most: int,
) -> tuple[int, str]:
    """Return how many points to compute at once, and why.

    Args:
        make_plane: Function that makes a plane to time, for one point at a time.
        make_stack: Function that makes a plane for several points at a time.
        most: Largest useful number of points.
    """
    taken, words = 1, "one point at a time"
    plane = make_plane()
    alone_s = shortest_s = plane.shortest_seconds(*POINTS[0])
    for n_points in (n for n in STACKS if n <= most):
        try:
            stack = make_stack(n_points)
            fault = stack.find_fault(plane)
            seconds = stack.shortest_seconds()
        except torch.OutOfMemoryError:
            break
        except Exception as problem:  # a network's operations may not support several points
            fault = f"not stacked ({' '.join(str(problem).split())[:100]})"
        if fault is not None:
            return taken, f"{words}, {fault}" if taken == 1 else words
        if WORTH_STACKING * seconds > shortest_s:
            break
        taken, shortest_s = n_points, seconds
        words = f"{n_points} points at a time, {alone_s / seconds:.2f} times as fast as one"
    return taken, words
