"""Choose among several sets of weights in a checkpoint: raw or averaged, and of which network.

If the names make the choice clear, it is made and reported in the log. Otherwise the checkpoint is
refused, and the user chooses with ``--checkpoint-key``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import nn

from landscape_mpi.errors import InputError, nearest_name
from landscape_mpi.tensor_names import is_extra, listed, plain_names, shared_modules
from landscape_mpi.zoo.user_functions import a_kind

# Names under which most programs save the weights of the network; the first match counts.
WRAPPERS = (
    *("state_dict", "model_state_dict", "model_state", "model", "net"),
    *("network", "net_state_dict", "weights", "params", "module"),
)
# Names of entries beside the weights that also hold tensors.
OTHERS = re.compile(
    r"optimi[sz]er|(?:^|_)opt(?:im)?(?:_|$)|sched|scaler|rng|random|loops|hyper_param|args|config|"
    r"measures"
)
AVERAGES = {"ema", "emamodel", "swa", "avg", "average", "averaged", "shadow", "polyak", "moving"}
N_LEVELS = 3  # levels of nested dictionaries that are searched for weights
N_AVERAGED = "n_averaged"  # entry of torch.optim.swa_utils.AveragedModel
State = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """Hold the weights that are chosen from a file."""

    state: dict[str, Any]  # by name in the file; values of ..._extra_state may have any type
    notes: tuple[str, ...]  # for the log: the choice
    rivals: tuple[str, ...] = ()  # keys of several networks in state, each a prefix of its names


def is_average(key: str) -> bool:
    """Return whether a name denotes averaged weights."""
    words = set(re.split(r"[^a-z0-9]+", key.lower()))
    return bool(words & AVERAGES) or any(word.endswith("ema") for word in words)


def choose_weights(path: Path, loaded: object, key: str | None) -> Choice:
    """Choose the weights in the content of a file.

    Args:
        path: The file, for messages.
        loaded: The content of the file.
        key: Name of the weights in it, e.g. ``ema`` or ``ema.module``, or the module with which
            the tensors' names begin; None to choose by the names.

    Raises:
        InputError: If there are no weights, or several sets without a clear choice.
    """
    if isinstance(loaded, nn.Module):  # a whole pickled network; reading it needed trust
        loaded = loaded.state_dict()
    if not isinstance(loaded, Mapping):
        raise InputError(
            f"{path}: holds {a_kind(loaded)}, not a state dict. Save network.state_dict()."
        )
    if key is not None:
        return Choice(_at_key(path, loaded, key), (f"the weights under {key} are used",))
    found = _states_in(loaded)
    if not found:
        return _with_count(_checked(path, loaded, _outermost(loaded)))
    raw = {name: state for name, state in found.items() if not is_average(name)}
    averages = [name for name in found if name not in raw]
    if not raw:
        return _only_averages(path, found)
    choice = _one_of(path, raw)
    notes = list(choice.notes)
    if averages and not choice.rivals:
        notes.append(_both_words(raw, choice, averages))
    for name in _nameless_averages(loaded, N_LEVELS):
        notes.append(
            f"it also holds averaged weights, under {name}, as a list without names; they are not "
            f"used"
        )
    return replace(choice, notes=tuple(notes))


def record_of(loaded: object) -> dict[str, Any]:
    """Return the entries of a file beside its state dicts; none if the file is a state dict."""
    if not isinstance(loaded, Mapping):
        return {}
    states = _states_in(loaded)
    others = {str(name): value for name, value in loaded.items() if name not in states}
    return others if states else {}


def _both_words(raw: Mapping[str, State], choice: Choice, averages: list[str]) -> str:
    taken = next((name for name, state in raw.items() if state is choice.state), "the first")
    return (
        f"it also holds averaged weights, under {', '.join(averages)}; the raw ones under {taken} "
        f"are used. Pass --checkpoint-key {averages[0]} for the averaged ones"
    )


def _only_averages(path: Path, found: Mapping[str, dict[str, Any]]) -> Choice:
    if len(found) > 1:
        _refuse_several(path, found)
    (name,) = found
    choice = _with_count(found[name])
    return Choice(choice.state, (f"it holds only averaged weights, under {name}", *choice.notes))


def _with_count(state: dict[str, Any]) -> Choice:
    """Return the state, with a note on how many networks it averages if it has a count."""
    count = state.get(N_AVERAGED)
    if not isinstance(count, torch.Tensor) or count.numel() != 1:
        return Choice(state, ())
    return Choice(state, (f"its weights are the average of {int(count)} ({N_AVERAGED})",))


def _one_of(path: Path, raw: Mapping[str, dict[str, Any]]) -> Choice:
    """Return the state to use, or all states together if the choice needs the network."""
    known = [name for name in WRAPPERS if name in raw]
    first = (known or list(raw))[0]
    alike = [name for name in raw if name != first and _same_names(raw[name], raw[first])]
    if any(not _same_values(raw[name], raw[first]) for name in alike):
        _refuse_several(path, raw)
    others = [name for name in raw if name not in (first, *alike)]
    if not others:
        return _with_count(raw[first])
    if not known or any(name in others for name in known):
        return _together(raw)
    choice = _with_count(raw[first])
    note = f"the weights under {first} are used, not those under {', '.join(others)}"
    return Choice(choice.state, (note, *choice.notes))


def _together(raw: Mapping[str, dict[str, Any]]) -> Choice:
    state = {f"{key}.{name}": v for key, inner in raw.items() for name, v in inner.items()}
    return Choice(state, (), tuple(raw))


def _refuse_several(path: Path, found: Mapping[str, State]) -> NoReturn:
    raise InputError(
        f"{path}: holds the weights of {len(found)} networks, under {listed(found)}, and it is "
        "not clear which of them to use. Pass --checkpoint-key with one of these names."
    )


def _same_names(first: State, second: State) -> bool:
    shapes = [
        {plain: getattr(state[name], "shape", None) for name, plain in plain_names(state).items()}
        for state in (first, second)
    ]
    return shapes[0] == shapes[1]


def _same_values(first: State, second: State) -> bool:
    pairs = zip(first.values(), (second[name] for name in first if name in second), strict=False)
    return first.keys() == second.keys() and all(
        isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) and torch.equal(a, b)
        for a, b in pairs
    )


def _states_in(loaded: Mapping[Any, Any]) -> dict[str, dict[str, Any]]:
    """Return all state dicts in a file by key: raw ones from the outermost level, and averages."""
    found = dict(_walk(loaded, N_LEVELS))
    raw = [name for name in found if not is_average(name)]
    level = min((found[name][0] for name in raw), default=0)
    return {
        name: state for name, (depth, state) in found.items() if name not in raw or depth == level
    }


def _walk(
    loaded: Mapping[Any, Any], n_levels: int
) -> Iterator[tuple[str, tuple[int, dict[str, Any]]]]:
    """Yield key, level and content of all state dicts, from the outermost level inwards."""
    inner = []
    for name, value in _members(loaded):
        state = _state_of(value)
        if state:
            yield name, (-n_levels, state)
        elif isinstance(value, Mapping) and n_levels > 1:
            inner.append((name, value))
    for name, value in inner:
        for key, found in _walk(value, n_levels - 1):
            yield f"{name}.{key}", found


def _nameless_averages(loaded: Mapping[Any, Any], n_levels: int) -> list[str]:
    """Return the keys of averaged weights that are stored as a list without names."""
    found = []
    for name, value in _members(loaded):
        if isinstance(value, Mapping) and n_levels > 1:
            found += [f"{name}.{key}" for key in _nameless_averages(value, n_levels - 1)]
        is_list = isinstance(value, list | tuple) and len(value) > 0
        if is_list and all(isinstance(item, torch.Tensor) for item in value):
            found.append(name)
    return [name for name in found if is_average(name)]


def _members(loaded: Mapping[Any, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in loaded.items():
        if isinstance(name, str) and not is_extra(name) and not OTHERS.search(name):
            yield name, value


def _state_of(value: object) -> dict[str, Any] | None:
    """Return a value as a state dict; None if it is not one."""
    if isinstance(value, nn.Module):
        return dict(value.state_dict())
    if not isinstance(value, Mapping):
        return None
    plain = [v for name, v in value.items() if not is_extra(str(name))]
    is_state = plain and all(isinstance(v, torch.Tensor) for v in plain)
    return dict(value) if is_state and all(isinstance(name, str) for name in value) else None


def _outermost(loaded: Mapping[Any, Any]) -> Mapping[Any, Any]:
    """Return the likely state dict: the entry under a usual name, otherwise everything."""
    inner = (loaded[name] for name in WRAPPERS if isinstance(loaded.get(name), Mapping))
    return next(inner, loaded)


def _checked(path: Path, loaded: Mapping[Any, Any], state: Mapping[Any, Any]) -> dict[str, Any]:
    """Check that a mapping is a state dict, and return it.

    Raises:
        InputError: If it is not.
    """
    others = [
        str(name)
        for name, value in state.items()
        if not isinstance(value, torch.Tensor) and not is_extra(str(name))
    ]
    if len(others) == len(state):
        there = listed(map(str, state)) or "nothing"
        raise InputError(
            f"{path}: holds no tensors, neither at the top level nor under a name such as "
            f"{WRAPPERS[0]} or {WRAPPERS[3]}; it holds: {there}. Save network.state_dict(), or "
            "pass --checkpoint-key with the name of the weights in the file."
        )
    if others:
        raise InputError(
            f"{path}: these entries are not tensors: {listed(others)}. Save "
            'network.state_dict() alone, or as {"state_dict": network.state_dict(), ...}.'
        )
    return {str(name): value for name, value in state.items()}


def _at_key(path: Path, loaded: Mapping[Any, Any], key: str) -> dict[str, Any]:
    """Return the state dict under a key, or the tensors whose names begin with the key.

    Raises:
        InputError: If there is none.
    """
    inner = _step_in(loaded, key)
    state = _state_of(inner)
    if state is not None:
        return state
    found: Mapping[str, State] = {**_states_in(loaded)} or {"": loaded}
    parts = [part for state in found.values() if (part := _in_front(state, key))]
    if len(parts) == 1:
        return parts[0]
    known = [*(name for name in found if name), *_modules_of(found)]
    near = nearest_name(key, known)
    hint = f" Did you mean {near}?" if near else ""
    there = "no weights" if inner is None else f"{a_kind(inner)}, not weights,"
    raise InputError(
        f"--checkpoint-key {key}: {path} holds {there} under that name.{hint} It holds weights "
        f"under {listed(known) or 'no name'}."
    )


def _step_in(loaded: object, key: str) -> object | None:
    """Return the value under a key; its dots lead from one dictionary into the next."""
    if not key or not isinstance(loaded, Mapping):
        return loaded if not key else _in_front_of_module(loaded, key)
    for name, value in loaded.items():
        if key == name:
            return value
        if isinstance(name, str) and key.startswith(f"{name}."):
            inner = _step_in(value, key.removeprefix(f"{name}."))
            if inner is not None:
                return inner
    return _in_front(loaded, key) or None


def _in_front_of_module(loaded: object, key: str) -> dict[str, Any] | None:
    return _in_front(loaded.state_dict(), key) if isinstance(loaded, nn.Module) else None


def _in_front(state: Mapping[Any, Any], key: str) -> dict[str, Any]:
    """Return the tensors whose names begin with a module, by name without the module."""
    plain = plain_names(str(name) for name in state)
    start = f"{key}."
    return {
        plain[str(name)].removeprefix(start): value
        for name, value in state.items()
        if plain[str(name)].startswith(start)
    }


def _modules_of(found: Mapping[str, State]) -> list[str]:
    """Return the modules with which the names of each state dict begin, if there are several."""
    modules: list[str] = []
    for state in found.values():
        names = list(plain_names(str(name) for name in state).values())
        outer = (shared_modules(names) or [""])[-1]
        inner = {name.removeprefix(outer).split(".")[0] for name in names if "." in name}
        modules += sorted(f"{outer}{module}" for module in inner)
    return list(dict.fromkeys(modules))
