"""Measure batch-norm's running statistics again at every point, on the training set.

The statistics of a checkpoint belong to its weights. Far from these weights the stored statistics
no longer fit the activations, and the loss rises for that reason alone. Papers on mode connectivity
therefore measure them again. Each batch is normalised by its own statistics, and the means of these
over all batches become the running statistics. Batches are independent of each other, so threads
can share them out. The sums follow the order of the data, so they are the same for any number of
threads.

A layer of any class counts if it owns a running mean and variance. This module measures the layers
of torch itself. Any other layer is called in training mode on copies of its buffers; the way it
updates them gives the statistics of the batch. A layer that does not update its buffers (frozen
batch-norm) gets the mean and the variance of its input.

Source: Izmailov et al. 2018, arXiv:1803.05407, section 3.2; Garipov et al. 2018, arXiv:1802.10026.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import MethodType
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils._pytree import tree_leaves

from landscape_mpi.compute.norms import has_statistics, layer_name
from landscape_mpi.compute.passes import batches
from landscape_mpi.compute.selection import abbreviated
from landscape_mpi.compute.threads import single_core_threads
from landscape_mpi.errors import InputError
from landscape_mpi.tensor_names import STATISTICS

OF_TORCH = (nn.modules.batchnorm._BatchNorm.forward, nn.SyncBatchNorm.forward)
Moments = tuple[torch.Tensor, torch.Tensor]  # mean and variance of a batch, float64 [n_channels]
Statistics = dict[str, list[Moments]]  # by layer, for each of its calls
Run = Callable[[slice], object]  # pass a batch, given by its rows, through the network


@dataclass(frozen=True)
class Advice:
    """Hold the texts of messages for statistics that cannot be measured."""

    option: str = "--batch-norm reestimate"
    instead: str = "Pass --batch-norm fixed"


OF_SURFACE = Advice()
INSTEAD = "Normalise without running statistics (nn.GroupNorm, nn.LayerNorm)"


def layers_with_statistics(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers that own a running mean and variance, by name."""
    return {name: layer for name, layer in network.named_modules() if has_statistics(layer)}


def copy_statistics(network: nn.Module, to: nn.Module) -> None:
    """Copy the running statistics of a network into another one of the same architecture."""
    others = layers_with_statistics(to)
    for name, layer in layers_with_statistics(network).items():
        for kind in STATISTICS:
            _fill(getattr(others[name], kind), getattr(layer, kind).detach())


