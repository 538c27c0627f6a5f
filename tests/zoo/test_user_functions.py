"""Oracle: modules written to a folder by the test, imported by Python itself, and the
sentences, with the file and line where the test put the fault.
"""

import json
import re
import sys
import traceback

import pytest
from refusals import refused
from torch import nn

from landscape_mpi.zoo.user_functions import call_for_network

NETS = """
import functools
from torch import nn

def build():
    return nn.Linear(4, 2)

def wide(width, depth=2):
    return nn.Linear(width, 2)

def fails():
    return nn.Linear(4, "two")

def leaves():
    raise SystemExit(3)

def told():
    from landscape_mpi.errors import InputError
    raise InputError("Problem: data is empty.")

def nothing():
    return {"a": 1}

class Chained(nn.Linear):
    def __init__(self):
        super().__init__(2, 2)

    def forward(self, x):
        try:
            return {}["weights"]
        except KeyError as problem:
            raise ValueError("no weights in the file") from problem

def chained():
    return Chained()(None)

part = functools.partial(wide, 3)

class Builder:
    def __call__(self):
        return nn.Linear(5, 2)

builder = Builder()
short = lambda: nn.Linear(6, 2)

def __getattr__(name):
    if name == "lazy":
        raise RuntimeError("needs an optional package")
    raise AttributeError(name)

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


def traceback_of_json():
    """Python's own words for what json.loads raises, from its first frame on."""
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")
    problem = caught.value.with_traceback(caught.value.__traceback__.tb_next)
    return "".join(traceback.format_exception(problem)[1:]).rstrip()


def refusal(spec):
    return refused(call_for_network, "--model", spec)


def test_network_is_what_the_function_returns(folder):
    assert isinstance(call_for_network("--model", "hook_nets:build"), nn.Linear)


@pytest.mark.parametrize(
    ("name", "width"), [("Chained", 2), ("part", 3), ("builder", 5), ("short", 6)]
)
def test_what_can_be_called_is_a_function(folder, name, width):
    """A class, a partial, an object with __call__ and a lambda: they lack __name__ or a module."""
    assert call_for_network("--model", f"hook_nets:{name}").in_features == width


def test_a_module_without_a_file(folder):
    assert refusal("gc:network") == (
        "--model: module gc (built into Python) has no function 'network'."
    )
    (folder / "hook_folder").mkdir()
    assert refusal("hook_folder:build") == (
        f"--model: module hook_folder (the folder {folder / 'hook_folder'}, which has no "
        "__init__.py) has no function 'build'."
    )
    assert refusal("math:sqrt").startswith("--model: math:sqrt(x, /) needs arguments, but is cal")
    assert refusal("time:time") == (
        "--model: time:time returned a float, not a torch.nn.Module. Return the network itself, "
        "with any weights."
    )


def test_a_module_that_raises_when_asked_for_a_name(folder):
    words = refusal("hook_nets:lazy")
    assert words.startswith("--model: hook_nets:lazy cannot be looked up: RuntimeError: needs")
    assert words.endswith(
        'raise RuntimeError("needs an optional package")\nRuntimeError: needs an optional package'
    )


def test_the_users_traceback_is_whole_and_has_none_of_our_frames(folder):
    """Python's own traceback of the same call, without the frame that makes it."""
    words = refusal("hook_nets:chained")
    module = sys.modules["hook_nets"]
    with pytest.raises(ValueError, match="no weights") as caught:
        module.chained()
    caught.value.__traceback__ = caught.value.__traceback__.tb_next
    line, _, told = words.partition("\n")
    assert line.startswith("--model: hook_nets:chained failed: ValueError: no weights in the ")
    assert told == "".join(traceback.format_exception(caught.value)).rstrip()
    assert "The above exception was the direct cause" in told
    assert "landscape_mpi/zoo" not in told


def test_module_inside_a_package(folder):
    (folder / "hook_package").mkdir()
    (folder / "hook_package" / "deep.py").write_text(NETS)
    assert isinstance(call_for_network("--model", "hook_package.deep:build"), nn.Linear)
    place = f"the package hook_package ({folder / 'hook_package'})"
    assert refusal("hook_package.deeper:build") == (
        f"--model: no module named hook_package.deeper: {place} has no module 'deeper'. Did you "
        f"mean hook_package.deep:build?"
    )
    assert refusal("hook_package.other:build").endswith(f"{place} has no module 'other'.")


