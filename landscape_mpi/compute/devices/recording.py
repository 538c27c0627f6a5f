"""CUDA graphs: the kernels of some work, launched again at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from landscape_mpi.compute.devices.device import Work

SLACK = 1.25  # of memory: what a recording takes lies in larger pieces
OUT_OF_MEMORY = "out of memory"  # in the words of CUDA, whatever the class of the error


class Recorder:
    """One stream and one pool of memory, for all recordings of a device.

    Recordings are replayed one after the other, and what they leave lies outside of the pool, so
    that each may use the memory of the others.
    """

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, work: Work) -> Work:
        """Record some work on the current GPU, and return what launches it again.

        Raises:
            OutOfMemoryError: If the recording failed where memory is as short as that.
            RuntimeError: If it failed.
        """
        outside, stream = torch.cuda.current_stream(), self._stream
        stream.wait_stream(outside)
        with torch.cuda.stream(stream):
            needed = _bytes_taken_by(work)
        outside.wait_stream(stream)
        graph, free = torch.cuda.CUDAGraph(), torch.cuda.mem_get_info()[0]
        n_shortages = _shortages()
        try:
            with torch.cuda.graph(graph, pool=self._pool, stream=stream):
                work()
        except RuntimeError as problem:
            _failed.append(graph)
            if is_for_memory(problem) or _shortages() > n_shortages:
                words = "CUDA out of memory while a graph was recorded"
                raise torch.OutOfMemoryError(words) from problem
            if free < SLACK * needed:
                words = f"a graph needs {needed:,} bytes or more, and {free:,} are free"
                raise torch.OutOfMemoryError(f"CUDA out of memory: {words}") from problem
            raise
        finally:
            torch.cuda.set_stream(outside)  # a recording that fails leaves its own one behind
        return graph.replay


_recorders: dict[int, Recorder] = {}
_failed: list[Any] = []  # kept: older versions of torch stop where such a graph is freed


def record(work: Work, index: int) -> Work:
    """Record some work on a GPU, which is the current one.

    Args:
        work: Gives the same kernels each time.
        index: Of the GPU.

    Raises:
        OutOfMemoryError: If its memory does not suffice, in whatever words CUDA says so.
        RuntimeError: If the work cannot be recorded.
    """
    recorder = _recorders.pop(index, None) or Recorder()
    replay = recorder.record(work)  # or its stream and pool are not used again
    _recorders[index] = recorder
    return replay


def _shortages() -> int:
    """Return how often the allocator of the current GPU has not found what it was asked for."""
    return int(torch.cuda.memory_stats().get("num_ooms", 0))


def _bytes_taken_by(work: Work) -> int:
    """Do some work, and return the most memory that it took beside what is held.

    Libraries take their workspaces on a stream's first call, which a recording must not do.
    """
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() - held


def is_underway() -> bool:
    """Return whether what this thread gives to a GPU is recorded, and not computed."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def is_for_memory(problem: BaseException) -> bool:
    """Return whether memory is the cause of an error, or of one that it followed."""
    return any(
        isinstance(error, torch.OutOfMemoryError) or OUT_OF_MEMORY in str(error).lower()
        for error in _chain(problem)
    )


def _chain(problem: BaseException | None) -> Iterator[BaseException]:
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__
