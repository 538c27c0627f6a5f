"""Print rank 0's messages about a curve."""

from __future__ import annotations

from typing import TYPE_CHECKING

from landscape_mpi.compute.devices.device import Device
from landscape_mpi.engine.filling import Outcome
from landscape_mpi.engine.plan import Plan
from landscape_mpi.engine.stopped import say_stopped
from landscape_mpi.invocation import typed
from landscape_mpi.jobs.training.inputs import Inputs, TrainingInputs
from landscape_mpi.jobs.training.run import describe_resuming
from landscape_mpi.jobs.training.training_messages import place_of, progress_line
from landscape_mpi.store.curve import along_paths
from landscape_mpi.store.reader import Surface, read_surface
from landscape_mpi.store.schema import ARC_LENGTH
from landscape_mpi.zoo.curve_file import CurveFile
from landscape_mpi.zoo.dataset import NOUNS
from landscape_mpi.zoo.recipe import Epoch

if TYPE_CHECKING:
    from landscape_mpi.jobs.curve.training import CurveTraining


class CurveLog:
    """Print rank 0's messages about a training run."""

    def say_start(
        self,
        training: CurveTraining,
        inputs: TrainingInputs,
        device: Device,
        left: CurveFile | None,
    ) -> None:
        """Print the curve, its data and device, and how much is done."""
        asked, n_ranks = training.asked, training.setting["ranks"]
        n_weights = training.curve.free.shape[1]
        where = place_of(device, n_ranks) + (", each with its own t" if n_ranks > 1 else "")
        ends = "free" if asked.free_ends else "fixed"
        identity = training.content.identity
        noun = NOUNS[inputs.data.sample.kind] if isinstance(inputs, Inputs) else "batches"
        print(
            f"{asked.kind} of {asked.bends} points, ends {ends}: {asked.start} to {asked.end}\n"
            f"{identity['model']}: {n_weights:,} weights at a point; {identity['data']}: "
            f"{inputs.n_training:,} train {noun}; {where}",
            flush=True,
        )
        if left is not None:
            known = left.content.training
            was = known["setting"] if known else training.setting
            print(
                describe_resuming(
                    training.trainer.n_done, training.n_epochs, was=was, now=training.setting
                ),
                flush=True,
            )

    def say_epoch(self, epoch: Epoch, n_epochs: int) -> None:
        """Print the results of an epoch, as means over t."""
        print(progress_line(epoch, n_epochs), flush=True)

    def say_end(self, training: CurveTraining, finished: bool, signal: str | None) -> None:
        """Print the written file and the next step."""
        out, n_done = training.asked.file.out, training.trainer.n_done
        if not finished:
            say_stopped(signal, n_done, training.n_epochs, "epochs")
            return
        print(
            f"done: {out}; next: {typed('curve evaluate')} {out} --out "
            f"{out.with_suffix('.h5').name}",
            flush=True,
        )


def say_evaluated(plan: Plan, outcome: Outcome) -> None:
    """Print the losses along the curve and the next step."""
    surface = read_surface(plan.out)
    if not outcome.finished:
        say_stopped(outcome.signal, surface.done.sum(), plan.n_points, "points")
        return
    print("\n".join(describe_paths(surface)))
    print(f"done: {plan.out}; next: {typed('plot')} {plan.out}", flush=True)


def describe_paths(surface: Surface) -> list[str]:
    """Describe every loss and error along the curve and along the straight line."""
    names = [name for name in surface.values if name != ARC_LENGTH]
    curve, straight = surface.values[ARC_LENGTH][-1]
    lines = [f"length: the curve {curve:.4g}, the straight line {straight:.4g}"]
    for name in names:
        unit = " %" if surface.units[name] == "percent" else ""
        for found in along_paths(surface, name):
            lines.append(
                f"{name}, {found.path}: ends {found.ends[0]:.4g} and {found.ends[1]:.4g}{unit}, "
                f"from {found.least:.4g} to {found.greatest:.4g}{unit} (at t = "
                f"{found.t_greatest:.3g}), mean over t {found.mean:.4g}{unit}, over the length "
                f"{found.mean_length:.4g}{unit}"
            )
    return lines
