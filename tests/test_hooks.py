"""Oracle: modules written to a folder by the test, imported by Python itself, and the
sentences, with the file and line where the test put the fault.
"""

import re
import sys

import pytest
from torch import nn

from landscape_mpi.errors import InputError
from landscape_mpi.zoo.hooks import call_hook

NETS = """
import json
from torch import nn

def build():
    return nn.Linear(4, 2)

def wide(width, depth=2):
    return nn.Linear(width, 2)

def fails():
    return nn.Linear(4, "two")

def leaves():
    raise SystemExit(3)

def nothing():
    return {"a": 1}

built = build()
number = 3
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory, not otherwise on the path; what it imports is forgotten after."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hook_nets.py").write_text(NETS)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("hook_"):
            del sys.modules[name]


def refusal(spec):
    with pytest.raises(InputError) as caught:
        call_hook("--model", spec)
    return str(caught.value)


def test_network_is_what_the_function_returns(folder):
    assert isinstance(call_hook("--model", "hook_nets:build"), nn.Linear)


def test_module_inside_a_package(folder):
    (folder / "hook_package").mkdir()
    (folder / "hook_package" / "deep.py").write_text(NETS)
    assert isinstance(call_hook("--model", "hook_package.deep:build"), nn.Linear)
    assert "no module named hook_package.deeper, neither in" in refusal("hook_package.deeper:build")


@pytest.mark.parametrize("spec", ["hook_nets:", ":build", "hook_nets:build()", "hook_nets:a:b"])
def test_form_is_checked(folder, spec):
    assert refusal(spec) == (
        f"--model: {spec!r} is not of the form package.module:function, e.g. my_nets:build."
    )


def test_no_such_module(folder):
    assert refusal("hook_nest:build") == (
        f"--model: no module named hook_nest, neither in {folder} nor among the installed "
        "packages. Run where it can be imported, or set PYTHONPATH."
    )
    assert "Leave out .py: hook_nets:function." in refusal("hook_nets.py:build")


def test_module_that_fails_shows_the_users_own_line(folder):
    (folder / "hook_broken.py").write_text('import json\n\njson.loads("{")\n')
    assert refusal("hook_broken:build") == (
        "--model: module hook_broken could not be imported: JSONDecodeError: Expecting property "
        "name enclosed in double quotes: line 1 column 2 (char 1) "
        f"({folder / 'hook_broken.py'}:3)"
    )


def test_module_with_a_missing_import_names_that_import(folder):
    (folder / "hook_needy.py").write_text("import no_such_thing_here\n")
    assert refusal("hook_needy:build") == (
        "--model: module hook_needy could not be imported: ModuleNotFoundError: No module named "
        f"'no_such_thing_here' ({folder / 'hook_needy.py'}:1)"
    )


def test_module_with_a_syntax_error_or_that_leaves(folder):
    (folder / "hook_syntax.py").write_text("\ndef build(:\n")
    assert f"SyntaxError: invalid syntax ({folder / 'hook_syntax.py'}:2)" in refusal(
        "hook_syntax:build"
    )
    (folder / "hook_leaves.py").write_text("import sys\nsys.exit(2)\n")
    assert f"SystemExit: 2 ({folder / 'hook_leaves.py'}:2)" in refusal("hook_leaves:build")


def test_no_such_function_names_the_nearest(folder):
    assert refusal("hook_nets:buld") == (
        f"--model: module hook_nets ({folder / 'hook_nets.py'}) has no function 'buld'. "
        "Did you mean build?"
    )


@pytest.mark.parametrize(("name", "kind"), [("number", "an int"), ("built", "a Linear")])
def test_not_a_function(folder, name, kind):
    assert f"hook_nets:{name} is {kind}, not a function. Write a function" in refusal(
        f"hook_nets:{name}"
    )


def test_function_that_needs_arguments(folder):
    assert refusal("hook_nets:wide") == (
        "--model: hook_nets:wide(width, depth=2) needs arguments, and is called without: missing "
        "a required argument: 'width'. Give them defaults, or name a function that fills them in."
    )


def test_function_that_fails_shows_the_line_in_the_users_file(folder):
    line = NETS.splitlines().index('    return nn.Linear(4, "two")') + 1
    assert re.search(
        rf"--model: hook_nets:fails failed: TypeError: .* \({folder}/hook_nets.py:{line}\)",
        refusal("hook_nets:fails"),
    )
    assert "hook_nets:leaves failed: SystemExit: 3 (" in refusal("hook_nets:leaves")


def test_function_that_returns_something_else(folder):
    assert refusal("hook_nets:nothing") == (
        "--model: hook_nets:nothing returned a dict, not a torch.nn.Module. "
        "Return the network itself, with any weights."
    )
