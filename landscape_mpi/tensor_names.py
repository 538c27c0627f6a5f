"""Interpret the names of tensors, and match those of two networks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import accumulate, takewhile

# Words that DataParallel, torch.compile, FSDP and activation checkpointing put into names.
WRAPPERS = frozenset({"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"})
STATISTICS = ("running_mean", "running_var")  # statistics of batch-norm
EXTRA_STATE = "_extra_state"  # extra state of a module in its state dict, of any type
N_LISTED = 5


@dataclass(frozen=True)
class NameFit:
    """A map from the names of one network to those of another."""

    prefix: str  # prefix of the names that fit
    names: dict[str, str]  # name here: name in the other network


def last_word(name: str) -> str:
    """Return the name of a tensor in its own module."""
    return name.rpartition(".")[2]


def is_statistic(name: str) -> bool:
    """Say whether a tensor of this name holds running means or variances."""
    return last_word(name) in STATISTICS


def is_extra(name: str) -> bool:
    """Say whether an entry of a state dict comes from a module's get_extra_state()."""
    return last_word(name) == EXTRA_STATE


def plain_names(names: Iterable[str]) -> dict[str, str]:
    """Return each name without the words of wrappers, unless two names would become the same."""
    short = {name: _without_wrappers(name) for name in names}
    counts = Counter(short.values())
    return {name: plain if counts[plain] == 1 else name for name, plain in short.items()}


def _without_wrappers(name: str) -> str:
    *modules, last = name.split(".")
    return ".".join([*(word for word in modules if word not in WRAPPERS), last])


def inner_names(names: Iterable[str]) -> dict[str, str]:
    """Return each name without the words of wrappers and the common modules of all names."""
    plain = plain_names(names)
    outer = (shared_modules(plain.values()) or [""])[-1]
    return {name: short.removeprefix(outer) for name, short in plain.items()}


def shared_modules(names: Iterable[str]) -> list[str]:
    """Return the common modules of all names: ``a.`` and ``a.b.``."""
    modules = [name.split(".")[:-1] for name in names]
    same = takewhile(lambda level: len(set(level)) == 1, zip(*modules, strict=False))
    return list(accumulate(f"{level[0]}." for level in same))


def all_fits(names: Collection[str], wanted: Collection[str]) -> list[NameFit]:
    """Return all ways to find the wanted names among the existing ones.

    All wanted names may begin with the same modules, which the existing names lack. The existing
    names may begin with any modules, and there may be more of them.

    Args:
        names: Existing names, e.g. in a checkpoint.
        wanted: Names of the network.

    Returns:
        The ways; those that find the most names come first, and of two that find equally many, the
        one that changes less comes first.
    """
    ours, theirs = plain_names(names), plain_names(wanted)
    fits = [
        fit
        for outer in ["", *shared_modules(theirs.values())]
        for fit in _fits(ours, {theirs[name].removeprefix(outer): name for name in wanted})
    ]
    different: dict[tuple[tuple[str, str], ...], NameFit] = {}
    for fit in fits:
        different.setdefault(tuple(fit.names.items()), fit)
    return sorted(different.values(), key=lambda fit: -len(fit.names))


def best_fits(names: Collection[str], wanted: Collection[str]) -> list[NameFit]:
    """Return the ways of all_fits that find the most names."""
    fits = all_fits(names, wanted)
    return [fit for fit in fits if len(fit.names) == len(fits[0].names)]


def _fits(ours: dict[str, str], wanted: dict[str, str]) -> list[NameFit]:
    """Return the wanted names that each prefix of existing names finds, shortest prefix first."""
    found: dict[str, dict[str, str]] = {}
    for name, plain in ours.items():
        for prefix, rest in _splits(plain):
            if rest in wanted:
                found.setdefault(prefix, {})[name] = wanted[rest]
    return [NameFit(prefix, found[prefix]) for prefix in sorted(found, key=len)]


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """Yield all ways to remove modules from the front of a name."""
    modules = name.split(".")
    for n in range(len(modules)):
        prefix = "".join(f"{module}." for module in modules[:n])
        yield prefix, name[len(prefix) :]


def listed(names: Iterable[str]) -> str:
    """Return the first names, and the number of the others."""
    items = list(names)
    more = f" and {len(items) - N_LISTED:,} more" if len(items) > N_LISTED else ""
    return ", ".join(items[:N_LISTED]) + more


def renamed_like(names: Collection[str], wanted: Collection[str]) -> dict[str, str]:
    """Return for each name the corresponding name of another network, or itself.

    If several ways fit equally and one of them keeps the names, they stay.
    """
    fits = best_fits(names, wanted)
    return {name: name for name in names} | (fits[0].names if fits else {})
