"""The evaluation of points portion by portion, until their losses are known well enough."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch

from landscape_mpi.cluster.groups import Group
from landscape_mpi.compute.evaluation import Setting
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.engine.plan import Plan
from landscape_mpi.engine.sampling.order import portions
from landscape_mpi.engine.sampling.rule import SamplingRule
from landscape_mpi.engine.sampling.tally import Tally
from landscape_mpi.engine.shared_inputs import SharedInputs

Place = tuple[float, float]
Whole = Callable[[Any], tuple[torch.Tensor, ...] | None]  # joins what the group's ranks kept


class SampledSplit:
    """This rank's share of the portions of a split, on its device."""

    def __init__(
        self, inputs: SharedInputs, name: str, n_all: int, setting: Setting, group: Group
    ) -> None:
        """Put the share on the device. Local.

        Args:
            inputs: This rank's inputs.
            name: Name of the split.
            n_all: Samples of the split, or batches of a problem.
            setting: The setting of the evaluation.
            group: The ranks that share a point with this one.
        """
        self.n_all = n_all
        rows = portions(n_all, setting.batch)
        self.sizes = [len(each) for each in rows]
        self.ends = np.cumsum(self.sizes)
        self.portions = [
            inputs.samples(name, _share(each, setting.batch, group), setting.device)
            for each in rows
        ]


def _share(rows: np.ndarray, batch: int, group: Group) -> np.ndarray:
    """Return this rank's rows of a portion: whole batches, so that their losses stay the same."""
    part = group.part(-(-len(rows) // batch))
    return rows[part.start * batch : part.stop * batch]


class SampledPoints:
    """Evaluates points from as many samples as the rule of the plan needs."""

    def __init__(
        self, plan: Plan, inputs: SharedInputs, setting: Setting, group: Group, whole: Whole
    ) -> None:
        """Put the samples on the device. Local.

        Args:
            plan: The plan of the run; it has a rule.
            inputs: This rank's inputs.
            setting: The setting of the evaluation.
            group: The ranks that share a point with this one.
            whole: Joins the values that the ranks of the group kept, on its leader.
        """
        assert plan.sampling is not None
        self._rule: SamplingRule = plan.sampling
        self._inputs, self._group, self._whole = inputs, group, whole
        self._splits = {
            name: SampledSplit(inputs, name, n, setting, group)
            for name, n in plan.subject.n_samples.items()
        }
        self._guesses, self._guessed = np.array(plan.subject.guesses), plan.subject.guessed
        self._known: dict[int, np.ndarray] = {}

    @property
    def first(self) -> dict[str, Any]:
        """Return the first portion of each split."""
        return {name: split.portions[0] for name, split in self._splits.items()}

    def go_on_from(self, rows: Mapping[int, np.ndarray]) -> None:
        """Take further samples at some points; every rank knows the same ones.

        Args:
            rows: By point, what Tally.row() gave for each split, one after the other.
        """
        self._known = dict(rows)

    def record(self, plane: PointLosses[Any]) -> None:
        """Evaluate every portion once, so that a device can record it while memory is free."""
        for split in self._splits.values():
            for samples in split.portions:
                plane.losses_at(0.0, 0.0, samples)

    def evaluate(
        self,
        plane: PointLosses[Any],
        place: Place,
        point: int,
        users_own: Callable[[Place], AbstractContextManager[None]],
    ) -> np.ndarray | None:
        """Return the quantities of a point, then their errors and sums. Collective over the group.

        Args:
            plane: Evaluates samples.
            place: Coordinates of the point.
            point: Flat index of the point.
            users_own: Context in which errors of the user's code are told apart.

        Returns:
            Float64 [n_values] on the leader of the group, None elsewhere.
        """
        known = self._known.pop(point, None)
        splits = self._splits.values()
        before = (
            [None for _ in splits]
            if known is None
            else [Tally.of_row(row) for row in np.split(known, len(splits))]
        )
        means, rows = [], []
        for split, begun in zip(splits, before, strict=True):
            tally = self._take(plane, place, split, begun, users_own)
            if tally is not None:
                means.append(tally.means)
                rows.append(tally.row(split.n_all, self._guesses, guessed=self._guessed))
        return np.concatenate([*means, *rows]) if self._group.is_leader else None

    def _take(
        self,
        plane: PointLosses[Any],
        place: Place,
        split: SampledSplit,
        tally: Tally | None,
        users_own: Callable[[Place], AbstractContextManager[None]],
    ) -> Tally | None:
        """Take portions until they suffice; return their sums on the leader of the group."""
        n_taken = 0 if tally is None else tally.n

        for samples, size, end in zip(split.portions, split.sizes, split.ends, strict=True):
            if end <= n_taken:
                continue
            if self._group.any(tally is not None and self._is_met(tally, split)):
                break

            def work(samples: Any = samples) -> None:
                with users_own(place):
                    plane.losses_at(*place, samples)

            self._group.agree(work)
            kept = self._whole(samples)
            if kept is not None:
                portion = self._inputs.unit_values(kept, size)
                tally = Tally.begin(portion) if tally is None else tally.add(portion)
        return tally if self._group.is_leader else None

    def _is_met(self, tally: Tally, split: SampledSplit) -> bool:
        errors = tally.standard_errors(split.n_all, self._guesses, guessed=self._guessed)
        return bool(self._rule.is_met(tally.means[0], errors[0], np.array(tally.n), split.n_all))
