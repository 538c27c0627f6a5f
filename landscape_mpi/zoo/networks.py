"""Networks for a data set: those of the zoo, and the user's own."""

from __future__ import annotations

import torch
from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.catalogue import find_network, network_names
from landscape_mpi.zoo.dataset import NOUNS, DataSet, Sample
from landscape_mpi.zoo.hooks import call_hook

__all__ = ["build_network", "check_network", "network_names"]

USUAL_SIZE = (32, 32)  # height and width of images of which only the channels are told

N_TRIED = 3  # samples; what is right for 1 or 2 by accident is not for 3


def build_network(
    name: str,
    *,
    n_channels: int | None = None,
    n_classes: int | None = None,
    sample: Sample | None = None,
) -> nn.Module:
    """Build a network with weights drawn from torch's global generator.

    Args:
        name: A name of the zoo, or ``package.module:function``, which is called without
            arguments and so knows its own inputs and outputs.
        n_channels: Channels of the images.
        n_classes: Number of outputs.
        sample: What the network is given, instead of the two; without it images of 32 x 32,
            a size that most networks do not depend on.

    Raises:
        InputError: If name is not known, the network does not take such samples, or the
            user's function does not give a network.
        TypeError: If neither sample nor the two are given.
    """
    if sample is None:
        if n_channels is None or n_classes is None:
            raise TypeError("build_network needs sample, or n_channels and n_classes")
        sample = Sample("image", (n_channels, *USUAL_SIZE), n_classes)
    if ":" in name:
        return call_hook("--model", name)
    entry = find_network(name)
    if sample.kind not in entry.kinds:
        takes = " or ".join(NOUNS[kind] for kind in entry.kinds)
        raise InputError(
            f"--model {name}: takes {takes}, and the data are {sample}. Others for these: "
            f"{', '.join(n for n in network_names() if sample.kind in find_network(n).kinds)}."
        )
    try:
        return entry.build(sample)
    except InputError as problem:
        raise InputError(f"--model {name}: {problem}") from problem


def check_network(network: nn.Module, *, name: str, data: DataSet, classes: bool = True) -> None:
    """Check that network takes the samples of data and has an output for each of its classes.

    Args:
        network: On the CPU; left as it was.
        name: What --model named, for the message.
        data: Data set, the shape of whose samples is tried.
        classes: Whether its outputs are logits of classes, and are checked.

    Raises:
        InputError: If they do not go through, or the outputs are not [n, n_classes] or, with a
            target at each place, [n, length, n_classes].
    """
    if classes:
        _check_classes(data)
    noun = NOUNS[data.sample.kind]
    inputs = data.sample.zeros(N_TRIED)
    if data.sample.kind == "text":
        inputs[-1] = data.n_classes - 1  # the last symbol
    modes = [(module, module.training) for module in network.modules()]
    try:
        with torch.no_grad():
            outputs = network.eval()(inputs)
    except Exception as problem:  # the user's own network can raise anything
        raise InputError(
            f"--model: {name} cannot take the {noun} of {data.name}, a batch of shape "
            f"{list(inputs.shape)}: {' '.join(str(problem).split())}"
        ) from problem
    finally:
        for module, training in modes:
            module.training = training
    if classes:
        _check_outputs(outputs, name, data)


def _check_classes(data: DataSet) -> None:
    for name, split in data.splits.items():
        if split.targets.dtype.kind == "f":
            raise InputError(
                f"--data {data.name}: targets of {name} are {split.targets.dtype} "
                f"{list(split.targets.shape)}, and cross-entropy needs class numbers, integers "
                f"from 0. Numbers to predict are for surface --loss mse; from one-hot rows, take "
                f"argmax(axis=1)."
            )
        if split.targets.min() < 0:
            raise InputError(
                f"--data {data.name}: targets of {name} have {split.targets.min()} in them; class "
                f"numbers count from 0, and every target counts in the mean: cut out what is to "
                f"be left out."
            )


def _check_outputs(outputs: object, name: str, data: DataSet) -> None:
    if isinstance(outputs, torch.Tensor) and not outputs.is_floating_point():
        raise InputError(
            f"--model: {name} returns {str(outputs.dtype).removeprefix('torch.')}; the loss needs "
            f"logits that are real numbers of floating point, not classes."
        )
    leading = [N_TRIED, *data.splits["train"].targets.shape[1:]]
    shape = list(outputs.shape) if isinstance(outputs, torch.Tensor) else []
    if shape[:-1] != leading:
        raise InputError(
            f"--model: {name} returns {shape or type(outputs).__name__} for {N_TRIED} "
            f"{NOUNS[data.sample.kind]}; the loss needs logits of shape "
            f"{[*leading, data.n_classes]}."
        )
    if shape[-1] < data.n_classes:
        raise InputError(
            f"--model: {name} has {shape[-1]} outputs, {data.name} has {data.n_classes} classes: "
            "each class needs an output."
        )