class BatchNormStatistics:
    """Measure the running statistics of a network's batch-norm layers."""

    def __init__(
        self,
        networks: Sequence[nn.Module],
        *,
        batch: int,
        threads: int,
        advice: Advice = OF_SURFACE,
    ) -> None:
        """Take over the layers of a network until release() is called.

        Args:
            networks: One network, or one copy for each thread. Their batch-norm layers must be
                called as modules.
            batch: Number of samples in a pass; a variance needs at least 2.
            threads: Number of passes at a time.
            advice: Texts for messages.
        """
        self._copies: list[dict[str, Any]] = [layers_with_statistics(one) for one in networks]
        self._layers = self._copies[0]
        self._batch, self._advice = batch, advice
        self._pool = single_core_threads(threads) if threads > 1 else None
        self._of_this_thread = threading.local()
        self._frozen: set[str] = set()
        self._unreached: list[str] = []
        for name, layer in ((n, layer) for layers in self._copies for n, layer in layers.items()):
            if not isinstance(layer, torch.jit.ScriptModule):  # try_layers refuses or skips these
                # A method, because a copy of the network then has its own.
                layer.forward = MethodType(self._forward_of(name), layer)

    def release(self) -> None:
        """Let the layers compute again as their classes define it."""
        for layers in self._copies:
            for layer in layers.values():
                layer.__dict__.pop("forward", None)

    @property
    def n_layers(self) -> int:
        """Return the number of layers with running statistics."""
        return len(self._layers)

    @property
    def description(self) -> str:
        """Describe the measured layers for the log; complete after try_layers()."""
        if not self._layers:
            return "no running statistics to measure"
        words = f"the statistics of {self.n_layers - len(self._unreached)} measured again"
        if self._frozen:
            kinds = {layer_name(self._layers[name]) for name in self._frozen}
            words += f", {len(self._frozen)} of them frozen in training ({', '.join(kinds)})"
        if self._unreached:
            words += f", {len(self._unreached)} without effect ({abbreviated(self._unreached)})"
        return words

    def _forward_of(self, name: str) -> Callable[..., Any]:
        def forward(layer: nn.Module, *args: Any, **kwargs: Any) -> Any:
            found: Statistics | None = getattr(self._of_this_thread, "found", None)
            if found is None:  # a normal pass
                return type(layer).forward(layer, *args, **kwargs)
            output, moments, is_frozen = _measured(name, layer, args, kwargs, self._advice)
            found.setdefault(name, []).append(moments)
            if is_frozen:
                self._frozen.add(name)
            return output

        return forward

    def try_layers(self, n_samples: int, run: Run, *, evaluate: Run | None = None) -> None:
        """Check on one batch that every layer can be measured.

        Args:
            n_samples: Samples of the training set.
            run: As in update; it returns the outputs.
            evaluate: The same in evaluation mode; None if run already uses that mode.

        Raises:
            InputError: If a layer cannot be measured, or changes the outputs without being called.
        """
        rows = slice(0, min(self._batch, n_samples))
        reached = self._statistics_of(rows, run)
        self._unreached = [name for name in self._layers if name not in reached]
        for name in self._unreached:
            if self._has_effect(name, rows, evaluate or run):
                raise InputError(
                    f"{self._advice.option}: the running statistics of {name} "
                    f"({layer_name(self._layers[name])}) change the outputs, but the network does "
                    f"not call {name} as a layer (because it was compiled, or only its buffers "
                    f"are read), so they cannot be measured. {self._advice.instead}, or call the "
                    "layer in forward."
                )

    def _has_effect(self, name: str, rows: slice, run: Run) -> bool:
        """Return whether different statistics of a layer would change the outputs."""
        buffers = [getattr(layers[name], kind) for layers in self._copies for kind in STATISTICS]
        kept = [buffer.clone() for buffer in buffers]
        before = tree_leaves(run(rows))
        for buffer in buffers:
            buffer.data.add_(1)
        after = tree_leaves(run(rows))
        for buffer, values in zip(buffers, kept, strict=True):
            buffer.data.copy_(values)
        return not all(
            torch.equal(one.nan_to_num(), other.nan_to_num())
            for one, other in zip(before, after, strict=True)
            if isinstance(one, torch.Tensor)
        )

    def update(self, n_samples: int, run: Run) -> None:
        """Measure the statistics at the current weights and put them into the layers.

        All calls of a layer in a pass are weighted by the number of samples in the batch.

        Args:
            n_samples: Samples of the training set.
            run: Function that passes a batch, given by its rows, through the network.
        """
        parts = list(batches(n_samples, self._batch))
        if len(parts) > 1 and n_samples % self._batch == 1:
            parts.pop()  # a single sample has no variance
        measured = list(self._map(lambda rows: self._statistics_of(rows, run), parts))
        sizes = [rows.stop - rows.start for rows in parts]
        for name in self._layers:
            calls = [found.get(name, []) for found in measured]
            n_measured = sum(n * len(of_batch) for n, of_batch in zip(sizes, calls, strict=True))
            if not n_measured:
                continue  # a layer that is not reached keeps its statistics
            for place, kind in enumerate(STATISTICS):
                total = sum(
                    sum(moments[place] for moments in of_batch) * n
                    for n, of_batch in zip(sizes, calls, strict=True)
                )
                for layers in self._copies:
                    _fill(getattr(layers[name], kind), total / n_measured)

    def _map(
        self, work: Callable[[slice], Statistics], parts: Iterable[slice]
    ) -> Iterable[Statistics]:
        return map(work, parts) if self._pool is None else self._pool.map(work, parts)

    def _statistics_of(self, rows: slice, run: Run) -> Statistics:
        found: Statistics = {}
        self._of_this_thread.found = found
        try:
            run(rows)
        finally:
            self._of_this_thread.found = None
        return found


def _measured(
    name: str, layer: Any, args: Sequence[Any], kwargs: dict[str, Any], advice: Advice
) -> tuple[Any, Moments, bool]:
    """Normalise a batch by its own statistics in a layer.

    Returns:
        Output, mean and variance, and whether training would leave the statistics unchanged.
    """
    if type(layer).forward in OF_TORCH:
        inputs = args[0] if args else kwargs["input"]
        _check_values(name, inputs, advice)
        output = functional.batch_norm(
            inputs, None, None, layer.weight, layer.bias, training=True, momentum=0, eps=layer.eps
        )
        return output, _moments(inputs, axis=1), False
    own = _own_moments(layer, args, kwargs)
    if own is not None:
        return _call_copy(layer, args, kwargs)[0], own, False
    inputs = next(x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor))
    axis = _channel_axis(name, layer, inputs, advice)
    mean, variance = _moments(inputs, axis=axis)
    others = [other for other in range(inputs.dim()) if other != axis]
    biased = _precise(inputs).var(others, correction=0)
    output, _ = _call_copy(layer, args, kwargs, values=(mean, biased), training=False)
    return output, (mean, variance), True


