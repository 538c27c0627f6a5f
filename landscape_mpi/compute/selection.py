"""Which parameters a plane moves: kinds of them, and patterns on their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import NoReturn

from torch import nn

from landscape_mpi.errors import InputError, nearest_name

NORM_LAYERS = (
    nn.modules.batchnorm._NormBase,  # batch-norm and instance-norm of every dimension
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)
KINDS = ("bias", "bn")
TRAINABLE = "trainable"
N_SHOWN = 6  # names in a message


def moved_names(
    network: nn.Module, *, ignore: Sequence[str], only: Sequence[str] = ()
) -> list[str]:
    """Return the names of the parameters a random direction moves.

    Args:
        network: Network whose parameters are looked at.
        ignore: What stays put: of ``bias`` (of every layer that is no normalisation), ``bn``
            (scale and shift of the normalisation layers) and patterns on the names, as of a
            shell: ``layer3.*``.
        only: Patterns likewise, and ``trainable`` for what requires a gradient; nothing else
            moves. Empty for all.

    Returns:
        Names, in the network's order; a shared parameter has its first name.

    Raises:
        InputError: If a pattern matches nothing, or nothing is left to move.
    """
    kinds, aliases = _kinds_and_names(network)
    chosen = _chosen(network, aliases, only)
    put = _ignored(ignore, kinds, aliases)
    for word, names in chosen.items():
        if names <= put:
            _refuse_nothing(f"--only {word}: names", names, ignore)
    allowed = set().union(*chosen.values()) if only else set(aliases)
    moved = [name for name in aliases if name in allowed - put]
    if not moved:
        _refuse_nothing("--ignore: the network has", set(aliases), ignore)
    return moved


def _kinds_and_names(network: nn.Module) -> tuple[dict[str, set[str]], dict[str, list[str]]]:
    """Return the kinds and all the names of each parameter, by its first name."""
    first = {id(parameter): name for name, parameter in network.named_parameters()}
    kinds: dict[str, set[str]] = {name: set() for name in first.values()}
    aliases: dict[str, list[str]] = {name: [] for name in first.values()}
    for prefix, module in network.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            kinds[first[id(parameter)]].add(_kind(module, name, parameter))
            aliases[first[id(parameter)]].append(f"{prefix}.{name}" if prefix else name)
    return kinds, aliases


def _kind(module: nn.Module, name: str, parameter: nn.Parameter) -> str:
    # Many a transformer brings a normalisation of its own, of which only the name tells.
    called_so = "norm" in type(module).__name__.lower() and parameter.ndim < 2
    if isinstance(module, NORM_LAYERS) or called_so:
        return "bn"
    return "bias" if "bias" in name else "weight"  # bias_ih_l0, in_proj_bias


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
            f"not say which of them trained. Let the function of --model return the network with "
            f"requires_grad_(False) on those that did not, or name the others: --only 'layer3.*'."
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
        f"{what} {abbreviated(sorted(names)) or 'no parameters'}, and with --ignore "
        f"{','.join(ignore) or 'none'} nothing of that would move. Pass --ignore none, or less."
    )


def abbreviated(names: Sequence[str]) -> str:
    """Return names in a line: all of a few, else the first and the last ones."""
    if len(names) <= N_SHOWN:
        return ", ".join(names)
    ends = ", ".join(names[: N_SHOWN - 2]), ", ".join(names[-2:])
    return f"{ends[0]}, ... {len(names) - N_SHOWN:,} more ..., {ends[1]}"