FORM = "is not of the form package.module:function, e.g. my_nets:build."
MODULE = "names a file, but a module is named as Python imports it."
WORDS = {
    "hook_nets:": f"{FORM} The function is missing: pass hook_nets:FUNCTION.",
    ":build": f"{FORM} The module is missing: put the name of its file, without .py, before the "
    "colon.",
    "hook_nets:build()": f"{FORM} A function is named without (): pass hook_nets:build.",
    "hook_nets:a:b": FORM,
    "hook_nets:Class.method": FORM,
    "": FORM,
    "hook_nets": f"{FORM} Pass hook_nets:FUNCTION, with the name of a function in hook_nets.",
    "pack.module": f"{FORM} Pass pack:module for the function module of pack, or "
    "pack.module:FUNCTION.",
    "hook_nets.py:build": f"{MODULE} Pass hook_nets:build.",
    "hook_nets.py": f"{MODULE} Pass hook_nets:FUNCTION.",
    "./hook_nets:build": f"{MODULE} Pass hook_nets:build.",
    "a/b:f": f"{MODULE} Pass a.b:f.",
    "a/b.py:f": f"{MODULE} Pass a.b:f.",
    "a-b/c:f": f"{MODULE} Pass c:f, and run in HERE/a-b, or add that folder to PYTHONPATH.",
    "../file:f": f"{MODULE} Pass file:f, and run in ABOVE, or add that folder to PYTHONPATH.",
    "/data/file.py:f": f"{MODULE} Pass file:f, and run in /data, or add that folder to PYTHONPATH.",
    ".file:f": "is a relative import, but there is no package to start from. The form is "
    "package.module:function, e.g. my_nets:build.",
    "..file:f": "is a relative import, but there is no package to start from. The form is "
    "package.module:function, e.g. my_nets:build.",
}


@pytest.mark.parametrize("spec", WORDS)
def test_a_word_of_another_form_is_told_what_to_pass(folder, spec):
    words = WORDS[spec].replace("HERE", str(folder)).replace("ABOVE", str(folder.parent))
    assert refusal(spec) == f"--model: {spec!r} {words}"


def test_what_to_pass_for_a_path_does_work(folder):
    (folder / "hook_package").mkdir()
    (folder / "hook_package" / "deep.py").write_text(NETS)
    told = re.search("Pass (\\S+)\\.$", refusal("hook_package/deep.py:build"))[1]
    assert isinstance(call_for_network("--model", told), nn.Linear)


def test_no_such_module(folder):
    assert refusal("hook_nest:build") == (
        f"--model: no module named hook_nest, neither in {folder} nor among the installed "
        "packages. Run in the folder that holds hook_nest.py, or add that folder to PYTHONPATH."
    )
    assert "the folder that holds the package hook_nest, or add" in refusal("hook_nest.a:build")
    assert refusal("hook_nets.build:x") == (
        f"--model: no module named hook_nets.build: hook_nets ({folder / 'hook_nets.py'}) is a "
        "module and not a package. To name its function build, pass hook_nets:build."
    )


def test_module_that_fails_shows_the_users_own_line(folder):
    (folder / "hook_broken.py").write_text('import json\n\njson.loads("{")\n')
    assert refusal("hook_broken:build") == (
        "--model: module hook_broken could not be imported: JSONDecodeError: Expecting property "
        "name enclosed in double quotes: line 1 column 2 (char 1) "
        f"({folder / 'hook_broken.py'}:3)\n"
        "Traceback (most recent call last):\n"
        f'  File "{folder / "hook_broken.py"}", line 3, in <module>\n'
        '    json.loads("{")\n'
        f"{traceback_of_json()}"
    )


def test_module_with_a_missing_import_names_that_import(folder):
    (folder / "hook_needy.py").write_text("import no_such_thing_here\n")
    assert refusal("hook_needy:build") == (
        "--model: module hook_needy could not be imported: ModuleNotFoundError: No module named "
        f"'no_such_thing_here' ({folder / 'hook_needy.py'}:1)\n"
        "Traceback (most recent call last):\n"
        f'  File "{folder / "hook_needy.py"}", line 1, in <module>\n'
        "    import no_such_thing_here\n"
        "ModuleNotFoundError: No module named 'no_such_thing_here'"
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
        "--model: hook_nets:wide(width, depth=2) needs arguments, but is called without: missing "
        "a required argument: 'width'. Give these arguments defaults, or name a function that "
        "fills them in."
    )


def test_function_that_fails_shows_the_line_in_the_users_file(folder):
    line = NETS.splitlines().index('    return nn.Linear(4, "two")') + 1
    assert re.search(
        rf"--model: hook_nets:fails failed: TypeError: .* \({folder}/hook_nets.py:{line}\)",
        refusal("hook_nets:fails"),
    )
    assert "hook_nets:leaves failed: SystemExit: 3 (" in refusal("hook_nets:leaves")
    assert refusal("hook_nets:told") == "--model: hook_nets:told: Problem: data is empty."


def test_function_that_returns_something_else(folder):
    assert refusal("hook_nets:nothing") == (
        "--model: hook_nets:nothing returned a dict, not a torch.nn.Module. "
        "Return the network itself, with any weights."
    )
