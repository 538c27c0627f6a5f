"""Find the kinds of parameters: their filters, and whether they belong to a normalisation.

Layers of unknown kind are watched during one pass of real samples. For each weight, the first
operation that combines it with values computed from the samples decides: if every output depends on
a single index along an axis of the weight, this axis holds the output channels.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from landscape_mpi.compute.filters import (
    Filters,
    LayerFilters,
    find_filters,
    of_known_layer,
    owned_parameters,
)
from landscape_mpi.compute.norms import (
    called_norm,
    class_of,
    is_known_norm,
    is_vector,
    layer_name,
    may_be_norm,
    named_here,
    norm_parameters,
    standardises,
)

NORM_FUNCTIONS = ("layer_norm", "group_norm", "instance_norm", "batch_norm", "rms_norm")
LOOK_UPS = ("__getitem__", "index_select", "embedding")
OUTPUTS_TRIED = 5
Call = tuple[tuple[Any, ...], dict[str, Any]]  # positional and keyword arguments of a layer


@dataclass(frozen=True)
class LayerKinds:
    """Hold the kinds of a network's parameters by name; the same on every rank."""

    filters: Mapping[str, LayerFilters]
    norms: frozenset[str]  # scale and shift of normalisations
    notes: tuple[str, ...] = field(default=())  # decisions of a trial, for the log

    @property
    def filters_of(self) -> dict[str, Filters]:
        """Return the filters alone, by name."""
        return {name: known.filters for name, known in self.filters.items()}


def known_kinds(network: nn.Module) -> LayerKinds:
    """Return the kinds of parameters by the classes of their layers, without a trial."""
    return LayerKinds(find_filters(network, {}), frozenset(norm_parameters(network)))


def filters_in_words(layers: LayerKinds, names: Collection[str]) -> str:
    """Describe in words how many tensors have which filters, by kind of layer.

    Args:
        layers: The kinds of the parameters.
        names: Parameters to describe.
    """
    known = [found for name, found in layers.filters.items() if name in names]
    counts = Counter((k.layer, k.filters.description) for k in known if k.filters.axes)
    words = [f"{layer} {n} ({described})" for (layer, described), n in counts.items()]
    n_whole = sum(not k.filters.axes for k in known)
    return ", ".join([*words, f"{n_whole} tensors as a whole"] if n_whole else words)


def has_unknown(network: nn.Module) -> bool:
    """Tell whether a network has layers of unknown kind."""
    return bool(_unknown_weights(network) or _unknown_norms(network))


def find_kinds(network: nn.Module, run: Callable[[nn.Module], object]) -> LayerKinds:
    """Find the kinds of all parameters; try layers of unknown kind on samples.

    Args:
        network: Network in evaluation mode, on the CPU; unusable after the trial.
        run: Function that passes some samples through a network.
    """
    weights, layers = _unknown_weights(network), _unknown_norms(network)
    watch, calls, notes = _watched(network, run, weights, layers)
    tried = {name: standardises(layers[name], *call) for name, call in calls.items()}
    decided = _decided(layers, tried) | dict.fromkeys(watch.in_norms, True)
    return LayerKinds(
        find_filters(network, watch.filters),
        frozenset(norm_parameters(network, decided)),
        (*notes, *_notes(layers, tried)),
    )


def _unknown_weights(network: nn.Module) -> dict[str, nn.Parameter]:
    """Return the parameters, by name, that no layer of a known kind owns."""
    found = {}
    for name, values, layer, tensor in owned_parameters(network):
        known = is_known_norm(layer) or of_known_layer(layer, tensor, values) is not None
        known |= _is_of_torch(layer) and is_vector(values)
        if values.is_floating_point() and not known:
            found[name] = values
    return found


def _unknown_norms(network: nn.Module) -> dict[str, nn.Module]:
    """Return the layers that may be a normalisation, by name."""
    return {
        prefix: layer
        for prefix, layer in network.named_modules()
        if may_be_norm(layer) and not is_known_norm(layer) and not _is_of_torch(layer)
    }


def _is_of_torch(layer: nn.Module) -> bool:
    return class_of(layer).__module__.startswith("torch.nn.")


def _watched(
    network: nn.Module,
    run: Callable[[nn.Module], object],
    weights: Mapping[str, nn.Parameter],
    layers: Mapping[str, nn.Module],
) -> tuple[_WeightWatch, dict[str, Call], list[str]]:
    """Pass samples through a network; return the watch of its weights, the calls and notes."""
    calls: dict[str, Call] = {}
    notes = []

    def keep(prefix: str) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            calls.setdefault(prefix, tree_map(_copy, (args, kwargs)))

        return hook

    _require_gradients(network, list(weights.values()))
    handles = [
        layer.register_forward_pre_hook(keep(prefix), with_kwargs=True)
        for prefix, layer in layers.items()
    ]
    watch = _WeightWatch(network, weights)
    try:
        with torch.enable_grad(), warnings.catch_warnings(), watch:
            warnings.simplefilter("ignore")  # about gradients, which only this pass computes
            run(network)
    except Exception as problem:  # some networks run only without gradients
        words = f"{type(problem).__name__}: {' '.join(str(problem).split())[:100]}"
        notes.append(f"layers of unknown kinds are judged by their names ({words})")
    for handle in handles:
        handle.remove()
    _require_gradients(network, ())
    return watch, calls, notes


