"""Show only a progress bar of a training run, for notebooks."""

from __future__ import annotations

from tqdm.auto import tqdm

from landscape_mpi.compute.devices.device import Device
from landscape_mpi.jobs.curve.curve_messages import CurveLog
from landscape_mpi.jobs.curve.training import CurveTraining
from landscape_mpi.jobs.training.inputs import TrainingInputs
from landscape_mpi.zoo.curve_file import CurveFile
from landscape_mpi.zoo.recipe import Epoch


class BarLog(CurveLog):
    """A progress bar of the epochs, or nothing."""

    def __init__(self, *, shown: bool) -> None:
        """Take whether the bar is shown."""
        self._bar = tqdm(unit="epoch", desc="curve", disable=not shown)

    def say_start(
        self,
        training: CurveTraining,
        inputs: TrainingInputs,
        device: Device,
        left: CurveFile | None,
    ) -> None:
        """Start the bar at the current epoch."""
        self._bar.reset(total=training.n_epochs)
        self._bar.update(training.trainer.n_done)

    def say_epoch(self, epoch: Epoch, n_epochs: int) -> None:
        """Advance by one epoch."""
        self._bar.set_postfix({"loss": f"{epoch.train_loss:.4g}"}, refresh=False)
        self._bar.update()

    def say_end(self, training: CurveTraining, finished: bool, signal: str | None) -> None:
        """End the bar."""
        self._bar.close()
