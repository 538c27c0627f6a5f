"""Compute a problem's loss and metrics over whole splits at grid points, on one device.

A row is a batch. The functions' values for a batch depend only on the batch and the weights: random
numbers are seeded for each batch and function, modules are in evaluation mode before each call, and
a batch that is changed in place is read again. Each thread has its own network. Threads are used
only if no random numbers are drawn, because the whole process shares the generators. Changes that
calls make to the weights of a point are undone after them, and refused if they change the values of
other batches.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from weakref import WeakSet

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.batch_functions import call
from landscape_mpi.compute.batch_norm import copy_statistics
from landscape_mpi.compute.batch_tree import moved
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.evaluation import Setting, mean_values, prepare_device
from landscape_mpi.compute.kept_weights import KeptWeights
from landscape_mpi.compute.modes import Modes
from landscape_mpi.compute.motion import Motion
from landscape_mpi.compute.moving_network import FreeNetworks
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.problem_network import ProblemNetwork
from landscape_mpi.compute.problem_split import HeldBatch, ProblemSplit
from landscape_mpi.compute.problem_statistics import ProblemStatistics
from landscape_mpi.compute.random_numbers import Generators, batch_seed
from landscape_mpi.compute.tensors import tensors_named
from landscape_mpi.compute.thread_watch import ThreadWatch
from landscape_mpi.compute.threads import single_core_threads
from landscape_mpi.errors import InputError
from landscape_mpi.problem import BatchFunction

SAME = 1e-5  # relative; allowed if batches are evaluated in another order


class ProblemPlane(PointLosses[ProblemSplit]):
    """Hold a problem's network, its motion and its batches."""

    def __init__(
        self,
        network: ProblemNetwork,
        motion: Motion,
        splits: Mapping[str, ProblemSplit],
        setting: Setting,
        *,
        functions: Sequence[BatchFunction],
        seed: int,
        dtype: torch.dtype | None = None,
        statistics_of: ProblemSplit | None = None,
    ) -> None:
        """Prepare to evaluate points.

        Args:
            network: The network; several planes may move it in turn.
            motion: Motion that defines the points in weight space.
            splits: Batches by name of split, on the setting's device.
            setting: How to evaluate, with batches of one row. It applies to the whole process until
                the next plane. Of its steps, only threads, uncopied and views apply here.
            functions: The loss, followed by the metrics.
            seed: Seed of the random numbers of all batches.
            dtype: Type that floating-point tensors of batches are converted to at each call; None
                to keep their type.
            statistics_of: Batches on which batch-norm's running statistics are measured at every
                requested point; None to keep them fixed.

        Raises:
            InputError: If the setting asks for steps that a problem does not support.
            Exception: If the network can be neither built again nor copied for threads.
        """
        _check_setting(setting)
        prepare_device(setting, network.network)
        self._splits, self._functions, self._seed, self._dtype = splits, functions, seed, dtype
        self._copies = not setting.steps.uncopied
        threads = setting.n_threads if setting.device.is_host else 1
        further = [network.another() for _ in range(threads - 1)]
        networks = [network.at_center(), *further]
        steps = replace(setting.steps, channels_last=False)
        self._holder = network
        self._network = motion.of(networks, device=setting.device.name, steps=steps)
        network.take(self)
        self._own, self._free = networks[0], FreeNetworks(networks)
        self._modes = {id(network): Modes(network) for network in networks}
        self._kept = KeptWeights(networks, self._network)
        self._further = further
        self._statistics = self._measuring(statistics_of, setting.device)
        self._harmless: WeakSet[ProblemSplit] = WeakSet()  # whether batches may be changed in place
        self._threads = threads
        self._pool: ThreadPoolExecutor | None = single_core_threads(threads) if further else None
        self._generators = Generators(setting.device)
        self._point = (0.0, 0.0)
        self._draws = False  # whether random numbers are drawn, as far as known
        self._is_watched = False  # whether all batches were watched for this, one by one
        self.description = "weights in one vector" if steps.views else "weights copied in"
        self.description += "" if self._copies else ", batches uncopied"

    @property
    def launching(self) -> str:
        """Return how the batches of a point are started; known after the first point."""
        if self._draws:
            return "batch by batch, each with its own random numbers"
        return "batch by batch" if self._pool is None else "batches distributed over threads"

    def _move_to(self, alpha: float, beta: float) -> None:
        if not self._holder.is_of(self):  # another plane has moved the network in the meantime
            self._holder.at_center()
            self._network.take_back()
            self._holder.take(self)
        self._network.move_to(alpha, beta)
        self._point = alpha, beta

    def compute_losses(self, alpha: float, beta: float) -> None:
        """Fill in every split the sums of a point."""
        self._move_to(alpha, beta)
        if self._statistics is not None:
            self._measure(self._statistics)
        for samples in self._splits.values():
            self._run(samples)

    def _measuring(self, batches: ProblemSplit | None, device: Device) -> ProblemStatistics | None:
        if batches is None:
            return None
        loss, seed = self._functions[0], self._seed
        return ProblemStatistics(self._own, loss, batches, seed=seed, device=device)

    def _measure(self, statistics: ProblemStatistics) -> None:
        """Give the networks of all threads the running statistics of the point."""
        statistics.measure()
        self._network.move_to(*self._point)  # in training mode, a loss may change the weights
        for network in self._further:
            copy_statistics(self._own, network)
        self._kept.note_unmoved()

    def try_statistics(self) -> None:
        """Check that running statistics can be measured, if requested.

        Raises:
            InputError: If they cannot.
        """
        if self._statistics is not None:
            self._move_to(0.0, 0.0)
            self.description += f", {self._statistics.try_layers()}"

    def evaluate(self, alpha: float, beta: float) -> np.ndarray:
        """Return the value of each function for each split at a point, float64."""
        self.compute_losses(alpha, beta)
        finishes = [function.finish for function in self._functions]
        return mean_values([samples.kept for samples in self._splits.values()], finishes=finishes)

    def losses_at(self, alpha: float, beta: float, samples: ProblemSplit) -> torch.Tensor:
        """Return the mean loss of every batch at a point, float64 [n_batches].

        Args:
            alpha: Coordinate of the point along the first direction.
            beta: Coordinate along the second.
            samples: Samples on the device; they need not belong to the plane's own splits.
        """
        self._move_to(alpha, beta)
        self._run(samples)
        return samples.losses

    def look_at(
        self, alpha: float, beta: float, samples: ProblemSplit, rows: slice
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return sums, counts and losses of some batches at a point, computed one after the other.

        Args:
            alpha: Coordinate of the point along the first direction.
            beta: Coordinate along the second.
            samples: Samples on the device; they need not be of the plane's own splits.
            rows: Rows of the batches in these samples.

        Returns:
            Sum and count of each function, float64 [n, 2 * n_functions], and the mean loss of each
            batch, float64 [n].
        """
        self._move_to(alpha, beta)
        values = torch.stack(list(self._values_alone(samples, range(len(samples))[rows])))
        return values, values[:, 0] / values[:, 1]

    def thread_hazard(self, alpha: float, beta: float, samples: ProblemSplit) -> str | None:
        """Return why threads would disturb each other; None if a call does nothing of the kind.

        Args:
            alpha: Coordinate of the point along the first direction.
            beta: Coordinate along the second.
            samples: Batches on the device.
        """
        self._move_to(alpha, beta)
        weights = tensors_named(self._own, self._network.names).values()
        with ThreadWatch(self._own, weights) as watch:
            for _ in self._values_alone(samples, range(len(samples))):
                pass
        return watch.reason

    def forget(self, samples: ProblemSplit) -> None:
        """Do nothing, because nothing is kept."""

    def take(self, splits: Mapping[str, ProblemSplit], statistics_of: ProblemSplit) -> None:
        """Evaluate other batches from now on.

        Args:
            splits: Batches by the name of their split, on the device.
            statistics_of: Batches on which running statistics are measured, if at all.

        Raises:
            InputError: If they cannot be measured.
        """
        self._splits = splits
        if self._statistics is not None:
            self._statistics.take(statistics_of)
            self.try_statistics()

    def _run(self, samples: ProblemSplit) -> None:
        """Fill in a split the sums at the current weights; the weights stay unchanged.

        Raises:
            InputError: If a count is not valid. If a call replaces the weights, or changes them so
                that a later call gives other values.
        """
        self._kept.note()
        self._fill(samples)
        samples.check_counts(samples.values)
        if self._kept.is_replaced:
            raise InputError(
                "Problem: the loss or a metric replaces parameters of the network on batches of "
                f"data[{samples.name!r}] (param.data = ..., a new nn.Parameter), so they would "
                "not move to the next point. Change them in place and restore them, or evaluate a "
                "copy with other weights by torch.func.functional_call."
            )
        if not self._kept.is_changed:
            return
        self._restore()
        if samples not in self._harmless:
            self._check_backwards(samples)
            self._harmless.add(samples)

    def _restore(self) -> None:
        """Restore the weights of the point after calls have changed them."""
        self._kept.restore_unmoved()
        self._network.move_to(*self._point)

    def _check_backwards(self, samples: ProblemSplit) -> None:
        """Check that changes of the weights by calls do not affect the values of other batches.

        Raises:
            InputError: If they do.
        """
        rows = range(len(samples))[::-1]
        for k, values in zip(rows, self._values_alone(samples, rows), strict=True):
            kept = samples.values[k]
            if not torch.allclose(values, kept, rtol=SAME, atol=0.0, equal_nan=True):
                raise InputError(
                    "Problem: the loss or a metric changes weights or buffers of the network, and "
                    f"batch {samples.rows[k]} of data[{samples.name!r}] gives other values for it "
                    f"({float(kept[0]):.6g} or {float(values[0]):.6g} for the sum of the loss, by "
                    "what was computed before). Ranks divide the batches among themselves, so the "
                    "surface would depend on their number. Restore weights and running statistics "
                    "at the end of the loss, or evaluate a copy of the network."
                )
        self._restore()

    def _fill(self, samples: ProblemSplit) -> None:
        if self._pool is not None and not self._draws:
            self._draws = self._run_in_threads(samples, self._pool)
            if not self._draws:
                return
        every = range(len(samples))
        for k, values in zip(every, self._values_alone(samples, every), strict=True):
            samples.keep(k, values)

    def _run_in_threads(self, samples: ProblemSplit, pool: ThreadPoolExecutor) -> bool:
        """Distribute the batches over threads; return whether random numbers were drawn.

        If they were, the sums are invalid, because threads drew each other's numbers.
        """
        before = self._generators.states()
        # Not a state that a loss itself may set, so that even such a loss shows.
        self._generators.seed(batch_seed(self._seed, 0, use="threads"))
        unused = self._generators.states()
        try:
            self._share_out(samples, pool)
            return self._generators.states() != unused
        finally:
            self._generators.restore(before)

    def _share_out(self, samples: ProblemSplit, pool: ThreadPoolExecutor) -> None:
        running: deque[Future[None]] = deque()
        try:
            for k in range(len(samples)):
                held = samples.hold(k)  # read here, and only as far ahead as needed
                running.append(pool.submit(self._fill_row, samples, k, held))
                if len(running) > self._threads:
                    running.popleft().result()
        finally:
            problems = [future.exception() for future in running]
        for problem in problems:
            if problem is not None:
                raise problem

    def _fill_row(self, samples: ProblemSplit, k: int, held: HeldBatch) -> None:
        with self._free.one() as network:
            samples.keep(k, self._values(network, samples, k, held, seed=None))

    def _values_alone(self, samples: ProblemSplit, rows: range) -> Iterator[torch.Tensor]:
        """Yield the sums and counts of batches, computed by the user's own network."""
        before = self._generators.states()
        try:
            for k in rows:
                seed = batch_seed(self._seed, samples.rows[k])
                yield self._values(self._own, samples, k, samples.hold(k), seed=seed)
        finally:
            self._generators.restore(before)
        self._is_watched = True

    def _values(
        self,
        network: nn.Module,
        samples: ProblemSplit,
        k: int,
        held: HeldBatch,
        *,
        seed: int | None,
    ) -> torch.Tensor:
        """Return the sum and the count of each function for a batch, float64 [2 * n_functions].

        Args:
            network: Network to call.
            samples: The split.
            k: Row of the batch.
            held: The batch.
            seed: Seed of the random numbers of each function; None if none are drawn.
        """
        alpha, beta = self._point
        where = (
            f"batch {samples.rows[k]} of data[{samples.name!r}] at alpha = {alpha:.4g}, "
            f"beta = {beta:.4g}"
        )
        found = []
        for function in self._functions:
            batch = held.lend(copied=self._copies or samples.is_copied(k))
            if self._dtype is not None:
                batch = moved(batch, self._holder.device, self._dtype)
            if seed is not None:
                self._generators.seed(seed)
            watched = None if self._is_watched or seed is None else self._generators.states()
            self._modes[id(network)].restore()
            found.append(call(function, network, batch, where))
            self._draws |= watched is not None and self._generators.states() != watched
            if held.is_changed:
                held = samples.renew(k)
        return torch.cat([pair.to(samples.values.device) for pair in found])


def _check_setting(setting: Setting) -> None:
    """Refuse settings that would be ignored silently.

    Raises:
        InputError: If the setting contains one.
    """
    if setting.precision == "bf16":
        raise InputError(
            "--precision bf16: a problem computes in the types of its network and its batches. "
            "Pass --precision fp32, and dtype='bfloat16' in the Problem for weights of that type."
        )
    if setting.compiled or setting.points > 1:
        raise InputError(
            f"--compile {'on' if setting.compiled else 'off'}, --points-at-once {setting.points}: "
            "a problem's loss is called unchanged, one point after the other. Pass --compile off "
            "and --points-at-once 1; the network may be compiled in the Problem."
        )
