"""Read and load a network's parameters and buffers, even those missing from its state dict.

This is done in training mode. Layers such as LoRA's merge their weights on eval(); a state dict
loaded after that would be added to the merged weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Container, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from landscape_mpi.errors import InputError
from landscape_mpi.tensor_names import is_extra

Extra = Mapping[str, object]  # entries of a state dict that are not tensors, by name


def named_tensors(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the parameters and buffers, uncopied, in the order of the network's modules.

    A tensor with several names has an entry for each. The state dict is not used, because it may
    hold copies.
    """
    tensors: dict[str, torch.Tensor] = {}
    for prefix, module in network.named_modules(remove_duplicate=False):
        for name, tensor in (*module._parameters.items(), *module._buffers.items()):
            if tensor is not None:
                tensors[f"{prefix}.{name}" if prefix else name] = tensor
    return tensors


def tensors_named(network: nn.Module, names: Container[str]) -> dict[str, torch.Tensor]:
    """Return some parameters and buffers, uncopied, in the network's order."""
    return {name: tensor for name, tensor in named_tensors(network).items() if name in names}


def tensors_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Return parameters and buffers as arrays; parameters share the network's memory.

    Tensors of 16-bit types become copies in float32, which represents them exactly.

    Args:
        network: Network on the CPU.

    Raises:
        InputError: If it has tensors of an unsupported kind, or lazy ones that still have no shape.
    """
    check_tensors(network)
    for name, tensor in named_tensors(network).items():
        if is_lazy(tensor):
            raise InputError(
                f"the network: {name} has no shape even after the network was called once: its "
                "lazy layer does not take part in the loss. Remove the layer, or give it a shape."
            )
    tensors = {name: tensor.detach() for name, tensor in named_tensors(network).items()}
    for name, buffer in network.named_buffers(remove_duplicate=False):
        tensors[name] = buffer.detach().clone()  # torch cannot resize memory that numpy shares
    return {name: _as_array(tensor) for name, tensor in tensors.items()}


def check_tensors(network: nn.Module) -> None:
    """Check that each parameter and buffer is a dense tensor of real numbers that can be set.

    Args:
        network: Network on the CPU; lazy layers may have no shape yet.

    Raises:
        InputError: If one is not.
    """
    parameters = {id(parameter) for parameter in network.parameters()}
    for name, tensor in named_tensors(network).items():
        if not is_lazy(tensor) and (fault := _fault_of(tensor, moves=id(tensor) in parameters)):
            raise InputError(f"the network: {name} {fault}")


def _fault_of(tensor: torch.Tensor, *, moves: bool) -> str | None:
    """Return why a tensor cannot be set, and the way out; None if it can."""
    if tensor.is_complex():
        return (
            "is complex, but a plane needs real weights. Keep real and imaginary parts as two "
            "real parameters."
        )
    if tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized:
        kind = "on the meta device" if tensor.is_meta else "sparse or quantized"
        return (
            f"is {kind}, but a plane needs weights that are dense tensors of numbers. Convert it "
            "to such a tensor."
        )
    if tensor.is_inference():
        return (
            "was made under torch.inference_mode(), and torch does not allow changes of such a "
            "tensor. Make the network outside this mode (torch.no_grad() is fine), or pass "
            "copy.deepcopy(network), whose tensors can be changed."
        )
    if not _has_array(tensor.dtype):
        kind = str(tensor.dtype).removeprefix("torch.")
        return (
            f"has the type {kind}, but weights can move only as float64, float32, bfloat16 or "
            "float16. Convert the network: network.float()."
        )
    if moves and _repeats(tensor):
        return (
            f"has {tensor.numel():,} elements that share memory, as expand() makes them, so "
            "changing one changes others. Register the tensor before expand() as the parameter, "
            "and expand it in forward; or register a copy, name.clone()."
        )
    return None


def _has_array(dtype: torch.dtype) -> bool:
    """Return whether numpy has arrays of a type."""
    try:
        _as_array(torch.empty(0, dtype=dtype))
    except TypeError:
        return False
    return True


def _repeats(tensor: torch.Tensor) -> bool:
    """Return whether several indices of a tensor refer to the same place in memory."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    return any(size > 1 and step == 0 for size, step in steps)


def set_values(tensor: torch.Tensor, values: torch.Tensor) -> None:
    """Copy values into a tensor; a buffer takes their shape, because calls may change its shape."""
    if tensor.shape != values.shape and not isinstance(tensor, nn.Parameter):
        tensor.data = tensor.new_empty(values.shape)
    if _repeats(tensor):  # made by expand(): torch cannot copy into repeated elements
        for axis, step in enumerate(tensor.stride()):
            if step == 0 and tensor.shape[axis]:
                tensor, values = tensor.narrow(axis, 0, 1), values.narrow(axis, 0, 1)
    tensor.copy_(values)


def _as_array(tensor: torch.Tensor) -> np.ndarray:
    is_half = tensor.dtype in {torch.float16, torch.bfloat16}
    return (tensor.float() if is_half else tensor).numpy()


