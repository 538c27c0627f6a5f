"""Compare a problem's fast evaluations with the plain one: the user's own network and loss.

The reference is the user's own object. The weights of a point are copied into it in training mode,
eval() is called, and the loss calls it on copies of the batches, one after the other, each with the
batch's random numbers. Threads, weights in one vector and uncopied batches are each left out if
they do not give the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch

from landscape_mpi.compute.agreement import (
    CENTER,
    MOST_BATCHES,
    SAME_ALONE,
    Agreement,
    Point,
    Seen,
    relative,
    same_bits,
)
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.lockstep import lockstep
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.problem_split import ProblemSplit
from landscape_mpi.compute.random_numbers import DrawWatch
from landscape_mpi.compute.steps import PLAIN, steps_of
from landscape_mpi.errors import InputError, UserCodeError

LEAST_BATCHES = 3  # batches compared, if available: side effects of one may show in others
DRAWN = "random numbers are drawn, but threads share their generator"
UNCOPIED = "a copy of the network gives other values than the network, e.g. because of a hook"


class MakeProblemPlane(Protocol):
    """Prepare an evaluation of some batches."""

    def __call__(
        self,
        splits: dict[str, ProblemSplit],
        setting: Setting,
        *,
        exact: bool = False,
        again: bool = False,
    ) -> PointLosses[ProblemSplit]:
        """Return the evaluation: in float64 if ``exact``, of a second such network if ``again``."""


@dataclass(frozen=True)
class SeenSums(Seen):
    """Hold sums and counts at one point, float64 [n, 2 * n_functions], in ``outputs``."""

    def apart_from(self, expected: Seen) -> float:
        """Return the largest difference of means, relative to the function's largest mean."""
        pairs = zip(_means(self.outputs).T, _means(expected.outputs).T, strict=True)
        return max(relative(found, known, scale_of=known) for found, known in pairs)


