"""The user's own network, loss or data: a function named ``package.module:function``."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from landscape_mpi.errors import InputError, nearest_name


class NoModuleError(InputError):
    """A module that is nowhere on the path."""


def call_hook(option: str, spec: str) -> nn.Module:
    """Import the function that spec names, call it without arguments, return its network.

    The current directory is on the path, and stays there for what the function imports.

    Args:
        option: Option that gave spec, e.g. ``--model``.
        spec: ``package.module:function``.

    Raises:
        InputError: If there is no such module or function, if either fails, or if what it
            returns is not a torch.nn.Module.
    """
    network = call_function(option, spec, returns="the network")
    if not isinstance(network, nn.Module):
        raise InputError(
            f"{option}: {spec} returned {a_kind(network)}, not a torch.nn.Module. "
            "Return the network itself, with any weights."
        )
    return network


def call_function(option: str, spec: str, *, returns: str) -> Any:
    """Import the function that spec names and return what it gives without arguments.

    Args:
        option: Option that gave spec, e.g. ``--data``.
        spec: ``package.module:function``.
        returns: What it is for, in words.

    Raises:
        InputError: If there is no such module or function, or if either fails.
    """
    function = find_function(option, spec, arguments=(), returns=returns)
    if isinstance(function, nn.Module):
        raise InputError(_not_a_function(option, spec, function, (), returns))
    try:
        return function()
    except (Exception, SystemExit) as problem:
        raise InputError(f"{option}: {spec} failed: {in_one_line(problem)}") from problem


def find_function(
    option: str, spec: str, *, arguments: tuple[str, ...], returns: str
) -> Callable[..., Any]:
    """Import the function that spec names, and check that it takes so many arguments.

    Args:
        option: Option that gave spec, e.g. ``--loss``.
        spec: ``package.module:function``.
        arguments: What it is called with, in words.
        returns: What it is to return, in words.

    Raises:
        InputError: If there is no such module or function, or it takes other arguments.
    """
    module_name, _, name = spec.partition(":")
    if not module_name or not name.isidentifier():
        raise InputError(
            f"{option}: {spec!r} is not of the form package.module:function, e.g. my_nets:build."
        )
    module = _import_module(option, module_name)
    function = getattr(module, name, None)
    if function is None:
        near = nearest_name(name, _functions_of(module))
        raise InputError(
            f"{option}: module {module_name} ({module.__file__}) has no function {name!r}."
            + (f" Did you mean {near}?" if near else "")
        )
    if not callable(function):
        raise InputError(_not_a_function(option, spec, function, arguments, returns))
    _check_arguments(option, spec, function, arguments)
    return function


def _not_a_function(
    option: str, spec: str, found: object, arguments: tuple[str, ...], returns: str
) -> str:
    takes = f"of {' and '.join(arguments)}" if arguments else "without arguments"
    return (
        f"{option}: {spec} is {a_kind(found)}, not a function. "
        f"Write a function {takes} that returns {returns}."
    )


def _import_module(option: str, name: str) -> ModuleType:
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is None or not f"{name}.".startswith(f"{problem.name}."):
            raise InputError(
                f"{option}: module {name} could not be imported: {in_one_line(problem)}"
            ) from problem
        hint = f" Leave out .py: {name[:-3]}:function." if name.endswith(".py") else ""
        raise NoModuleError(
            f"{option}: no module named {problem.name}, neither in {os.getcwd()} nor among the "
            f"installed packages.{hint} Run where it can be imported, or set PYTHONPATH."
        ) from problem
    except (Exception, SystemExit) as problem:
        raise InputError(
            f"{option}: module {name} could not be imported: {in_one_line(problem)}"
        ) from problem


def _check_arguments(
    option: str, spec: str, function: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions have none; the call will tell
        return
    try:
        signature.bind(*arguments)
    except TypeError as problem:
        needs, given = "needs arguments", "without"
        if arguments:
            needs, given = "takes other arguments", f"with {', '.join(arguments)}"
        raise InputError(
            f"{option}: {spec}{signature} {needs}, and is called {given}: {problem}. "
            "Give them defaults, or name a function that fills them in."
        ) from problem


def _functions_of(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if callable(value) and name[0] != "_"]


def a_kind(value: object) -> str:
    """Return what a value is, with its article."""
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"


def in_one_line(problem: BaseException) -> str:
    """Return type, message and the place in the user's own code."""
    text = problem.msg if isinstance(problem, SyntaxError) else str(problem)
    return f"{type(problem).__name__}: {' '.join(text.split())} ({_place(problem)})"


def _place(problem: BaseException) -> str:
    if isinstance(problem, SyntaxError):
        return f"{problem.filename}:{problem.lineno}"
    frames = traceback.extract_tb(problem.__traceback__)
    own = [frame for frame in frames if not _is_library(frame.filename)]
    last = (own or frames)[-1]
    return f"{last.filename}:{last.lineno}"


def _is_library(filename: str) -> bool:
    if {"site-packages", "dist-packages"} & set(Path(filename).parts):
        return True
    return filename.startswith(("<frozen", __file__, sysconfig.get_path("stdlib")))