def extra_state_of(network: nn.Module) -> dict[str, object]:
    """Return the state dict's entries from get_extra_state(), by name."""
    if not any(type(m).get_extra_state is not nn.Module.get_extra_state for m in network.modules()):
        return {}
    state = network.state_dict()
    return {name: value for name, value in state.items() if is_extra(name)}


def fill_network(
    network: nn.Module,
    arrays: Mapping[str, np.ndarray],
    extra: Extra | None = None,
    *,
    option: str = "--model",
) -> None:
    """Load arrays into a network of the same architecture; put it into training mode.

    Args:
        network: Network on the CPU.
        arrays: Result of tensors_of for the other network, in training mode.
        extra: Result of extra_state_of for it.
        option: Option that named the network, for the message.

    Raises:
        InputError: If the names differ because the function that builds the network varies.
    """
    network.train()
    state = {name: torch.from_numpy(values) for name, values in arrays.items()}
    is_other = named_tensors(network).keys() != arrays.keys()  # e.g. loading creates a buffer
    if extra or is_other or is_unfinished(network):  # only the network's own loading can set these
        known = network.state_dict().keys() | (state.keys() - named_tensors(network).keys())
        wanted = {name: tensor for name, tensor in state.items() if name in known}
        network.load_state_dict({**wanted, **(extra or {})}, strict=False)
    tensors = named_tensors(network)
    if tensors.keys() != arrays.keys():
        different = sorted(tensors.keys() ^ arrays.keys())
        raise InputError(
            f"{option}: building the network a second time gave other tensors ({different[0]}). "
            "Every rank builds the network, so the function must always build the same one."
        )

    def put() -> None:
        for name, tensor in named_tensors(network).items():
            set_values(tensor, state[name])

    with torch.no_grad():
        put_values(network, put, loads=acts_on_load(network))


def freeze(network: nn.Module) -> None:
    """Freeze every parameter; TorchScript has no requires_grad_() for all at once."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)


def is_unfinished(network: nn.Module) -> bool:
    """Return whether lazy layers have not seen a batch yet and so have no shapes."""
    return any(is_lazy(tensor) for tensor in named_tensors(network).values())


def acts_on_eval(network: nn.Module) -> bool:
    """Return whether a module defines its own train() or eval()."""
    own = (nn.Module.train, nn.Module.eval)
    return any((type(m).train, type(m).eval) != own for m in network.modules())


def acts_on_load(network: nn.Module) -> bool:
    """Return whether a module's own code runs when a state dict is loaded.

    It may compute something from the weights and keep it: a product of two, a norm.
    """
    return any(
        not _is_of_torch(function) for module in network.modules() for function in _loading(module)
    )


def _loading(module: nn.Module) -> list[Callable[..., Any]]:
    """Return the functions that load_state_dict calls for a module."""
    kind, own = type(module), vars(module)
    hooks = [*module._load_state_dict_pre_hooks.values()]
    hooks += module._load_state_dict_post_hooks.values()
    names = ("load_state_dict", "_load_from_state_dict", "set_extra_state")
    return [
        *(getattr(hook, "hook", hook) for hook in hooks),  # torch wraps hooks before a load
        *(own.get(name, getattr(kind, name)) for name in names),
    ]


def _is_of_torch(function: Callable[..., Any]) -> bool:
    return str(getattr(function, "__module__", "")).split(".")[0] == "torch"


def put_values(network: nn.Module, put: Callable[[], None], *, loads: bool) -> None:
    """Put values into a network, so that what its own code derives while loading fits them.

    Args:
        network: Network in training mode.
        put: Puts the values in; it is called again after loading, since a state dict may round.
        loads: Result of acts_on_load().
    """
    put()
    if loads:
        # A network that cannot load its own state dict cannot derive anything in this way either.
        with contextlib.suppress(Exception):
            network.load_state_dict(network.state_dict())
        put()


def changed_by_eval(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return the tensors that eval() changes, with their values in training mode.

    Args:
        network: Network in training mode; afterwards in evaluation mode.
    """
    if not acts_on_eval(network):
        network.eval()
        return {}
    before = {name: tensor.detach().clone() for name, tensor in named_tensors(network).items()}
    after = named_tensors(network.eval())
    return {
        name: tensor
        for name, tensor in before.items()
        if name not in after or not torch.equal(tensor, after[name])
    }


def refuse_merged(network: nn.Module, what: str, *, option: str = "--model") -> None:
    """Put a network into evaluation mode, and refuse one whose eval() merges weights.

    Args:
        network: Network in training mode.
        what: Name of the derivatives, for the message.
        option: Option that named the network, for the message.

    Raises:
        InputError: If eval() changes parameters.
    """
    changed = changed_by_eval(network)
    if changed:
        raise InputError(
            f"{option}: eval() changes {', '.join(list(changed)[:3])} of this network, as layers "
            "do that merge weights (LoRA). Derivatives of the merged network do not reach the "
            f"original weights, so {what} would be wrong. Let the function return a network that "
            "does not merge weights."
        )
