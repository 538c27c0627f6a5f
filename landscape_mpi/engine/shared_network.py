"""A network, its samples and its loss on every rank, for the fast evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from landscape_mpi.cluster.communicator import Ranks
from landscape_mpi.compute.agreement import Agreement, Point
from landscape_mpi.compute.batch_losses import OutputLosses
from landscape_mpi.compute.cost import SampleCost, sample_cost_if_known
from landscape_mpi.compute.devices.cpu import CPU
from landscape_mpi.compute.devices.device import Device
from landscape_mpi.compute.evaluation import Setting, mean_values
from landscape_mpi.compute.loss_paths import LossPaths
from landscape_mpi.compute.loss_plane import LossPlane
from landscape_mpi.compute.moved_loss import MovedLoss
from landscape_mpi.compute.moving_network import type_of
from landscape_mpi.compute.point_losses import PointLosses
from landscape_mpi.compute.preparation import Build
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.stacked_plane import StackedLossPlane
from landscape_mpi.compute.ties import converted
from landscape_mpi.compute.unit_values import UnitValues, values_of_samples
from landscape_mpi.engine.plan import Plan
from landscape_mpi.engine.shared_inputs import SharedInputs, Take, training_of
from landscape_mpi.engine.subject import NetworkSubject


class SharedNetwork(SharedInputs):
    """A network and its data on every rank."""

    def __init__(self, ranks: Ranks, plan: Plan, arrays: dict[str, np.ndarray]) -> None:
        """Send the inputs that rank 0 has read. Collective over the ranks; see SharedInputs."""
        assert isinstance(plan.subject, NetworkSubject)
        self.subject = plan.subject
        self._unused: torch.nn.Module | None = None
        super().__init__(ranks, plan, arrays)

    def _begin(self) -> torch.nn.Module:
        self.loss = self.subject.loss.load()
        network = self.build()
        self._type = type_of(network)
        self._unused = network  # only its names are read; building a network may take long
        return network

    def build(self) -> torch.nn.Module:
        """Build the network with its weights, in training mode, on the CPU.

        Raises:
            InputError: If the function that builds it gives other tensors than on rank 0.
        """
        unused, self._unused = self._unused, None
        return self.subject.source.build_with(self._part("state")) if unused is None else unused

    def _agreement_of(
        self, split: str, take: Take, setting: Setting, *, n_samples: int, moved: Sequence[Point]
    ) -> Agreement[ResidentSplit]:
        return Agreement(self.plane, take, setting, n_samples=n_samples, moved=moved)

    @property
    def sample(self) -> torch.Tensor:
        """Return two samples as inputs of the network, on the CPU, in the plain layout."""
        first_split = next(iter(self.subject.n_samples))
        sample = self.samples(first_split, slice(0, 2), CPU).batch(slice(0, 2))
        return sample.to(self._type) if sample.is_floating_point() else sample

    def samples(self, split: str, rows: slice | np.ndarray, device: Device) -> ResidentSplit:
        """Put samples of a split on a device."""
        return ResidentSplit(
            self._arrays[f"{split}/inputs"][rows],
            self._arrays[f"{split}/targets"][rows],
            mean=self.subject.mean,
            std=self.subject.std,
            device=device.name,
            **self.subject.loss.kept_as(self._type),
        )

    def plane(
        self,
        splits: Mapping[str, ResidentSplit],
        setting: Setting,
        *,
        repeat: int = 0,
        exact: bool = False,
    ) -> PointLosses[ResidentSplit]:
        """Prepare to evaluate points on samples that are on the setting's device."""
        training, build = training_of(splits), self._build(exact)
        if self._plan.paths is not None:
            motion = self._motion(repeat)
            return LossPaths(
                build(),
                motion,
                splits,
                setting,
                loss=self.loss,
                statistics_of=training,
                build=build,
            )
        return LossPlane(
            build(),
            self._directions_of(repeat),
            splits,
            self.sample,
            setting,
            loss=self.loss,
            statistics_of=training if self._plan.reestimates else None,
            build=build,
        )

    def _build(self, exact: bool) -> Build:
        return (lambda: converted(self.build(), torch.float64)) if exact else self.build

    def moved_loss(
        self, samples: ResidentSplit, setting: Setting, *, quick: bool = False
    ) -> MovedLoss:
        """Return the loss of samples on the setting's device, for differentiation."""
        losses = OutputLosses(
            samples,
            self.loss,
            batch=setting.batch,
            sample=self.sample,
            channels_last=setting.steps.channels_last,
            quick=quick,
        )
        center = self._part("state")
        return MovedLoss(self.build(), center, self.directions, self._moved, losses, self.build)

    def stacked_plane(
        self, splits: Mapping[str, ResidentSplit], setting: Setting
    ) -> StackedLossPlane:
        """Prepare to evaluate several points at once; see plane."""
        network, directions = self.build(), self._directions_of(0)
        return StackedLossPlane(
            network, directions, splits, self.sample, setting, loss=self.loss, build=self.build
        )

    def cost(self) -> SampleCost | None:
        """Return the cost of a sample in a forward pass, None if that cannot be counted."""
        return sample_cost_if_known(self.network(), self.sample)

    def means(self, kept: Sequence[tuple[torch.Tensor, ...]]) -> np.ndarray:
        """Return the loss and the error of each split, or only the loss, float64 [n_quantities]."""
        values = mean_values(kept)
        return values if self.subject.loss.error else values[::2]

    def unit_values(self, kept: Sequence[torch.Tensor], n: int) -> UnitValues:
        """Return loss and error of each sample, or only the loss."""
        return values_of_samples(kept, n, has_error=self.subject.loss.error is not None)
