"""The user's own data: what a function named ``package.module:function`` returns.

The function is called without arguments, on one rank. It returns a mapping with ``train`` and,
if there is one, ``test``; each is a pair (inputs, targets) of arrays or tensors, or a map-style
Dataset, which has a length and gives (input, target) by number. Inputs are one of

- images, uint8 [n, height, width, channels] or [n, height, width], to be normalised here;
- images, float [n, channels, height, width], as the network sees them;
- rows of a table, float [n, features], or arrays, float [n, ...], as the network sees them;
- sequences of symbols, integers from 0 [n, length].

Targets are class numbers, integers from 0, or numbers to predict, float: [n], or several for
each sample [n, length].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from landscape_mpi.errors import InputError, unknown_name
from landscape_mpi.zoo.dataset import Split
from landscape_mpi.zoo.hooks import a_kind, call_function, in_one_line
from landscape_mpi.zoo.npz import MOST_CLASSES, check_images

SPLITS = ("train", "test")
EXAMPLE = 'Return {"train": (inputs, targets), "test": (inputs, targets)}, test if there is one.'
N_LARGEST = 2**53  # integers up to here are exact in every type on the way


def load_own(spec: str) -> tuple[dict[str, Split], int]:
    """Return the splits that a function gives, and their number of classes.

    Args:
        spec: ``package.module:function``.

    Returns:
        The splits, and one more than the largest class; or, of numbers to predict, how many
        there are for a sample.

    Raises:
        InputError: If the function cannot be called, or returns something else.
    """
    where = f"--data {spec}"
    given = call_function("--data", spec, returns="the samples of each split")
    if not isinstance(given, Mapping):
        raise InputError(f"{where}: returned {a_kind(given)}, not a dict. {EXAMPLE}")
    _check_names(where, list(given))
    splits = {
        name: _read_split(f"{where}: {name}", given[name]) for name in SPLITS if name in given
    }
    _check_alike(where, splits)
    return splits, _count_classes(where, splits)


def _check_names(where: str, names: list[Any]) -> None:
    for name in names:
        if name not in SPLITS:
            raise unknown_name(f"{where}: split", str(name), SPLITS)
    if "train" not in names:
        raise InputError(
            f"{where}: the split train is missing; it has {', '.join(names) or 'none'}. {EXAMPLE}"
        )


def _read_split(where: str, given: Any) -> Split:
    inputs, targets = given if _is_pair(given) else _stack(where, given)
    inputs, targets = _array(f"{where} inputs", inputs), _array(f"{where} targets", targets)
    if inputs.ndim == 0 or targets.ndim == 0 or len(inputs) != len(targets):
        counts = [f"{len(a):,}" if a.ndim else "a single number for" for a in (inputs, targets)]
        raise InputError(
            f"{where}: {counts[0]} inputs and {counts[1]} targets; each input needs its target."
        )
    if len(inputs) == 0:
        raise InputError(f"{where}: is empty; there is nothing to take a mean over.")
    return Split(_check_inputs(f"{where} inputs", inputs), _check_targets(where, targets))


def _is_pair(given: Any) -> bool:
    if not isinstance(given, tuple | list) or len(given) != 2:
        return False
    return isinstance(given, tuple) or all(getattr(part, "ndim", 0) > 0 for part in given)


def _stack(where: str, given: Any) -> tuple[list[Any], list[Any]]:
    if not hasattr(given, "__len__") or not hasattr(given, "__getitem__"):
        raise InputError(
            f"{where}: is {a_kind(given)}, neither a pair (inputs, targets) of arrays nor a "
            f"Dataset with a length that gives (input, target) by number. {EXAMPLE}"
        )
    samples = []
    for number in range(len(given)):
        try:
            sample = given[number]
        except Exception as problem:
            raise InputError(
                f"{where}: sample {number} cannot be read: {in_one_line(problem)}"
            ) from problem
        if not isinstance(sample, tuple | list) or len(sample) != 2:
            raise InputError(
                f"{where}: sample {number} is {a_kind(sample)}, not a pair (input, target)."
            )
        samples.append(sample)
    inputs = [_array(f"{where} sample {i} input", sample[0]) for i, sample in enumerate(samples)]
    targets = [_array(f"{where} sample {i} target", sample[1]) for i, sample in enumerate(samples)]
    _check_one_shape(f"{where} inputs", inputs)
    _check_one_shape(f"{where} targets", targets)
    return inputs, targets


def _check_one_shape(where: str, arrays: Sequence[np.ndarray]) -> None:
    for number, array in enumerate(arrays):
        first, own = ((str(a.dtype), list(a.shape)) for a in (arrays[0], array))
        if own != first:
            raise InputError(
                f"{where}: sample 0 is {first[0]} {first[1]}, sample {number} is {own[0]} "
                f"{own[1]}. One array holds them all: crop, pad or convert them to be alike."
            )


def _array(where: str, given: Any) -> np.ndarray:
    try:
        if isinstance(given, torch.Tensor):
            given = given.detach().cpu()
            given = given.float() if given.dtype == torch.bfloat16 else given
            return given.numpy()
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as problem:
        text = " ".join(str(problem).split())[:150]
        raise InputError(
            f"{where}: cannot be made an array of numbers, all samples of one shape ({text})."
        ) from problem
    if array.dtype.kind not in "biuf":
        raise InputError(
            f"{where}: is {array.dtype}, not numbers. Turn it into arrays of float32, uint8 or "
            f"int64, every sample of one shape."
        )
    return array


def _check_inputs(where: str, inputs: np.ndarray) -> np.ndarray:
    if inputs.ndim == 1 or inputs.size == 0:
        raise InputError(
            f"{where}: have the shape {list(inputs.shape)}, and need one more dimension, not "
            f"empty: a table of one number a sample is [n, 1]."
        )
    if inputs.dtype.kind == "f":
        exact = np.asarray(inputs, np.float32)
        _refuse_non_finite(where, exact)
        return np.ascontiguousarray(exact.transpose(0, 2, 3, 1) if exact.ndim == 4 else exact)
    if inputs.dtype == np.uint8 and inputs.ndim > 2:
        return check_images(where, inputs)
    if inputs.dtype.kind == "b" or inputs.dtype == np.uint8 or inputs.ndim > 2:
        raise InputError(
            f"{where}: are {inputs.dtype} {list(inputs.shape)}. Images are uint8 [n, height, "
            f"width, channels], or float [n, channels, height, width] as the network sees them; a "
            f"table is float32 [n, features]; a sequence of symbols int64 [n, length]."
        )
    _check_whole(where, inputs, "symbols")
    return np.ascontiguousarray(inputs, np.int64)


def _check_targets(where: str, targets: np.ndarray) -> np.ndarray:
    if targets.ndim > 2 or targets.size == 0:
        raise InputError(
            f"{where} targets: have the shape {list(targets.shape)}, must be [n], or [n, length] "
            f"with several for each sample: reshape them, and again in your --loss."
        )
    if targets.dtype.kind == "f":
        exact = np.ascontiguousarray(targets, np.float32)
        _refuse_non_finite(f"{where} targets", exact)
        return exact
    return np.ascontiguousarray(targets, np.int64)


def _refuse_non_finite(where: str, values: np.ndarray) -> None:
    bad = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
    if bad.any():
        raise InputError(
            f"{where}: NaN or infinite in {bad.sum():,} of {len(values):,} samples, the first is "
            f"sample {int(bad.argmax())}. Every loss would be too: leave them out or fill them."
        )


def _check_whole(where: str, values: np.ndarray, what: str) -> None:
    low, high = int(values.min()), int(values.max())
    if low < 0 or high >= N_LARGEST:
        raise InputError(f"{where}: have {low if low < 0 else high} in it; {what} count from 0.")


def _check_alike(where: str, splits: Mapping[str, Split]) -> None:
    for part in ("inputs", "targets"):
        kinds = [getattr(split, part) for split in splits.values()]
        first, last = (f"{a.dtype} {['n', *a.shape[1:]]}" for a in (kinds[0], kinds[-1]))
        if first != last:
            raise InputError(
                f"{where}: {part} of train are {first}, of test {last}".replace("'", "")
                + "; one network and one loss take both, so they must be alike."
            )


def _count_classes(where: str, splits: Mapping[str, Split]) -> int:
    train = splits["train"]
    if train.targets.dtype.kind == "f":
        return int(np.prod(train.targets.shape[1:]))
    largest = max(int(split.targets.max()) for split in splits.values())
    is_next_symbol = train.kind == "text" and train.targets.ndim == 2
    if is_next_symbol:  # of which each can be an input too
        largest = max(largest, *(int(split.inputs.max()) for split in splits.values()))
    if largest >= MOST_CLASSES:
        raise InputError(
            f"{where}: targets have {largest} in them; class numbers count from 0, and below "
            f"{MOST_CLASSES:,}. Numbers to predict are float32."
        )
    return max(1, 1 + largest)
