"""Choose the tensor for the loss if a network returns several.

``nets:build[logits]`` names a network and an entry of its result: a key of a dict, an attribute of
an object such as transformers' ModelOutput, or an index into a tuple. ``--output logits`` is short
for this. The entry is part of the network's name, so that every file and every command contains it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass

import torch
from torch import nn

from landscape_mpi.errors import InputError, nearest_name
from landscape_mpi.zoo.own_network import unwrapped
from landscape_mpi.zoo.user_functions import a_kind, described

N_TOLD = 5  # most entries in a message


def split_entry(name: str) -> tuple[str, str | None]:
    """Return the name of a network without its entry, and the entry; None if it has none.

    Raises:
        InputError: If the brackets do not close, or hold nothing.
    """
    model, bracket, rest = name.partition("[")
    if not bracket:
        return name, None
    if not rest.endswith("]") or rest == "]":
        raise InputError(
            f"--model {name}: brackets after the name must hold an entry of the network's result, "
            "as in package.module:function[logits]. Name one, or leave out the brackets."
        )
    return model, rest[:-1]


def take_entry(network: nn.Module, entry: str, *, model: str) -> nn.Module:
    """Return the network, changed so that a call gives one entry of forward's result.

    Its parameters keep their names, and a copy of it gives the same entry.

    Args:
        network: Network to change, in place.
        entry: Name or index.
        model: Name of the network, for messages.

    Raises:
        InputError: If the network is scripted, because a copy would lose the choice.
    """
    network = unwrapped(network)
    if isinstance(network, torch.jit.ScriptModule):
        raise InputError(
            f"--output {entry}: {model} is a scripted or traced network, so this option cannot "
            "choose from its outputs. Script a module whose forward returns this entry alone."
        )
    network.register_forward_hook(EntryTaker(model, entry))
    return network


@dataclass(frozen=True)
class EntryTaker:
    """Select one entry of a network's result; a forward hook."""

    model: str
    entry: str

    def __call__(self, network: nn.Module, inputs: object, outputs: object) -> torch.Tensor:
        """Return the entry.

        Raises:
            InputError: If there is no such entry, or it is not a tensor.
        """
        if isinstance(outputs, torch.Tensor):  # its [0] would be the first sample
            raise InputError(
                f"--output {self.entry}: {self.model} returns one tensor, which has no entries. "
                "Leave out --output."
            )
        entries = entries_of(outputs)
        found = entries.get(self.entry)
        if not isinstance(found, torch.Tensor):
            raise InputError(self._refusal(outputs, entries))
        return found

    def _refusal(self, outputs: object, entries: Mapping[str, object]) -> str:
        where = f"--output {self.entry}: {self.model} returns {a_kind(outputs)}"
        if self.entry in entries:
            where += f" whose entry {self.entry} is {a_kind(entries[self.entry])}, not a tensor"
        near = nearest_name(self.entry, entries)
        hint = f" Did you mean {near}?" if near and near != self.entry else ""
        tensors = described_entries(outputs)
        there = f"Its tensors are {tensors}." if tensors else "It holds no tensors."
        return f"{where}. {there}{hint}"


def entries_of(outputs: object) -> dict[str, object]:
    """Return the entries of a network's result, by name and by index."""
    found: dict[str, object] = {}
    if isinstance(outputs, tuple | list):
        found.update((str(place), value) for place, value in enumerate(outputs))
        found.update(getattr(outputs, "_asdict", dict)())
    elif isinstance(outputs, Mapping):
        # transformers' ModelOutput also has indices.
        places = outputs.to_tuple() if hasattr(outputs, "to_tuple") else ()
        found.update((str(place), value) for place, value in enumerate(places))
        found.update((str(key), value) for key, value in outputs.items())
    elif is_dataclass(outputs):
        found.update((one.name, getattr(outputs, one.name)) for one in fields(outputs))
    elif not isinstance(outputs, torch.Tensor):
        found.update(getattr(outputs, "__dict__", {}))
    if "logits" not in found and isinstance(getattr(outputs, "logits", None), torch.Tensor):
        found["logits"] = outputs.logits  # type: ignore[attr-defined]
    return found


def described_entries(outputs: object) -> str:
    """Describe the tensors of a network's result, by name or index; empty if there are none.

    Args:
        outputs: Result of a network.
    """
    tensors = {
        name: value
        for name, value in entries_of(outputs).items()
        if isinstance(value, torch.Tensor)
    }
    named = {id(value) for name, value in tensors.items() if not name.isdecimal()}
    told = [
        f"{name}, {described(value)}"
        for name, value in tensors.items()
        if not (name.isdecimal() and id(value) in named)  # one entry with two names
    ]
    more = f"; and {len(told) - N_TOLD} more" if len(told) > N_TOLD else ""
    return "; ".join(told[:N_TOLD]) + more


def way_out(outputs: object) -> str:
    """Explain how to compute a loss from outputs that are not a tensor."""
    found = described_entries(outputs)
    if not found:
        return (
            "Wrap the network in a module whose forward returns only the tensor that enters "
            "the loss."
        )
    return f"Pass --output with the entry that enters the loss: {found}."