def _require_gradients(network: nn.Module, of: Sequence[nn.Parameter]) -> None:
    """Let only some parameters require gradients."""
    for values in network.parameters():
        if values.is_leaf:
            values.requires_grad_(any(values is one for one in of))


def _copy(values: object) -> object:
    return values.detach().clone() if isinstance(values, torch.Tensor) else values


class _WeightWatch(TorchFunctionMode):
    """Watch for the first operation that combines a weight with values from the samples."""

    def __init__(self, network: nn.Module, weights: Mapping[str, nn.Parameter]) -> None:
        self.filters: dict[str, Filters] = {}
        self.in_norms: set[str] = set()  # weights passed to a normalising function of torch
        self._weights = weights
        self._seen: set[str] = set()
        # Tensors computed from parameters and buffers alone, with their weights. They are kept
        # alive, so that no other tensor takes their place in memory.
        names = {id(values): name for name, values in weights.items()}
        self._constants: dict[int, tuple[torch.Tensor, frozenset[str]]] = {}
        for values in (*network.parameters(), *network.buffers()):
            self._remember(values, {names[id(values)]} if id(values) in names else set())

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [x for x in tree_leaves((args, kwargs)) if isinstance(x, torch.Tensor)]
        of = [self._constants.get(id(x), (x, None))[1] for x in tensors]
        names = {name for known in of if known for name in known}
        from_samples = None in of
        if from_samples and names - self._seen:
            self._meet(func, args, kwargs, sorted(names - self._seen))
            self._seen |= names
        elif getattr(func, "__name__", "") in LOOK_UPS and len(tensors) > 1:
            self._seen |= names  # rows of a table, such as an embedding
        made = func(*args, **kwargs)
        if not from_samples:
            for values in tree_leaves(made):
                if isinstance(values, torch.Tensor):
                    self._remember(values, names)
        return made

    def _remember(self, values: torch.Tensor, names: Iterable[str]) -> None:
        self._constants[id(values)] = values, frozenset(names)

    def _meet(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], names: list[str]
    ) -> None:
        """Record the axes that an operation shows for weights that it is the first to use."""
        if getattr(func, "__name__", "") in NORM_FUNCTIONS:
            self.in_norms |= set(names)
            return
        draw = torch.Generator().manual_seed(0)

        def dense(values: object) -> object:
            """Replace values from samples by random ones, so that none is 0 by accident."""
            if not isinstance(values, torch.Tensor):
                return values
            if id(values) in self._constants:
                return values
            if values.is_floating_point():
                return torch.randn(values.shape, generator=draw, dtype=values.dtype)
            return values.clone()

        try:
            with torch._C.DisableTorchFunction():
                output = func(*tree_map(dense, args), **tree_map(dense, kwargs))
                for name in filter(lambda n: not is_vector(self._weights[n]), names):
                    axes = _single_axes(output, self._weights[name])
                    if axes:
                        self.filters[name] = Filters(axes, words="output channels, by trial")
        except Exception:  # an operation that has no gradient, or reuses its input's memory
            return


def _single_axes(output: torch.Tensor, weight: nn.Parameter) -> tuple[int, ...]:
    """Return the axes of a weight along which each output depends on a single index.

    Returns:
        The axes; an empty tuple if this holds for all axes, because the weight is added, multiplied
        entry by entry, or looked up.
    """
    flat = output.flatten()
    long = {axis for axis, size in enumerate(weight.shape) if size > 1}
    single, is_used = set(long), False
    places = torch.linspace(0, len(flat) - 1, OUTPUTS_TRIED, dtype=torch.float32)
    for place in places.long().tolist():
        (gradient,) = torch.autograd.grad(flat[place], weight, retain_graph=True)
        used = gradient.nonzero()
        if len(used):  # otherwise this output comes from other weights
            is_used = True
            single -= {axis for axis in single if len(used[:, axis].unique()) > 1}
    return tuple(sorted(single)) if is_used and single != long else ()


def _decided(layers: Mapping[str, nn.Module], tried: Mapping[str, bool | None]) -> dict[str, bool]:
    return {
        name: outcome
        for prefix, outcome in tried.items()
        if outcome is not None
        for name, _ in named_here(prefix, layers[prefix])
    }


def _notes(layers: Mapping[str, nn.Module], tried: Mapping[str, bool | None]) -> Iterable[str]:
    """List the layers that count as normalisation, and those that do not despite their names."""
    for outcome, words in (
        (True, "standardise their input, so they count as normalisation (--ignore bn)"),
        (False, "do not standardise their input, so they do not count as normalisation"),
    ):
        kinds: dict[str, list[str]] = {}
        for prefix, found in tried.items():
            if found is outcome and (outcome or called_norm(layers[prefix])):
                kinds.setdefault(layer_name(layers[prefix]), []).append(prefix)
        if kinds:
            listed = ", ".join(f"{kind} ({len(names)})" for kind, names in kinds.items())
            yield f"layers of the kind {listed} {words}"
