"""Read the name of a user's function: ``package.module:function``."""

from __future__ import annotations

import os
import pkgutil
import sys
from dataclasses import dataclass
from pathlib import Path

from landscape_mpi.errors import InputError, nearest_name

FORM = "package.module:function, e.g. my_nets:build"


class NoFunctionNameError(InputError):
    """Report a word that does not name a function, or a module that is not on the path."""


@dataclass(frozen=True)
class FunctionName:
    """Hold a module, as Python imports it, and the name of a function in it."""

    module: str
    name: str


def read_function_name(option: str, spec: str) -> FunctionName:
    """Split the name of a function into its parts.

    Args:
        option: Option that gave spec, e.g. ``--problem``.
        spec: The given name.

    Raises:
        NoFunctionNameError: If it has another form.
    """
    module, colon, name = spec.partition(":")
    if _is_path(module):
        raise NoFunctionNameError(f"{option}: {spec!r} {_instead_of_path(module, name)}")
    if not (module and name.isidentifier()):
        hint = _instead(module, name) if colon else _with_colon(module)
        raise NoFunctionNameError(f"{option}: {spec!r} is not of the form {FORM}.{hint}")
    return FunctionName(module, name)


def no_module(option: str, asked: FunctionName, missing: str) -> NoFunctionNameError:
    """Return the error for a module that Python cannot find.

    Args:
        option: Option that named it.
        asked: The given name.
        missing: The module or the package that is missing.
    """
    package, _, last = missing.rpartition(".")
    parent = sys.modules.get(package)
    if parent is None:
        file = f"the package {missing}" if asked.module != missing else f"{missing}.py"
        return NoFunctionNameError(
            f"{option}: no module named {missing}, neither in {os.getcwd()} nor among the "
            f"installed packages. Run in the folder that holds {file}, or add that folder to "
            "PYTHONPATH."
        )
    place = getattr(parent, "__file__", None) or ", ".join(getattr(parent, "__path__", ()))
    if not hasattr(parent, "__path__"):
        return NoFunctionNameError(
            f"{option}: no module named {missing}: {package} ({place}) is a module and not a "
            f"package. To name its function {last}, pass {package}:{last}."
        )
    near = nearest_name(last, [found.name for found in pkgutil.iter_modules(parent.__path__)])
    hint = f" Did you mean {package}.{near}:{asked.name}?" if near else ""
    return NoFunctionNameError(
        f"{option}: no module named {missing}: the package {package} ({place}) has no module "
        f"{last!r}.{hint}"
    )


def _is_path(module: str) -> bool:
    return "/" in module or os.sep in module or module.startswith(".") or module.endswith(".py")


def _instead_of_path(module: str, name: str) -> str:
    """Describe a path, and propose the module that it may stand for."""
    function = name if name.isidentifier() else "FUNCTION"
    if module.startswith(".") and "/" not in module:
        return f"is a relative import, but there is no package to start from. The form is {FORM}."
    what = "names a file, but a module is named as Python imports it."
    here = Path.cwd()
    place = Path(os.path.abspath(Path(module.removesuffix(".py")).expanduser()))
    inside = place.relative_to(here).parts if place.is_relative_to(here) else ()
    if inside and all(part.isidentifier() for part in inside):
        return f"{what} Pass {'.'.join(inside)}:{function}."
    return (
        f"{what} Pass {place.name}:{function}, and run in {place.parent}, or add that folder to "
        "PYTHONPATH."
    )


def _with_colon(word: str) -> str:
    """Propose names for a word without a colon."""
    module, _, last = word.rpartition(".")
    if module:
        return f" Pass {module}:{last} for the function {last} of {module}, or {word}:FUNCTION."
    return f" Pass {word}:FUNCTION, with the name of a function in {word}." if word else ""


def _instead(module: str, name: str) -> str:
    """Propose a correction for a faulty name with a colon."""
    if not module:
        return " The module is missing: put the name of its file, without .py, before the colon."
    if not name:
        return f" The function is missing: pass {module}:FUNCTION."
    if name.endswith("()") and name[:-2].isidentifier():
        return f" A function is named without (): pass {module}:{name[:-2]}."
    return ""
