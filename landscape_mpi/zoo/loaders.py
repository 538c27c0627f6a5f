"""Load each data set from its name and the argument after it."""

from __future__ import annotations

from pathlib import Path

from landscape_mpi.errors import InputError, nearest_name, unknown_name
from landscape_mpi.registry import DATA_SETS, USER_FUNCTION
from landscape_mpi.zoo.function_name import NoFunctionNameError
from landscape_mpi.zoo.named_data import Asked, Loaded, NamedData


def load_splits(spec: str, *, data_dir: Path | None, download: bool) -> Loaded:
    """Load the data set that spec names.

    Args:
        spec: One of data_forms().
        data_dir: Folder for data sets that are files.
        download: Fetch missing files if the publisher offers them.

    Raises:
        InputError: If spec is unknown, or the data are not valid.
        MissingInputError: If files are missing.
    """
    asked = Asked(spec, data_dir, download)
    try:
        return find_data_set(spec).load(asked)
    except NoFunctionNameError as problem:
        near = nearest_name(spec.partition(":")[0], _names())
        hint = f" Did you mean the data set {near}?" if near else ""
        raise InputError(f"{problem}{hint}") from problem


def find_data_set(spec: str) -> NamedData:
    """Return the data set that spec names; if it names a function, the user's own data set.

    Raises:
        unknown_name: If there is none.
    """
    name, colon, _ = spec.partition(":")
    fitting = [
        form for form in DATA_SETS if form != USER_FUNCTION and (name, colon) in _spellings(form)
    ]
    if not fitting and (not colon or name in _names()):
        raise unknown_name("--data", spec, data_forms())
    found: NamedData = DATA_SETS[fitting[0] if fitting else USER_FUNCTION]
    return found


def data_forms() -> list[str]:
    """Return the values of --data, with arguments in capitals: ``seismic``, ``seismic:SEED``."""
    return [
        f"{name}{colon}{form.partition(':')[2].rstrip(']') if colon else ''}"
        for form in DATA_SETS
        for name, colon in _spellings(form)
    ]


def _spellings(form: str) -> list[tuple[str, str]]:
    """Return the name of a form with a colon, without one, or both."""
    name, colon, _ = form.partition(":")
    if name.endswith("["):
        return [(name[:-1], ""), (name[:-1], ":")]
    return [(name, colon)]


def _names() -> list[str]:
    return [_spellings(form)[0][0] for form in DATA_SETS if form != USER_FUNCTION]
