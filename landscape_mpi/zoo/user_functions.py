"""Call the user's own function, named ``package.module:function``, for network, loss or data."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
from torch import nn

from landscape_mpi.default_device import given_to_the_user
from landscape_mpi.errors import InputError, Interrupted, UserCodeError, nearest_name
from landscape_mpi.zoo.function_name import FunctionName, no_module, read_function_name


def call_for_network(option: str, spec: str) -> nn.Module:
    """Import the function that spec names, call it without arguments, and return its network.

    The current directory is added to the path and stays there for the function's own imports.

    Args:
        option: Option that gave spec, e.g. ``--model``.
        spec: ``package.module:function``.

    Raises:
        InputError: If there is no such module or function, if either fails, or if the result is not
            a torch.nn.Module.
    """
    network = call_function(option, spec, returns="the network")
    if not isinstance(network, nn.Module):
        raise InputError(
            f"{option}: {spec} returned {a_kind(network)}, not a torch.nn.Module. "
            "Return the network itself, with any weights."
        )
    return network


def call_function(option: str, spec: str, *, returns: str) -> Any:
    """Import the function that spec names, call it without arguments, and return the result.

    Args:
        option: Option that gave spec, e.g. ``--data``.
        spec: ``package.module:function``.
        returns: Purpose of the result, in words.

    Raises:
        InputError: If there is no such module or function, or the function gets wrong input itself.
        UserCodeError: If either fails.
        Interrupted: If Ctrl-C came.
    """
    function = find_function(option, spec, arguments=(), returns=returns)
    if isinstance(function, nn.Module):
        raise InputError(_not_a_function(option, spec, function, (), returns))
    try:
        with _without_options(), given_to_the_user():
            found = function()
        if inspect.iscoroutine(found):
            found.close()  # nothing will await it
        return found
    except InputError as wrong:  # from this package, which has explained the error
        raise InputError(f"{option}: {spec}: {wrong}") from wrong
    except Interrupted:
        raise
    except BaseException as problem:
        raise UserCodeError(f"{option}: {spec} failed", problem) from problem


def find_function(
    option: str, spec: str, *, arguments: tuple[str, ...], returns: str
) -> Callable[..., Any]:
    """Import the function that spec names, and check that it accepts the arguments.

    Args:
        option: Option that gave spec, e.g. ``--loss``.
        spec: ``package.module:function``.
        arguments: Arguments of the call, in words.
        returns: Expected result, in words.

    Raises:
        InputError: If there is no such module or function, or it takes other arguments.
        UserCodeError: If the module fails.
    """
    asked = read_function_name(option, spec)
    module = _import_module(option, asked)
    try:
        function = getattr(module, asked.name, None)
    except Exception as problem:  # a module's own __getattr__ can raise any error
        raise UserCodeError(f"{option}: {spec} cannot be looked up", problem) from problem
    if function is None:
        near = nearest_name(asked.name, _functions_of(module))
        raise InputError(
            f"{option}: module {asked.module} ({_place_of(module)}) has no function {asked.name!r}."
            + (f" Did you mean {near}?" if near else "")
        )
    if not callable(function):
        raise InputError(_not_a_function(option, spec, function, arguments, returns))
    _check_arguments(option, spec, function, arguments)
    return function


def _place_of(module: ModuleType) -> str:
    """Return the origin of a module: a file, folders without __init__.py, or Python itself."""
    if isinstance(file := getattr(module, "__file__", None), str):
        return file
    folders = ", ".join(getattr(module, "__path__", ()))
    return f"the folder {folders}, which has no __init__.py" if folders else "built into Python"


def _not_a_function(
    option: str, spec: str, found: object, arguments: tuple[str, ...], returns: str
) -> str:
    takes = f"of {' and '.join(arguments)}" if arguments else "without arguments"
    return (
        f"{option}: {spec} is {a_kind(found)}, not a function. "
        f"Write a function {takes} that returns {returns}."
    )


def _import_module(option: str, asked: FunctionName) -> ModuleType:
    """Import the module of a function.

    Raises:
        _import_error: If it fails.
        no_module: If there is none.
        Interrupted: If Ctrl-C came.
    """
    name = asked.module
    if not {"", os.getcwd()} & set(sys.path):
        sys.path.insert(0, os.getcwd())
    try:
        with _without_options(), given_to_the_user():
            return importlib.import_module(name)
    except ModuleNotFoundError as problem:
        if problem.name is None or not f"{name}.".startswith(f"{problem.name}."):
            raise _import_error(option, name, problem) from problem
        raise no_module(option, asked, problem.name) from problem
    except Interrupted:
        raise
    except BaseException as problem:
        raise _import_error(option, name, problem) from problem


@contextlib.contextmanager
def _without_options() -> Iterator[None]:
    """Hide this command's options from the user's code, which may read its own when imported."""
    kept = sys.argv
    sys.argv = kept[:1]
    try:
        yield
    finally:
        sys.argv = kept


def _import_error(option: str, name: str, problem: BaseException) -> UserCodeError:
    return UserCodeError(f"{option}: module {name} could not be imported", problem)


def _check_arguments(
    option: str, spec: str, function: Callable[..., Any], arguments: tuple[str, ...]
) -> None:
    try:
        signature = inspect.signature(function)
    except (ValueError, TypeError):  # some built-in functions have no signature; the call will show
        return
    try:
        signature.bind(*arguments)
    except TypeError as problem:
        needs, given = "needs arguments", "without"
        if arguments:
            needs, given = "takes other arguments", f"with {', '.join(arguments)}"
        raise InputError(
            f"{option}: {spec}{signature} {needs}, but is called {given}: {problem}. Give these "
            "arguments defaults, or name a function that fills them in."
        ) from problem


def _functions_of(module: ModuleType) -> list[str]:
    return [name for name, value in vars(module).items() if callable(value) and name[0] != "_"]


def a_kind(value: object) -> str:
    """Return the type of a value, with an article."""
    name = type(value).__name__
    return f"an {name}" if name[0] in "aeiouAEIOU" else f"a {name}"


def described(tensor: torch.Tensor) -> str:
    """Return type and shape of a tensor, for messages."""
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
