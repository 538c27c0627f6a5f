"""Make a split from the user's own arrays: check them, and convert them to the types used here."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import Split
from landscape_mpi.zoo.npz import check_images


def make_split(
    where: str, inputs: Any, targets: Any, *, numbers: np.ndarray | None = None
) -> Split:
    """Return a split made of inputs and targets.

    Args:
        where: The option and the name of the split, for messages.
        inputs: One for each sample.
        targets: One for each sample.
        numbers: Indices of the samples in the data set, for messages; None if all are here.

    Raises:
        InputError: If they cannot be used.
    """
    inputs, targets = to_array(f"{where} inputs", inputs), to_array(f"{where} targets", targets)
    if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) != len(targets):
        counts = [f"{len(a):,}" if a.ndim else "a single number for" for a in (inputs, targets)]
        raise InputError(
            f"{where}: {counts[0]} inputs and {counts[1]} targets; each input needs its target. "
            "Return one target for each input."
        )
    if len(inputs) == 0:
        raise InputError(f"{where}: is empty; there is nothing to take a mean over.")
    numbers = np.arange(len(inputs)) if numbers is None else numbers
    return Split(
        _check_inputs(f"{where} inputs", inputs, numbers), _check_targets(where, targets, numbers)
    )


def to_array(where: str, given: Any) -> np.ndarray:
    """Return an array of numbers.

    Args:
        where: Name of the value, for messages.
        given: A tensor, an array, or a value that numpy can convert to one.

    Raises:
        InputError: If it cannot become an array of numbers.
    """
    try:
        if isinstance(given, torch.Tensor):
            given = given.detach().cpu()
            given = given.float() if given.dtype == torch.bfloat16 else given
            return given.numpy()
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as problem:
        text = " ".join(str(problem).split())[:150]
        raise InputError(
            f"{where}: cannot become an array of numbers ({text}). Give all samples the same shape."
        ) from problem
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"{where}: is {array.dtype}, not numbers. Turn it into arrays of float32, uint8 or "
            f"int64, every sample of one shape."
        )
    return array


def _floats(values: np.ndarray) -> np.ndarray:
    """Keep float64 for networks that compute in it, and convert all else to float32."""
    return values if values.dtype == np.float64 else np.asarray(values, np.float32)


def _check_inputs(where: str, inputs: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    if inputs.ndim == 1 or inputs.size == 0:
        raise InputError(
            f"{where}: have the shape {list(inputs.shape)} but need one more dimension that is "
            "not empty: a table of one number per sample is [n, 1]."
        )
    if inputs.dtype.kind == "f":
        exact = _floats(inputs)
        _refuse_non_finite(where, exact, numbers)
        return np.ascontiguousarray(exact.transpose(0, 2, 3, 1) if exact.ndim == 4 else exact)
    if inputs.dtype == np.uint8 and inputs.ndim > 2:
        return check_images(where, inputs)
    if inputs.dtype.kind == "b" or inputs.dtype == np.uint8 or inputs.ndim > 2:
        raise InputError(
            f"{where}: are {inputs.dtype} {list(inputs.shape)}. Images are uint8 [n, height, "
            f"width, channels], or float [n, channels, height, width] as the network sees them; a "
            f"table is float32 [n, features]; a sequence of symbols int64 [n, length]."
        )
    return np.ascontiguousarray(inputs, np.int64)


def _check_targets(where: str, targets: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    if targets.size == 0:
        raise InputError(
            f"{where} targets: have the shape {list(targets.shape)}, so there are no targets. "
            "Targets must be [n], or [n, ...] with several for each sample."
        )
    if targets.dtype.kind == "f":
        exact = np.ascontiguousarray(_floats(targets))
        hint = " with the number of --ignore-index"
        _refuse_non_finite(f"{where} targets", exact, numbers, hint=hint)
        return exact
    return np.ascontiguousarray(targets, np.int64)


def _refuse_non_finite(
    where: str, values: np.ndarray, numbers: np.ndarray, *, hint: str = ""
) -> None:
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        raise InputError(
            f"{where}: NaN or infinite in {bad.sum():,} of {len(values):,} samples, the first is "
            f"sample {numbers[bad.argmax()]}. Every loss would also be NaN or infinite. Leave "
            f"these samples out or fill the values{hint}."
        )
