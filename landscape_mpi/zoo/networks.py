"""Build and check networks for a data set: the zoo's and the user's own."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from landscape_mpi.errors import InputError, UserCodeError
from landscape_mpi.zoo.catalogue import find_network, network_names
from landscape_mpi.zoo.dataset import NOUNS, DataSet, Sample, Split
from landscape_mpi.zoo.output_entry import split_entry, take_entry, way_out
from landscape_mpi.zoo.own_network import call, type_of_inputs
from landscape_mpi.zoo.samples import Samples
from landscape_mpi.zoo.user_functions import a_kind, call_for_network, described

__all__ = ["build_network", "check_network", "network_names"]

USUAL_SIZE = (32, 32)  # height and width of images if only their channels are known

N_TRIED = 3  # number of samples; a shape that fits 1 or 2 by accident does not fit 3


def build_network(
    name: str,
    *,
    n_channels: int | None = None,
    n_classes: int | None = None,
    sample: Sample | None = None,
) -> nn.Module:
    """Build a network with weights drawn from torch's global generator.

    Args:
        name: A name of the zoo, or ``package.module:function``, which is called without arguments
            and therefore fixes its own inputs and outputs. An entry of the network's result may
            follow in brackets; see output_entry.
        n_channels: Number of channels of the images.
        n_classes: Number of outputs.
        sample: Description of the network's input, instead of the two numbers; without it, images
            of 32 x 32, because most networks do not depend on the size.

    Raises:
        InputError: If name is unknown, if the network cannot take such samples, or if the user's
            function does not return a network.
        TypeError: If neither sample nor the two numbers are given.
    """
    if sample is None:
        if n_channels is None or n_classes is None:
            raise TypeError("build_network needs sample, or n_channels and n_classes")
        sample = Sample("image", (n_channels, *USUAL_SIZE), n_classes)
    name, entry = split_entry(name)
    network = _build(name, sample)
    return network if entry is None else take_entry(network, entry, model=name)


def _build(name: str, sample: Sample) -> nn.Module:
    if ":" in name:
        return call_for_network("--model", name)
    family = find_network(name)
    if sample.kind not in family.kinds:
        takes = " or ".join(NOUNS[kind] for kind in family.kinds)
        raise InputError(
            f"--model {name}: takes {takes}, but the data are {sample}. Networks for these data: "
            f"{', '.join(n for n in network_names() if sample.kind in find_network(n).kinds)}."
        )
    try:
        return family.build(name, sample)
    except InputError as problem:
        raise InputError(f"--model {name}: {problem}") from problem


def is_of_zoo(network: nn.Module) -> bool:
    """Return whether a network belongs to the zoo."""
    return type(network).__module__.startswith("landscape_mpi.zoo.")


def check_network(
    network: nn.Module,
    *,
    name: str,
    data: DataSet,
    classes: bool = True,
    class_axis: int | None = None,
) -> int:
    """Check that a network takes the samples of the data and has an output for each class.

    Args:
        network: Network to try; it stays unchanged.
        name: Name in --model, for the message.
        data: Data set; some of its samples are tried.
        classes: Whether to check that the outputs are logits of classes.
        class_axis: Axis along which the classes lie, 1 or -1; None to find it.

    Returns:
        The axis of the outputs along which the classes lie, 1 or -1.

    Raises:
        InputError: If the network cannot take the samples, or the outputs are not [n, n_classes]
            or, with several targets for a sample, [n, n_classes, ...] or [n, ..., n_classes].
    """
    if classes:
        _check_classes(data)
        check_counted(data)
    axis = -1
    for split in data.splits.values():
        rows = split.rows_to_try(N_TRIED)
        outputs = try_network(network, split, rows, data, name=name)
        if classes:
            _check_logits(outputs, name)
            axis = find_class_axis(outputs, split, data, n=len(rows), name=name, asked=class_axis)
    return axis


def try_network(
    network: nn.Module, split: Split, rows: np.ndarray, data: DataSet, *, name: str
) -> torch.Tensor:
    """Return a network's outputs for some samples in evaluation mode; leave it unchanged.

    Args:
        network: Network on any device.
        split: Split with the samples.
        rows: Rows of the samples.
        data: Data set of the split.
        name: Name in --model, for the message.

    Raises:
        UserCodeError: If the network cannot take the samples.
        InputError: If it does not return a tensor.
    """
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    samples = Samples(Split(split.inputs[rows], split.targets[rows]), data, device)
    inputs = samples.as_seen(samples.inputs)
    inputs = inputs.to(type_of_inputs(network)) if inputs.is_floating_point() else inputs
    was, modes = network.training, [(module, module.training) for module in network.modules()]
    try:
        outputs = call(network.eval(), inputs)
    except InputError:
        raise
    except Exception as problem:  # the user's own network can raise any error
        raise UserCodeError(
            f"--model: {name} cannot take the {NOUNS[split.kind]} of {data.name}, a batch of "
            f"{described(inputs)}{_hint(problem)}",
            problem,
        ) from problem
    finally:
        network.train(was)  # undoes the merging of eval()
        for module, training in modes:
            module.training = training
    if not isinstance(outputs, torch.Tensor):
        raise InputError(
            f"--model: {name} returns {a_kind(outputs)}, not a tensor. {way_out(outputs)}"
        )
    return outputs


def _hint(problem: Exception) -> str:
    """Return how a network is called, if that explains an exception."""
    text = str(problem)
    if isinstance(problem, TypeError) and "argument" in text and "forward()" in text:
        return " (for other inputs than one tensor, write a problem: --problem)"
    if isinstance(problem, RuntimeError) and ("Half" in text or "BFloat16" in text):
        return (
            " (its 16-bit weights become float32 here; let forward take the type of its weights, "
            "or write a problem, which keeps all types: --problem)"
        )
    return ""


def find_class_axis(
    outputs: torch.Tensor,
    split: Split,
    data: DataSet,
    *,
    n: int,
    name: str,
    asked: int | None,
) -> int:
    """Return the axis of the outputs along which the classes lie, 1 or -1.

    Args:
        outputs: Outputs for some samples of the split.
        split: Split whose targets are class numbers.
        data: Data set of the split.
        n: Number of these samples.
        name: Name in --model; networks of the zoo have the classes last.
        asked: The axis that --class-axis names, or None.

    Raises:
        InputError: If the outputs do not fit the targets, or fit them along both axes.
    """
    places = split.targets.shape[1:]
    fits = class_axes(outputs, places, n)
    if not places:
        asked = None  # the classes can lie along only one axis
    if not fits or (asked is not None and asked not in fits):
        raise InputError(_not_fitting(outputs, n, places, data, name, asked if fits else None))
    if asked is None and len(fits) > 1 and ":" in name:
        shapes = f"{list(outputs.shape)} for targets of shape {[n, *places]}"
        raise InputError(
            f"--class-axis: {name} returns {shapes}, so its classes may lie along axis 1, as in "
            f"torch's losses, or along the last axis, as in language models. The two give "
            f"different losses: pass --class-axis 1 or --class-axis -1."
        )
    n_outputs = outputs.shape[1 if fits == [1] else -1]
    if n_outputs < data.n_classes:
        raise InputError(
            f"--model: {name} has {n_outputs} outputs, but {data.name} has {data.n_classes} "
            f"classes, and each class needs an output. If the number {data.n_classes - 1} stands "
            f"for no class, pass --ignore-index {data.n_classes - 1}."
        )
    return fits[-1] if asked is None else asked


def class_axes(outputs: torch.Tensor, places: Sequence[int], n: int) -> list[int]:
    """Return the axes along which the classes may lie: 1, -1, both or none.

    Args:
        outputs: Outputs for some samples.
        places: Shape of the targets of a sample; if it is a single target, the classes are last.
        n: Number of these samples.
    """
    shape = outputs.shape[1:]
    if outputs.shape[:1] != (n,) or len(shape) != len(places) + 1:
        return []
    second, last = tuple(shape[1:]) == tuple(places), tuple(shape[:-1]) == tuple(places)
    return [axis for axis, fits in ((1, second and len(places) > 0), (-1, last)) if fits]


def _not_fitting(
    outputs: torch.Tensor,
    n: int,
    places: Sequence[int],
    data: DataSet,
    name: str,
    asked: int | None,
) -> str:
    n_classes = data.n_classes
    second, last = [n, n_classes, *places], [n, *places, n_classes]
    needed = {None: f"{last}", 1: f"{second}", -1: f"{last}"}[asked]
    if places and asked is None:
        needed = f"{second}, or {last}"
    hint = ""
    if 1 in places:
        hint = (
            f" The targets have the shape {[n, *places]}: remove the axis of length 1 with "
            f"targets.squeeze({1 + list(places).index(1)})."
        )
    if list(outputs.shape) == [n, *places]:
        hint = " If the targets are one-hot, give class numbers: targets.argmax(1)."
    hint = hint or lost_axis(outputs, n)
    samples = sample_words(n, data.sample.kind)
    return (
        f"--model: {name} returns {list(outputs.shape)} for {samples}; the "
        f"loss needs logits of shape {needed}{f' for --class-axis {asked}' if asked else ''}.{hint}"
    )


def lost_axis(outputs: torch.Tensor, n: int) -> str:
    """Return a hint if the outputs for a single sample lack the axis of the samples; else empty."""
    if n > 1 or outputs.shape[:1] == (1,):
        return ""
    return (
        " The axis of the samples is missing: squeeze() without a number also removes it from a "
        "batch of 1, as the last batch may be. Write squeeze(-1) instead."
    )


def sample_words(n: int, kind: str) -> str:
    """Return a number of samples in words, e.g. "3 images"."""
    return f"{n} {NOUNS[kind] if n != 1 else NOUNS[kind].removesuffix('s')}"


def check_counted(data: DataSet) -> None:
    """Check that every split has at least one target that counts.

    Raises:
        InputError: If a split has none.
    """
    for name, split in data.splits.items():
        if not data.counted(name).size:
            raise InputError(
                f"--ignore-index {data.ignored}: none of the {split.targets.size:,} targets of "
                f"{name} counts, so there is nothing to take a mean over. Pass the number that "
                f"stands for no class, or --ignore-index none to count all targets."
            )


def _check_classes(data: DataSet) -> None:
    for name, split in data.splits.items():
        if split.targets.dtype.kind == "f":
            raise InputError(
                f"--data {data.name}: targets of {name} are {split.targets.dtype} "
                f"{list(split.targets.shape)}, and cross-entropy needs class numbers, integers "
                "from 0. For numbers to predict, use surface --loss mse. From one-hot rows, take "
                "argmax(axis=1). For class probabilities, write your own --loss that returns "
                "cross_entropy(outputs, targets, reduction='none')."
            )
        low = data.counted(name).min(initial=0)
        if low < 0:
            raise InputError(
                f"--data {data.name}: targets of {name} contain {low}, but class numbers count "
                f"from 0. Pass --ignore-index {low} if these targets do not count, or number the "
                "classes from 0."
            )


def _check_logits(outputs: torch.Tensor, name: str) -> None:
    if not outputs.is_floating_point():
        raise InputError(
            f"--model: {name} returns {str(outputs.dtype).removeprefix('torch.')}; the loss needs "
            "logits that are real floating-point numbers, not classes. Let forward return the "
            "logits."
        )
