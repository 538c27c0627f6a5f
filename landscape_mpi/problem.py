"""The parts of a loss landscape: a network, its data, and a loss of the network on a batch.

Importing this file does not import torch: a user with a network has already imported it.
"""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import TYPE_CHECKING, Any

from landscape_mpi.errors import InputError, unknown_name

if TYPE_CHECKING:
    import torch
    from torch import nn

SPLITS = ("train", "test")
DTYPES = ("float32", "float64", "bfloat16")
WORDS = (str, bytes, bytearray)
EXAMPLE = "Pass a function: def loss(network, batch): ... return losses"

Finish = Callable[[float], float]  # turns the mean over a split into a metric, e.g. math.exp
OfBatch = Callable[["nn.Module", Any], "torch.Tensor | tuple[torch.Tensor, torch.Tensor]"]


@dataclass(frozen=True)
class BatchFunction:
    """The loss, or a metric: a function of the network and a batch."""

    name: str  # name in the file
    function: OfBatch
    finish: Finish | None = None  # None if the mean itself is the value

    @property
    def units(self) -> str:
        """Return the unit of a metric, which its function may have as an attribute."""
        units = getattr(self.function, "units", "1")
        return units if isinstance(units, str) else "1"


@dataclass(frozen=True, eq=False)
class Problem:
    """A network, its data and a loss, of any kind.

    The loss of a split is the sum of ``loss`` over its batches, divided by the sum of the counts.
    The network is called in evaluation mode and without gradients; a loss that needs
    gradients turns them on (``with torch.enable_grad():``).

    Args:
        network: The network with its weights, an ``nn.Module``.
        data: Batches by the name of their split, ``train`` and ``test``, or only the batches of the
            training data. Batches are a list of batches, a DataLoader, a Dataset, a tuple of
            tensors of equal length, or anything that can be iterated over again. A batch is any
            tree of
            tensors: dicts, tuples, lists, objects, None, strings and numbers.
        loss: Called with the network and a batch. It returns the losses of the samples, a tensor
            [n], or the pair (sum of the losses, number of samples that count).
        metrics: Further functions of the same kind by name, or pairs (function, finish): finish is
            applied to the mean over the split, as in ``{"perplexity": (loss, math.exp)}``. A
            function that has a unit names it: ``error.units = "percent"``.
        seed: Seed of the random numbers of every batch, which are the same at every point.
        batch_size: Samples in a batch of a Dataset or of tensors.
        collate: Makes a batch from a list of samples of a Dataset; torch's own if None.
        dtype: One of DTYPES. The network and the floating-point tensors of the batches are
            converted to it; None leaves them as they are.
        units: Unit of the loss.

    Raises:
        InputError: If one of these values is not as described.

    >>> import torch
    >>> batches = [{"x": torch.randn(8, 2), "y": torch.randn(8)} for _ in range(4)]
    >>> def loss(network, batch):
    ...     return (network(batch["x"]).squeeze(1) - batch["y"]).square()
    >>> problem = Problem(torch.nn.Linear(2, 1), {"train": batches}, loss)
    >>> list(problem.splits)
    ['train']
    """

    network: nn.Module
    data: Any
    loss: OfBatch
    _: KW_ONLY
    metrics: Mapping[str, OfBatch | tuple[OfBatch, Finish]] = field(default_factory=dict)
    seed: int = 0
    batch_size: int = 32
    collate: Callable[[list[Any]], Any] | None = None
    dtype: str | None = None
    units: str = "1"

    def __post_init__(self) -> None:
        _check_network(self.network)
        given = _by_split(self.data)
        if not given:
            raise InputError("Problem: data is empty. Pass batches by split, {'train': batches}.")
        for name, batches in given.items():
            _check_batches(name, batches)
        _check_function("loss", self.loss)
        if not isinstance(self.metrics, Mapping):
            raise _wrong("metrics", self.metrics, "Pass a dict of functions by name.")
        for name, metric in self.metrics.items():
            _check_metric(name, metric)
        _check_options(self)

    @property
    def splits(self) -> dict[str, Any]:
        """Return the batches by the name of their split, training data first."""
        given = _by_split(self.data)
        return {name: given[name] for name in SPLITS if name in given}

    @property
    def functions(self) -> tuple[BatchFunction, ...]:
        """Return the loss, and then the metrics in their given order."""
        return (BatchFunction("loss", self.loss), *self._metrics())

    def _metrics(self) -> Iterator[BatchFunction]:
        for name, given in self.metrics.items():
            function, finish = given if isinstance(given, tuple) else (given, None)
            yield BatchFunction(name, function, finish)


