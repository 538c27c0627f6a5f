"""Select the parameters that a plane moves, by kind and by patterns on their names."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NoReturn

from torch import nn

from landscape_mpi.compute.norms import named_here, norm_parameters, statistics_parameters
from landscape_mpi.compute.ties import memory_of
from landscape_mpi.errors import InputError, nearest_name

KINDS = ("bias", "bn")
TRAINABLE = "trainable"
N_SHOWN = 6  # names in a message


def moved_names(
    network: nn.Module,
    *,
    ignore: Sequence[str],
    only: Sequence[str] = (),
    norms: Collection[str] | None = None,
) -> list[str]:
    """Return the names of the parameters that a random direction moves.

    Args:
        network: Network that owns the parameters.
        ignore: Parameters that stay fixed: ``bias`` (of every layer except normalisations), ``bn``
            (scale and shift of the normalisation layers), and shell patterns on the names, such as
            ``layer3.*``.
        only: Patterns of the same form, and ``trainable`` for parameters that require a gradient;
            nothing else moves. Empty for all.
        norms: Names of scale and shift of the normalisation layers; None to find them by the
            classes of the layers.

    Returns:
        Names, in the network's order, of floating-point parameters except running statistics. A
        shared parameter, even one that only shares memory, has its first name.

    Raises:
        InputError: If a pattern matches nothing, or nothing is left to move.
    """
    _check_any_floats(network)
    kinds, aliases = _kinds_and_names(network, norm_parameters(network) if norms is None else norms)
    chosen = _chosen(network, aliases, only)
    put = _ignored(ignore, kinds, aliases)
    for word, names in chosen.items():
        if names <= put:
            _refuse_nothing(f"--only {word}: names", names, ignore)
    allowed = set().union(*chosen.values()) if only else set(aliases)
    whole = {name for name, p in network.named_parameters() if not p.is_floating_point()}
    whole |= statistics_parameters(network)
    moved = [name for name in aliases if name in allowed - put - whole]
    if not moved:
        _refuse_nothing("--ignore: the network has", set(aliases), ignore)
    return moved


def _check_any_floats(network: nn.Module) -> None:
    """Check that a network has parameters that can move.

    Raises:
        InputError: If it has no floating-point parameters.
    """
    parameters = list(network.parameters())
    if any(parameter.is_floating_point() for parameter in parameters):
        return
    kinds = sorted({str(one.dtype).removeprefix("torch.") for one in parameters})
    found = f"parameters of {', '.join(kinds)} only" if parameters else "no parameters"
    raise InputError(
        f"the network has {found}, but a plane moves floating-point parameters. Buffers do not "
        "move, and quantized layers do not keep their weights in parameters. Pass the network "
        "before quantization, or register its weights as nn.Parameter."
    )


def _kinds_and_names(
    network: nn.Module, norms: Collection[str]
) -> tuple[dict[str, set[str]], dict[str, list[str]]]:
    """Return the kinds and all names of each parameter, by its first name."""
    first: dict[Hashable, str] = {}
    for name, parameter in network.named_parameters():
        first.setdefault(memory_of(parameter), name)
    kinds: dict[str, set[str]] = {name: set() for name in first.values()}
    aliases: dict[str, list[str]] = {name: [] for name in first.values()}
    for prefix, module in network.named_modules():
        for name, parameter in named_here(prefix, module):
            known_as = first[memory_of(parameter)]
            kinds[known_as].add("bn" if name in norms else _kind(name))
            aliases[known_as].append(name)
    return kinds, aliases


def _kind(name: str) -> str:
    return "bias" if "bias" in name.rpartition(".")[2] else "weight"  # bias_ih_l0, in_proj_bias


def _ignored(
    ignore: Sequence[str], kinds: dict[str, set[str]], aliases: dict[str, list[str]]
) -> set[str]:
    names = {name for name, of_name in kinds.items() if of_name <= set(ignore)}
    for word in ignore:
        if word not in KINDS:
            names |= _matching("--ignore", word, aliases, KINDS)
    return names


def _chosen(
    network: nn.Module, aliases: dict[str, list[str]], only: Sequence[str]
) -> dict[str, set[str]]:
    """Return the parameters that each word of --only names."""
    return {
        word: _trainable(network)
        if word == TRAINABLE
        else _matching("--only", word, aliases, (TRAINABLE,))
        for word in only
    }


def _trainable(network: nn.Module) -> set[str]:
    parameters = dict(network.named_parameters())
    names = {name for name, parameter in parameters.items() if parameter.requires_grad}
    if not 0 < len(names) < len(parameters):
        found = "every parameter" if names else "no parameter"
        raise InputError(
            f"--only trainable: {found} of the network requires a gradient, and a checkpoint does "
            "not record which parameters were trained. Freeze the untrained ones with "
            "requires_grad_(False) where the network is built, or name the trained ones: --only "
            "'layer3.*'."
        )
    return names


def _matching(
    option: str, pattern: str, aliases: dict[str, list[str]], words: Iterable[str]
) -> set[str]:
    found = {name for name, names in aliases.items() if any(fnmatchcase(n, pattern) for n in names)}
    if not found:
        near = nearest_name(pattern, [*words, *aliases])
        hint = f" Did you mean {near}?" if near else ""
        raise InputError(
            f"{option}: {pattern!r} matches no parameter of the network.{hint} Its names are "
            f"{abbreviated(list(aliases))}; a pattern such as 'layer3.*' matches whole names."
        )
    return found


def _refuse_nothing(what: str, names: set[str], ignore: Sequence[str]) -> NoReturn:
    raise InputError(
        f"{what} {abbreviated(sorted(names)) or 'no parameters'}, but with --ignore "
        f"{','.join(ignore) or 'none'} none of these would move. Pass --ignore none, or ignore "
        "fewer parameters."
    )


def abbreviated(names: Sequence[str]) -> str:
    """Return names in one line: all if they are few, else the first and the last ones."""
    if len(names) <= N_SHOWN:
        return ", ".join(names)
    ends = ", ".join(names[: N_SHOWN - 2]), ", ".join(names[-2:])
    return f"{ends[0]}, ... {len(names) - N_SHOWN:,} more ..., {ends[1]}"
