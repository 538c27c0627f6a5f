"""Predict class probabilities of samples, and score the average over several networks.

The probabilities are computed in float64 from float32 outputs, batch by batch, and averaged in the
order of the networks. So the result depends neither on threads nor on the rank that computed it.

Source: Garipov et al. 2018, arXiv:1802.10026, section 4: softmax outputs are averaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from landscape_mpi.compute.evaluation import Evaluator, Setting
from landscape_mpi.compute.passes import batches
from landscape_mpi.compute.samples import ResidentSplit
from landscape_mpi.compute.threads import single_core_threads


@dataclass(frozen=True)
class Score:
    """Hold loss and error of predicted probabilities."""

    loss: float  # mean of -log p of the target, nat
    error: float  # percent of targets that are not the likeliest class


def probabilities(
    network: nn.Module, samples: ResidentSplit, setting: Setting, *, class_axis: int = -1
) -> np.ndarray:
    """Return the softmax of a network's outputs, float64 [n, ..., n_classes].

    Args:
        network: Network of float32, in evaluation mode, on the setting's device.
        samples: Samples on that device.
        setting: How to evaluate; see prepare_device.
        class_axis: Axis of the classes in its outputs, 1 or -1.
    """
    evaluator = Evaluator(network, setting)

    def predict(rows: slice) -> torch.Tensor:
        with torch.inference_mode():
            outputs = evaluator.outputs(samples, rows).movedim(class_axis, -1)
            return outputs.double().softmax(dim=-1).cpu()

    with single_core_threads(setting.n_threads) as pool:
        parts = list(pool.map(predict, batches(len(samples), setting.batch)))
    return torch.cat(parts).numpy()


def growing_averages(predictions: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the average of the first prediction, of the first two, of the first three, ..."""
    total = np.zeros(())
    for n, prediction in enumerate(predictions, start=1):
        total = total + prediction
        yield total / n


def score(prediction: np.ndarray, targets: np.ndarray) -> Score:
    """Return loss and error of probabilities.

    Args:
        prediction: Probabilities, float64 [n, ..., n_classes].
        targets: Class numbers, int64 [n, ...].
    """
    of_target = np.take_along_axis(prediction, targets[..., None], axis=-1)
    with np.errstate(divide="ignore"):  # a class with probability 0 has an infinite loss
        loss = float(-np.log(of_target).mean())
    wrong = prediction.argmax(axis=-1) != targets
    return Score(loss, 100 * float(wrong.mean()))
