"""A problem on every rank, each with a separate network and part of the batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NoReturn

import numpy as np
import torch

from landscape_mpi.cluster.communicator import Ranks, SharedInputError, agree
from landscape_mpi.cluster.comparison import compare_words
from landscape_mpi.compute.agreement import Point
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.evaluation import Setting, mean_values
from landscape_mpi.compute.motion import Motion, PathMotion
from landscape_mpi.compute.moved_loss import MovedLoss
from landscape_mpi.compute.problem_agreement import ProblemAgreement
from landscape_mpi.compute.problem_losses import ProblemLosses
from landscape_mpi.compute.problem_network import ProblemNetwork
from landscape_mpi.compute.problem_plane import ProblemPlane
from landscape_mpi.compute.problem_split import ProblemSplit, type_of
from landscape_mpi.compute.tensors import fill_network, is_unfinished
from landscape_mpi.compute.unit_values import UnitValues, values_of_batches
from landscape_mpi.engine.plan import Plan
from landscape_mpi.engine.problem_inputs import batches_of, first_loss, name_of
from landscape_mpi.engine.problem_source import ProblemSource
from landscape_mpi.engine.shared_inputs import SharedInputs, Take, training_of
from landscape_mpi.engine.subject import ProblemSubject
from landscape_mpi.errors import InputError
from landscape_mpi.problem import Problem
from landscape_mpi.tensor_names import is_statistic
from landscape_mpi.zoo.own_network import float_types

SAME_PROBLEM = "Every rank makes the problem itself. Let it make the same one everywhere."


class SharedProblem(SharedInputs):
    """A problem and its data on every rank."""

    def __init__(
        self,
        ranks: Ranks,
        plan: Plan,
        arrays: dict[str, np.ndarray],
        source: ProblemSource,
        *,
        limit: int | None,
    ) -> None:
        """Send the inputs of rank 0, and make the problem here. Collective over the ranks.

        Args:
            ranks: All ranks of the run.
            plan: The plan of the run.
            arrays: On rank 0, the arrays that it read, emptied here; nothing elsewhere.
            source: Source of the problem.
            limit: Limit of the training data.

        Raises:
            SharedInputError: If ranks have different problems or data.
        """
        assert isinstance(plan.subject, ProblemSubject)
        self.subject, self._source, self._limit = plan.subject, source, limit
        self._holder: ProblemNetwork | None = None
        self._n_sharing = ranks.node.size
        compare_words(ranks, "Problem", _words_of(agree(ranks, source.get)), SAME_PROBLEM)
        super().__init__(ranks, plan, arrays)
        self._compare_data(ranks)

    def _begin(self) -> torch.nn.Module:
        self.problem = self._source.get()
        splits = tuple(self.subject.n_samples)
        self._batches = batches_of(self.problem, splits, self._limit)
        network = self.problem.network
        network.train()
        if is_unfinished(network):
            first_loss(self.problem, next(iter(self._batches.values())), network.eval())
            network.train()
        return network

    def _compare_data(self, ranks: Ranks) -> None:
        """Compare networks and batches, now that the network is finished on all ranks.

        Raises:
            SharedInputError: If some rank has others.
        """
        network = self.problem.network
        kinds = {
            "the class of the network": type(network).__name__,
            "the type of its weights": ", ".join(float_types(network)),
        }
        compare_words(ranks, "Problem", kinds, SAME_PROBLEM)
        batches = self._batches.values()
        prints = agree(ranks, lambda: [one.fingerprint() for one in batches])
        everyone = ranks.comm.allgather((prints, ranks.host))
        for rank, (other, host) in enumerate(everyone):
            if other != everyone[0][0]:
                raise SharedInputError(
                    f"Problem: rank {rank} on {host} has other data than rank 0 on "
                    f"{everyone[0][1]}: another number or order of batches, or other values in "
                    "them. Every rank makes the problem itself. Let it read the same data "
                    "everywhere, and seed its random draws and shuffles."
                )

    def build(self) -> torch.nn.Module:
        """Return the problem's own network at the center, in training mode."""
        if self._holder is not None:
            return self._holder.at_center()
        network = self.problem.network
        subject = self.subject
        fill_network(network, self._part("state"), subject.extra, option=subject.option)
        return network

    def _agreement_of(
        self, split: str, take: Take, setting: Setting, *, n_samples: int, moved: Sequence[Point]
    ) -> ProblemAgreement:
        return ProblemAgreement(
            self._plane,
            take,
            setting,
            n_batches=n_samples,
            moved=moved,
            copied=self._source.spec is None,
            spread=self._batches[split].reads_alone,
        )

    def samples(self, split: str, rows: slice | np.ndarray, device: Device) -> ProblemSplit:
        """Put batches of a split on a device, as far as they fit."""
        return ProblemSplit.of_problem(
            self.problem,
            self._batches[split],
            rows,
            device=device,
            n_functions=len(self.problem.functions),
            n_sharing=self._n_sharing,
        )

    def plane(
        self,
        splits: Mapping[str, ProblemSplit],
        setting: Setting,
        *,
        repeat: int = 0,
        exact: bool = False,
    ) -> ProblemPlane:
        """Prepare to evaluate points on batches that are on the setting's device."""
        plane = self._plane(splits, setting, repeat=repeat, exact=exact)
        plane.try_statistics()
        return plane

    def _plane(
        self,
        splits: Mapping[str, ProblemSplit],
        setting: Setting,
        *,
        repeat: int = 0,
        exact: bool = False,
        again: bool = False,
    ) -> ProblemPlane:
        network = self._held(setting.device)
        if exact or again:
            unused = self._source.take_unused() if again else None
            network = network.like_this(torch.float64 if exact else None, unused=unused)
        return ProblemPlane(
            network,
            self._motion(repeat),
            splits,
            setting,
            functions=self.problem.functions,
            seed=self.problem.seed,
            dtype=torch.float64 if exact else None,
            statistics_of=training_of(splits) if self._plan.reestimates else None,
        )

    def _motion(self, repeat: int) -> Motion:
        motion = super()._motion(repeat)
        if not isinstance(motion, PathMotion) or not self._plan.reestimates:
            return motion
        points = [
            {name: values for name, values in point.items() if not is_statistic(name)}
            for point in motion.points
        ]
        return replace(motion, points=points)  # statistics are measured, and do not move

    def _held(self, device: Device) -> ProblemNetwork:
        if self._holder is None:
            named = self._source.spec is not None
            self._holder = ProblemNetwork(
                self.problem.network,
                self._part("state"),
                device=device.name,
                dtype=type_of(self.problem),
                extra=self.subject.extra,
                build=self._source.another_network if named else None,
            )
        return self._holder

    def moved_loss(
        self, samples: ProblemSplit, setting: Setting, *, quick: bool = False
    ) -> MovedLoss:
        """Return the loss of batches on the setting's device, for differentiation."""
        loss, seed = self.problem.functions[0], self.problem.seed
        losses = ProblemLosses(samples, loss, seed=seed, device=setting.device)
        network, center = self._held(setting.device), self._part("state")
        return MovedLoss(network, center, self.directions, self._moved, losses)

    def stacked_plane(self, splits: Mapping[str, ProblemSplit], setting: Setting) -> NoReturn:
        """Refuse to evaluate several points at once.

        Raises:
            InputError: Always.
        """
        raise InputError("--points-at-once applies only to networks of --model. Leave it out.")

    def cost(self) -> None:
        """Return None: the cost of the user's loss cannot be counted."""

    def means(self, kept: Sequence[tuple[torch.Tensor, ...]]) -> np.ndarray:
        """Return the loss and the metrics of each split, float64 [n_quantities]."""
        return mean_values(kept, finishes=[one.finish for one in self.problem.functions])

    def unit_values(self, kept: Sequence[torch.Tensor], n: int) -> UnitValues:
        """Return the loss and the metrics of each batch."""
        return values_of_batches(kept)


def _words_of(problem: Problem) -> dict[str, str]:
    """Return the parts of a problem that must be equal on all ranks, besides weights and data."""
    functions = problem.functions
    return {
        "loss": name_of(problem.loss),
        "metrics": ", ".join(one.name for one in functions[1:]) or "none",
        "seed": str(problem.seed),
        "dtype": str(problem.dtype),
        "units": repr(problem.units),
        **{f"metrics[{one.name!r}]": name_of(one.function) for one in functions[1:]},
        **{f"finish of {one.name}": name_of(one.finish) for one in functions if one.finish},
    }