def _moments(inputs: torch.Tensor, *, axis: int) -> Moments:
    others = [other for other in range(inputs.dim()) if other != axis]
    variance, mean = torch.var_mean(_precise(inputs), dim=others, correction=1)
    return mean.double(), variance.double()


def _precise(inputs: torch.Tensor) -> torch.Tensor:
    """Return activations in at least float32, for which torch uses Welford's summation.

    A copy in float64 would take twice the memory and, on many GPUs, much more time.
    """
    return inputs if inputs.dtype == torch.float64 else inputs.float()


def _own_moments(layer: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Moments | None:
    """Return the statistics that a layer's own code measures in a batch; None if it has none.

    Its update gives (1 - share) * before + share * found. Two calls, one starting from 0 and one
    from 1, determine the unknown ``share`` and ``found``.
    """
    found = []
    ends = [_call_copy(layer, args, kwargs, values=(end, end))[1] for end in (0.0, 1.0)]
    for from_0, from_1 in zip(*ends, strict=True):
        share = 1 - (from_1 - from_0)
        if not share.abs().min() > 1e-6:
            return None
        found.append(from_0 / share)
    return found[0], found[1]


def _call_copy(
    layer: Any,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    *,
    values: Sequence[Any] = (),
    training: bool = True,
) -> tuple[Any, list[torch.Tensor]]:
    """Call a layer on copies of its buffers; return the output and the updated statistics.

    Args:
        layer: The layer; it stays unchanged.
        args: Positional arguments of the call.
        kwargs: Keyword arguments of the call.
        values: Initial statistics; empty to use the layer's own.
        training: Whether the layer runs in training mode.
    """
    made = copy.copy(layer)
    for kind in ("_buffers", "_parameters"):  # statistics may be parameters
        own = getattr(layer, kind)
        made.__dict__[kind] = {n: None if t is None else _own_copy(t) for n, t in own.items()}
    made.training = training
    for kind, value in zip(STATISTICS, values, strict=False):
        _fill(getattr(made, kind), torch.as_tensor(value))
    if isinstance(getattr(made, "momentum", None), float):
        made.momentum = 1.0  # so that the update keeps nothing of the earlier statistics
    output = type(layer).forward(made, *args, **kwargs)
    return output, [getattr(made, kind).double() for kind in STATISTICS]


def _own_copy(tensor: torch.Tensor) -> torch.Tensor:
    copied = tensor.detach().clone()
    is_parameter = isinstance(tensor, nn.Parameter)
    return nn.Parameter(copied, requires_grad=False) if is_parameter else copied


def _fill(buffer: torch.Tensor, values: torch.Tensor) -> None:
    buffer.data.copy_(values.reshape(buffer.shape) if values.ndim else values)


def _check_values(name: str, inputs: torch.Tensor, advice: Advice) -> None:
    """Check that a batch has more than one value of each channel, as a variance needs.

    Raises:
        InputError: If it has only one.
    """
    if inputs.dim() > 1 and inputs.numel() == inputs.shape[1]:
        raise InputError(
            f"{advice.option}: a batch gives {name} only one value per channel, which has no "
            "variance, so running statistics cannot be measured. Use larger batches, drop a "
            "smaller last batch (drop_last=True), or: "
            f"{advice.instead[0].lower()}{advice.instead[1:]}."
        )


def _channel_axis(name: str, layer: Any, inputs: torch.Tensor, advice: Advice) -> int:
    """Return the axis of the channels; 1 if that axis has the right length.

    Raises:
        InputError: If no axis is as long as the statistics.
    """
    n = layer.running_mean.numel()
    fitting = [axis for axis in range(1, inputs.dim()) if inputs.shape[axis] == n]
    if not fitting:
        raise InputError(
            f"{advice.option}: {name} ({layer_name(layer)}) has running statistics of {n} "
            f"channels, but no axis of its input of shape {list(inputs.shape)} has this length, so "
            f"they cannot be measured. {advice.instead}."
        )
    return fitting[0]