def _by_split(data: object) -> dict[str, Any]:
    return dict(data) if isinstance(data, Mapping) else {"train": data}


def _check_network(network: object) -> None:
    torch = sys.modules.get("torch")  # without torch, nothing is a module
    if torch is not None and isinstance(network, torch.nn.Module):
        return
    way = "Pass the network itself, an nn.Module with its weights."
    if isinstance(network, type):
        way = f"It is a class: pass a network, {network.__name__}(...), with its weights."
    elif isinstance(network, Mapping):
        way = "A state dict is not a network: build the network and load it (load_state_dict)."
    elif callable(network):
        way = "It is a function: pass what it returns."
    raise _wrong("network", network, way)


def _check_batches(name: str, batches: object) -> None:
    if name not in SPLITS:
        raise InputError(
            f"{unknown_name('Problem: the split in data', str(name), SPLITS)} A dict gives batches "
            f"by the name of their split; a batch that is a dict goes into a list, [batch]."
        )
    where = f"data[{name!r}]"
    if isinstance(batches, Mapping):
        raise _wrong(where, batches, "It looks like one batch: pass a list of batches, [batch].")
    if hasattr(batches, "__next__"):
        raise _wrong(
            where,
            batches,
            "It can be read only once, but every point reads the data again. Pass list(...) of "
            "it, or a DataLoader.",
        )
    is_indexed = hasattr(batches, "__getitem__") and hasattr(batches, "__len__")
    is_many = is_indexed or hasattr(batches, "__iter__")
    if not is_many or isinstance(batches, (type, *WORDS)):
        raise _wrong(
            where,
            batches,
            "Pass a list of batches, a DataLoader, a Dataset, or a tuple of tensors.",
        )
    if isinstance(batches, (list, tuple)) and not batches:
        raise InputError(
            f"Problem: {where} is empty. A surface needs at least one batch. Check the data set "
            "and its sampler."
        )


def _check_metric(name: object, metric: object) -> None:
    if not isinstance(name, str) or not name.isidentifier() or name == "loss":
        raise InputError(
            f"Problem: metrics has the name {name!r}, but it becomes a name in the file. Pass "
            "names of letters, digits and underscores other than 'loss'."
        )
    where, functions = f"metrics[{name!r}]", metric if isinstance(metric, tuple) else (metric,)
    if not 1 <= len(functions) <= 2:
        raise _wrong(where, metric, "Pass a function, or a pair (function, finish).")
    for function in functions:
        _check_function(where, function)


def _check_function(where: str, function: object) -> None:
    if isinstance(function, type) or not callable(function):
        raise _wrong(where, function, f"{EXAMPLE}.")
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(function, torch.nn.modules.loss._Loss):
        raise _wrong(
            where,
            function,
            f"It takes outputs and targets, but a problem calls {where} with the network and a "
            f"batch. {EXAMPLE}.",
        )


def _check_options(problem: Problem) -> None:
    _check_number("seed", problem.seed, least=0)
    _check_number("batch_size", problem.batch_size, least=1)
    if problem.collate is not None and not callable(problem.collate):
        raise _wrong("collate", problem.collate, "Pass a function of a list of samples, or None.")
    if not isinstance(problem.units, str):
        raise _wrong("units", problem.units, "Pass a word such as 'nat'.")
    if problem.dtype is not None and not isinstance(problem.dtype, str):
        raise _wrong("dtype", problem.dtype, f"Pass one of {', '.join(DTYPES)}, or None.")
    if problem.dtype is not None and problem.dtype not in DTYPES:
        raise unknown_name("Problem: dtype", problem.dtype, DTYPES)


def _check_number(name: str, value: object, *, least: int) -> None:
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise InputError(f"Problem: {name} is {value!r}. Pass a whole number of at least {least}.")


def _wrong(where: str, value: object, way_out: str) -> InputError:
    kind = value.__name__ if isinstance(value, type) else type(value).__name__
    return InputError(f"Problem: {where} is of type {kind}. {way_out}")
