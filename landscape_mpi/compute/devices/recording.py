"""Record CUDA graphs, which launch the kernels of some work again at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from landscape_mpi.compute.devices.device import Work

SLACK = 1.25  # bytes of free memory; a recording allocates larger pieces
OUT_OF_MEMORY = "out of memory"  # CUDA's words for it, whatever the class of the error


class Recorder:
    """Hold one stream and one memory pool for all recordings of a device.

    Recordings are replayed one after the other, and their results lie outside the pool, so each
    recording may use the memory of the others.
    """

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()
        self._pool = torch.cuda.graph_pool_handle()

    def record(self, work: Work) -> Work:
        """Record some work on the current GPU; return a function that launches it again.

        Raises:
            OutOfMemoryError: If the recording failed for lack of memory.
            RuntimeError: If the recording failed for another reason.
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
            torch.cuda.set_stream(outside)  # a failed recording leaves its own stream current
        return graph.replay


_recorders: dict[int, Recorder] = {}
_failed: list[Any] = []  # kept, because older versions of torch abort when such a graph is freed


def record(work: Work, index: int) -> Work:
    """Record some work on the current GPU.

    Args:
        work: Function that launches the same kernels each time.
        index: Index of the GPU.

    Raises:
        OutOfMemoryError: If the GPU's memory does not suffice, however CUDA words the error.
        RuntimeError: If the work cannot be recorded.
    """
    recorder = _recorders.pop(index, None) or Recorder()
    replay = recorder.record(work)  # otherwise its stream and pool are not used again
    _recorders[index] = recorder
    return replay


def _shortages() -> int:
    """Return how often the allocator of the current GPU could not find enough memory."""
    return int(torch.cuda.memory_stats().get("num_ooms", 0))


def _bytes_taken_by(work: Work) -> int:
    """Do some work; return the largest amount of memory it took beyond the memory already held.

    Libraries allocate their workspaces at a stream's first call; a recording must not do this.
    """
    held = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    return torch.cuda.max_memory_allocated() - held


def is_underway() -> bool:
    """Return whether this thread's work for a GPU is being recorded and not computed."""
    return torch.cuda.is_available() and torch.cuda.is_current_stream_capturing()


def is_for_memory(problem: BaseException) -> bool:
    """Return whether lack of memory caused an error, or an error that led to it."""
    return any(
        isinstance(error, torch.OutOfMemoryError) or OUT_OF_MEMORY in str(error).lower()
        for error in _chain(problem)
    )


def _chain(problem: BaseException | None) -> Iterator[BaseException]:
    while problem is not None:
        yield problem
        problem = problem.__cause__ or problem.__context__