class ProblemAgreement(Agreement[ProblemSplit]):
    """Compare evaluations of a problem with the plain one, on real batches."""

    most_steps = steps_of(("threads", "uncopied", "views"))

    def __init__(
        self,
        make_plane: MakeProblemPlane,
        take_batches: Callable[[np.ndarray], ProblemSplit],
        setting: Setting,
        *,
        n_batches: int,
        moved: Sequence[Point],
        copied: bool = False,
        spread: bool = True,
    ) -> None:
        """Prepare to compare.

        Args:
            make_plane: Function that prepares an evaluation.
            take_batches: Function that puts batches of a split, given by their numbers, int64 [n],
                on the setting's device.
            setting: How the run will evaluate, with a batch of 1.
            n_batches: Number of batches of the split.
            moved: Points other than the center, best first; the comparison uses the first one at
                which the loss is finite.
            copied: Whether further networks are copies of the live one.
            spread: Whether to compare batches from the whole split, including the first and the
                last one. This needs a source that reads each batch alone. Otherwise the first
                batches are compared.
        """
        super().__init__(make_plane, take_batches, setting, n_samples=n_batches, moved=moved)
        most = max(LEAST_BATCHES, min(MOST_BATCHES, setting.threads))
        n_compared = min(n_batches, most)
        self._compared = np.arange(n_compared)
        last = n_batches - 1 if spread else n_compared - 1
        self._rows = np.linspace(0, last, n_compared).round().astype(np.int64)
        self._n_first = len(self._rows)
        self._make_problem_plane = make_plane
        self._draws = False
        self._is_copied, self._copies_differ = copied, False

    def check_plain(self) -> None:
        """Check that the loss is a function of the weights and of the batch.

        Raises:
            UserCodeError: If the loss, a metric or the data raise.
            InputError: If the batches differ when they are read again. If the values differ in a
                second call, in another order of the batches, or for another network with the same
                weights. If the values do not change when the weights do. If autocast is on for the
                whole process.
            OutOfMemoryError: If the batches do not fit.
        """
        self._check_autocast()
        plain, samples = self._used_plain = self._plain()
        other = self._another(samples)  # before the first call, which may have side effects
        first = self._seen[CENTER] = self._look_once(plain, samples, CENTER)
        samples.check_counts(first.outputs)
        samples.check_read_again()
        again = self._look_once(plain, samples, CENTER)
        if not same_bits(first, again):
            number = samples.rows[_first_other(first, again)]
            raise InputError(
                "Problem: the same batches give different values the second time: those of batch "
                f"{number} of data[{samples.name!r}] change, although the generators of torch, "
                "numpy and random are seeded before each. A surface needs a loss that is a "
                "function of the weights and the batch. Make sure that no call changes the "
                "network or anything else that a later call reads, and seed your own generators "
                f"in the loss.{self._of_gpus}"
            )
        self._draws = self._is_drawing(plain, samples)
        self._check_order(plain, samples, first)
        self._check_moves(first)
        if other is not None:
            plain.losses_at(*CENTER, samples)  # a loss may have captured the user's own object
            self._check_another(other, samples, first)

    @property
    def _of_gpus(self) -> str:
        """Return a hint on operations that vary on a GPU."""
        if self._setting.device.is_host:
            return ""
        return (
            " On a GPU, operations that add in any order (scatter_add, index_add) vary in the "
            "last digits. Call torch.use_deterministic_algorithms(True) where the problem is made."
        )

    def _is_drawing(self, plain: PointLosses[ProblemSplit], samples: ProblemSplit) -> bool:
        """Return whether random numbers are drawn, or may be by code that cannot be watched."""
        with DrawWatch(self._setting.device) as watch:
            try:
                self._look_once(plain, samples, CENTER)
            except InputError:  # it computes if it is not watched
                return True
        return watch.drawn

    def _check_order(
        self, plain: PointLosses[ProblemSplit], samples: ProblemSplit, first: Seen
    ) -> None:
        """Check that no batch changes the values of the next one.

        Raises:
            InputError: If one does.
        """
        for k in reversed(range(len(samples))):
            values, _ = plain.look_at(*CENTER, samples, slice(k, k + 1))
            if not _equal(values.cpu(), first.outputs[k : k + 1]):
                raise InputError(
                    f"Problem: batch {samples.rows[k]} of data[{samples.name!r}] gives other "
                    "values when the batches are evaluated in another order. Something is kept "
                    "from batch to batch, but ranks divide the batches among themselves, so the "
                    "surface would depend on their number. Reset it at the beginning of the loss."
                )

    def _check_moves(self, first: Seen) -> None:
        """Check that the loss changes when the weights move.

        Raises:
            InputError: If the loss is the same number everywhere.
        """
        losses = first.losses
        self._check_pair(first)
        telling = losses.isfinite() & (losses != 0)
        if not self._moved or not bool(telling.any()):
            return
        if all(_equal(self._plain_at(point).losses, losses) for point in self._moved):
            (alpha, beta), loss = self._moved[0], float(losses[telling][0])
            raise InputError(
                "Problem: the loss does not change when the weights move: at the center and at "
                f"alpha = {alpha:.4g}, beta = {beta:.4g} it is {loss:.6g} to the last bit. "
                "Compute the loss with the network that is its first argument, which has the "
                "weights of the point."
            )

    def _check_pair(self, first: Seen) -> None:
        """Check that a pair is (sum, count), and not (count, sum).

        Raises:
            InputError: If the first number stays the same when the weights move, and the second
                does not.
        """
        for point in self._moved:
            seen = self._plain_at(point).outputs
            sums, counts = seen[:, 0], seen[:, 1]
            if _equal(sums, first.outputs[:, 0]) and not _equal(counts, first.outputs[:, 1]):
                raise InputError(
                    "Problem: the loss returned a pair whose first number stays the same when the "
                    f"weights move, {float(first.outputs[0, 0]):.6g} for a batch, but whose "
                    f"second number changes, from {float(first.outputs[0, 1]):.6g} to "
                    f"{float(seen[0, 1]):.6g}. Return (sum of the losses, number of samples that "
                    "count), in this order."
                )

    def _another(self, samples: ProblemSplit) -> PointLosses[ProblemSplit] | None:
        """Return the plain evaluation of another network; None if no other can be made.

        Raises:
            OutOfMemoryError: If it does not fit.
        """
        setting = replace(self._setting, steps=PLAIN, threads=1)
        try:
            return self._make_problem_plane({"train": samples}, setting, again=True)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # any error, from the network's own code
            return None

    def _check_another(
        self, other: PointLosses[ProblemSplit], samples: ProblemSplit, first: Seen
    ) -> None:
        """Check another network; copy it again if a copy cannot compute before its original.

        Raises:
            InputError: If it gives other values.
            UserCodeError: If a network built by the user's function cannot compute.
        """
        try:
            self._look_once(other, samples, self._first_moved)
        except UserCodeError:
            copied = self._another(samples) if self._is_copied else None
            if copied is None:
                raise
            other = copied
        self._check_begun_elsewhere(other, samples, first)

    @property
    def _first_moved(self) -> Point:
        """Return the first moved point at which the loss is finite, or the center."""
        return next((point for point in self._moved if self._is_finite(point)), CENTER)

    def _check_begun_elsewhere(
        self, other: PointLosses[ProblemSplit], samples: ProblemSplit, first: Seen
    ) -> None:
        """Check at the center another network that was first called at another point.

        Raises:
            InputError: If its values differ.
        """
        self._look_once(other, samples, self._first_moved)
        apart = self._look_once(other, samples, CENTER).apart_from(first)
        if apart <= SAME_ALONE:
            return
        self._copies_differ = self._is_copied and self._differs_when_copied(samples, first)
        if not self._copies_differ:
            raise InputError(
                f"Problem: another network with the same weights gives other values, by "
                f"{apart:.2g} of the largest. Either the network keeps what it computes from its "
                f"weights or its batch in the first call, and would be wrong at every other "
                f"point: compute it in each call. Or its function draws tensors that its state "
                f"dict does not hold: register them as buffers, or seed the generator."
            )

    def _differs_when_copied(self, samples: ProblemSplit, first: Seen) -> bool:
        """Return whether a copy of the network gives other values even without moving.

        A hook that closes over the network writes into the original, and a copy reads the old value
        from the time of copying. In this case no copy is used.
        """
        copy = self._another(samples)
        assert copy is not None
        return self._look_once(copy, samples, CENTER).apart_from(first) > SAME_ALONE

    def _exact_at(self, point: Point) -> Seen | None:
        """Return the values in float64; None if no copy of the network can compute them."""
        return None if self._copies_differ else super()._exact_at(point)

    def _check_batches(self) -> None:
        """Do nothing, because the plain evaluation uses the batches of the run."""

    def center_outputs(self) -> tuple[float, ...]:
        """Return the mean of each function for the first batch at the center."""
        return tuple(_means(self._plain_at(CENTER).outputs)[0].nan_to_num().tolist())

    def center_scale(self) -> float:
        """Return 0, because means of functions are judged by their own size."""
        return 0.0

    def outputs_of_first(self) -> tuple[float, ...]:
        """Return center_outputs() again, computed now from the first batch alone."""
        plain, samples = self._plain()
        values, _ = plain.look_at(*CENTER, samples, slice(0, 1))
        return tuple(_means(values.cpu())[0].nan_to_num().tolist())

    def _why_no_threads(self) -> str | None:
        """Return the reason why threads may disturb each other; None if none is known."""
        if self._draws:
            return DRAWN
        return UNCOPIED if self._copies_differ else super()._why_no_threads()

    def fault_of_plane(
        self, plane: PointLosses[ProblemSplit], samples: ProblemSplit, *, n_threads: int = 1
    ) -> str | None:
        """Return the reason why a prepared evaluation does not agree; None if it agrees.

        Args:
            plane: Prepared evaluation.
            samples: Batches on its device.
            n_threads: Number of batches that it computes at the same time.
        """
        fault = super().fault_of_plane(plane, samples, n_threads=n_threads)
        if fault is None and samples.is_changed:
            return "the loss changes the batch that it is given"
        return fault

    def _is_same_again(
        self, plane: PointLosses[ProblemSplit], samples: ProblemSplit, first: Seen
    ) -> bool:
        return same_bits(first, self._look_at(plane, samples, CENTER))

    def _look_at(
        self,
        plane: PointLosses[ProblemSplit],
        samples: ProblemSplit,
        point: Point,
        *,
        n_threads: int = 1,
    ) -> Seen:
        with lockstep(n_threads):
            losses = plane.losses_at(*point, samples).cpu()
        return SeenSums(samples.values.cpu().clone(), losses.clone())

    def _look_once(
        self, plane: PointLosses[ProblemSplit], samples: ProblemSplit, point: Point
    ) -> Seen:
        values, losses = plane.look_at(*point, samples, slice(0, len(samples)))
        return SeenSums(values.cpu(), losses.cpu())


def _means(values: torch.Tensor) -> torch.Tensor:
    """Return the mean of each function, float64 [n, n_functions]."""
    return values[:, 0::2] / values[:, 1::2]


def _first_other(one: Seen, other: Seen) -> int:
    """Return the first row whose values differ."""
    pairs = enumerate(zip(one.outputs, other.outputs, strict=True))
    return next(k for k, (values, others) in pairs if not _equal(values, others))


def _equal(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())
