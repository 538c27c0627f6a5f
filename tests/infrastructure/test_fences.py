"""The fences between the rooms of the package, and the size of what is in them.

The oracle is the source text itself, parsed with ast, and a Python in which the fenced-off
packages cannot be imported: neither trusts what the package says of itself.
"""

from __future__ import annotations

import ast
import functools
import re
import resource
import statistics
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import ROOT

PACKAGE = ROOT / "landscape_mpi"
FILES = sorted(PACKAGE.rglob("*.py"))
# For any room.
EVERYWHERE = {
    "default_device",
    "device_names",
    "errors",
    "gc_tuning",
    "invocation",
    "node_memory",
    "output",
    "problem",
    "registry",
    "short_names",
    "tensor_names",
}
SHARED = EVERYWHERE | {"command", "options"}
DEVICE_WORDS = {"cpu", "cuda", "xpu", "mps"}
# These make floats of torch's default type, which the user may have changed.
MAKERS = {"empty", "eye", "full", "linspace", "ones", "rand", "randn", "tensor", "zeros"}
# Docstrings and comments are sentences: none begins with these words.
WITH_DOCSTRINGS = sorted(
    path for room in ("landscape_mpi", "tests", "docs") for path in (ROOT / room).rglob("*.py")
)
NO_BEGINNING = {"How", "Of", "That", "Those", "What", "When", "Where", "Whether", "Which", "Whose"}
LONG = 100  # characters of a helper that tests may not write twice
NO_COMMENT = {"those", "what", "which", "whose"}
COMMANDS = sorted(
    path.stem for path in PACKAGE.glob("[!_]*.py") if "\ndef main(" in path.read_text()
)
VIEWERS = {"plot", "vtp", "report", "topology"}
# For a login node, without torch and MPI.
LIGHT = {"analysis", "draw", "python", "views", "store", "viewer"}

# Room or kind of module: the parts of the package it may import, besides its own.
MAY_IMPORT = {
    "command": {"engine", "jobs", "cluster", "compute", "store", "zoo", "views"} | SHARED,
    "viewer": {"draw", "store", "views"} | SHARED,
    "jobs": {"engine", "cluster", "compute", "store", "zoo", "python"} | SHARED,
    "engine": {"cluster", "compute", "store", "zoo", "options"} | EVERYWHERE,
    "cluster": EVERYWHERE,
    "compute": EVERYWHERE,
    "store": EVERYWHERE,
    "zoo": EVERYWHERE,
    "analysis": EVERYWHERE,
    "draw": {"store", "views"} | SHARED,
    "views": {"analysis", "store"} | EVERYWHERE,
    "shared": EVERYWHERE,
    "front": {"problem", "python", "jobs"},
    "python": {"analysis", "store", "views"} | EVERYWHERE,
}
# Packages that are another room's business.
MUST_NOT_IMPORT = {
    "cluster": {"torch", "h5py"},
    "compute": {"mpi4py", "h5py"},
    "store": {"torch", "mpi4py"},
    "zoo": {"mpi4py"},
    "analysis": {"torch", "mpi4py", "h5py", "matplotlib"},
    "draw": {"torch", "mpi4py", "h5py"},
    "views": {"torch", "mpi4py", "h5py"},
    "viewer": {"torch", "mpi4py", "h5py"},
    "shared": {"torch", "mpi4py", "h5py", "numpy"},
    "front": {"torch", "mpi4py", "h5py", "numpy"},
    "python": {"torch", "mpi4py", "h5py"},
}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def kind(path: Path) -> str:
    """Return the room of a module, or what a module of no room is."""
    inside = path.relative_to(PACKAGE)
    if len(inside.parts) > 1:
        return inside.parts[0]
    if inside.stem == "__init__":
        return "front"
    if inside.stem in SHARED:
        return "shared"
    return "viewer" if inside.stem in VIEWERS else "command"


@functools.cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def imported_modules(path: Path, *, at_run_time: bool = False) -> set[str]:
    """Return the full names a module imports anywhere, also inside its functions."""
    tree = tree_of(path)
    unseen = set(nodes_for_type_checkers(tree)) if at_run_time else set()
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    names = set()
    for node in ast.walk(tree):
        if node in unseen:
            continue
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            names |= {f"{source}.{alias.name}" for alias in node.names}
    return names


def nodes_for_type_checkers(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for statement in node.body:
                yield from ast.walk(statement)


def parts_imported(path: Path) -> set[str]:
    """Return the parts of this package that a module imports: rooms and top-level modules."""
    words = [name.split(".") for name in imported_modules(path)]
    candidates = {parts[1] for parts in words if parts[0] == PACKAGE.name and len(parts) > 1}
    return {
        name
        for name in candidates
        if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").exists()
    }


def test_every_room_says_what_it_may_import() -> None:
    """One that is new belongs into MAY_IMPORT."""
    assert {kind(path) for path in FILES} <= MAY_IMPORT.keys()


def test_a_module_imports_only_the_parts_below_it() -> None:
    offenders = {
        module_name(path): beyond
        for path in FILES
        if (beyond := parts_imported(path) - MAY_IMPORT[kind(path)] - {kind(path)})
    }
    assert offenders == {}


def test_a_module_leaves_other_rooms_packages_alone() -> None:
    offenders = {
        module_name(path): packages
        for path in FILES
        if (packages := packages_imported(path) & MUST_NOT_IMPORT.get(kind(path), set()))
    }
    assert offenders == {}


def packages_imported(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported_modules(path, at_run_time=True)}


def imports_between_modules() -> dict[str, set[str]]:
    """Return for each module of the package those that it imports, also inside its functions."""
    names = {module_name(path) for path in FILES}
    graph = {}
    for path in FILES:
        words = imported_modules(path, at_run_time=True)
        found = words | {word.rpartition(".")[0] for word in words}
        graph[module_name(path)] = found & names - {module_name(path)}
    return graph


def test_no_modules_import_one_another_in_a_circle() -> None:
    """Take away, again and again, the modules that import no other; only a circle remains."""
    graph = imports_between_modules()
    while free := {name for name, imported in graph.items() if not imported & graph.keys()}:
        graph = {name: imported for name, imported in graph.items() if name not in free}
    assert not graph


def test_command_lines_end_where_commands_begin() -> None:
    """Below the commands, what is asked is plain data."""
    places = [path for path in FILES if kind(path) in {"engine", "jobs", "compute", "store", "zoo"}]
    named = [module_name(path) for path in places if "Namespace" in path.read_text()]
    assert named == []


def test_messages_name_commands_as_they_were_typed() -> None:
    """Only docstrings and examples of help, which are translated, may write out python -m."""
    offenders = [
        f"{module_name(path)}:{node.lineno}"
        for path in FILES
        if path.stem not in {"invocation", "__main__"}
        for node in texts_of(tree_of(path))
        if f"python -m {PACKAGE.name}" in node.value
    ]
    assert offenders == []


def texts_of(tree: ast.Module) -> Iterator[ast.Constant]:
    """Yield the texts of a module without those that are statements, and without EXAMPLE."""
    apart = {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr)
        or (isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXAMPLE")
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in apart:
            yield node


def test_devices_are_compared_where_they_are_defined() -> None:
    """All that differs between kinds of devices is in one object: a new kind is one file."""
    home = PACKAGE / "compute" / "devices"
    offenders = [
        f"{module_name(path)}:{node.lineno}"
        for path in FILES
        if home not in path.parents and path.stem not in {"device_names", "default_device"}
        for node in ast.walk(tree_of(path))
        if compares_devices(node)
    ]
    assert offenders == []


def compares_devices(node: ast.AST) -> bool:
    """Return whether a node compares the name of a device, or asks torch about one kind of them."""
    if isinstance(node, ast.Attribute):
        asked = ast.unparse(node)
        return node.attr == "is_cuda" or asked.startswith(("torch.cuda", "torch.xpu", "torch.mps"))
    texts = ast.walk(node) if isinstance(node, ast.Compare) else ()
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".startswith"):
        texts = ast.walk(node)
    return any(isinstance(part, ast.Constant) and part.value in DEVICE_WORDS for part in texts)


def test_new_tensors_name_their_type() -> None:
    """torch.set_default_dtype of a notebook is for the user's tensors, not for ours."""
    made = {f"torch.{name}" for name in MAKERS}
    offenders = [
        f"{module_name(path)}:{node.lineno}"
        for path in FILES
        if path != PACKAGE / "zoo/transformer.py"  # its weights have the type of torch's own layers
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in made
        if "dtype" not in {keyword.arg for keyword in node.keywords}
    ]
    assert offenders == []


def test_the_package_itself_imports_nothing() -> None:
    ours = f"{PACKAGE.name}."
    imported = imported_modules(PACKAGE / "__init__.py", at_run_time=True)
    assert imported <= {"importlib", "__future__.annotations", "typing.TYPE_CHECKING"}
    code = f"import sys, {PACKAGE.name}; print(*(m for m in sys.modules if m.startswith({ours!r})))"
    done = run_python(code)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_a_problem_is_imported_without_anything_heavy() -> None:
    heavy = ("torch", "numpy", "mpi4py", "h5py")
    done = run_python(f"{without(*heavy)}import landscape_mpi; print(landscape_mpi.Problem)")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "<class 'landscape_mpi.problem.Problem'>"


def run_python(code: str, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *argv], cwd=ROOT, capture_output=True, text=True, check=False
    )


def without(*packages: str) -> str:
    """Return code after which these packages cannot be imported."""
    return f"import sys; sys.modules.update(dict.fromkeys({packages}))\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help_needs_neither_mpi_nor_torch(command: str) -> None:
    code = without("mpi4py", "torch") + (
        f"import runpy; sys.argv = [{command!r}, '--help']\n"
        f"runpy.run_module('landscape_mpi.{command}', run_name='__main__')"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert "usage:" in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_takes_less_than_a_second_of_processor(command: str) -> None:
    argv = [sys.executable, "-m", f"landscape_mpi.{command}", "--help"]
    seconds = processor_time_of_children()
    subprocess.run(argv, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    assert processor_time_of_children() - seconds < 1


def processor_time_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("command", sorted(VIEWERS))
def test_help_of_what_draws_waits_for_nothing_heavy(command: str) -> None:
    code = (
        f"import sys; from landscape_mpi.{command} import make_parser\n"
        "make_parser().format_help()\n"
        "heavy = {'numpy', 'h5py', 'matplotlib', 'plotly', 'vtkmodules', 'gudhi'}\n"
        "print(*(heavy & set(sys.modules)))"
    )
    done = run_python(code)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_views_and_store_load_without_torch_and_mpi() -> None:
    modules = [module_name(path) for path in FILES if kind(path) in LIGHT]
    assert modules
    code = without("mpi4py", "torch") + (
        "import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)"
    )
    done = run_python(code, *modules)
    assert done.returncode == 0, done.stderr


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def n_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return the lines of a function from def to its end, docstring included."""
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def test_no_function_is_longer_than_a_screen() -> None:
    too_long = {
        f"{module_name(path)}.{function.name}": n_lines(function)
        for path in FILES
        for function in functions(path)
        if n_lines(function) > (40 if function.name == "main" else 60)
    }
    assert too_long == {}


def test_most_functions_are_short() -> None:
    assert statistics.median(n_lines(f) for path in FILES for f in functions(path)) < 10


def test_docstrings_begin_as_a_sentence_does() -> None:
    offenders = [
        f"{module_name(path)}.{name}: {words}"
        for path in WITH_DOCSTRINGS
        for name, words in docstrings(path)
        if first_word(words) in NO_BEGINNING
    ]
    assert offenders == []


def test_comments_begin_as_a_sentence_does() -> None:
    offenders = [
        f"{module_name(path)}:{line}: {words}"
        for path in WITH_DOCSTRINGS
        for line, words in comments(path)
        if first_word(words).lower() in NO_COMMENT
    ]
    assert offenders == []


def first_word(words: str) -> str:
    return re.split(r"\W", words, maxsplit=1)[0]


def comments(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the line and the words of each comment, without those that continue another."""
    before = None
    with path.open("rb") as file:
        tokens = [
            token for token in tokenize.tokenize(file.readline) if token.type == tokenize.COMMENT
        ]
    for token in tokens:
        (line, column), whole_line = token.start, not token.line[: token.start[1]].strip()
        if before is None or (line, column) != (before[0] + 1, before[1]) or not whole_line:
            yield line, token.string.lstrip("# ")
        before = (line, column)


def docstrings(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name and the first line of each docstring of a module."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            words = ast.get_docstring(node)
            if words:
                yield getattr(node, "name", "module"), words.splitlines()[0]


def test_no_helper_of_the_tests_is_written_twice() -> None:
    """Equal functions and classes belong into a module of their own, at the root of tests/."""
    places: dict[str, list[str]] = {}
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in tree_of(path).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                body = node.body[ast.get_docstring(node) is not None :]
                text = "\n".join(map(ast.unparse, body))
                places.setdefault(text, []).append(f"{module_name(path)}.{node.name}")
    alike = [names for text, names in places.items() if len(names) > 1 and len(text) > LONG]
    assert alike == []


def test_no_file_is_a_drawer_for_everything() -> None:
    assert not list(PACKAGE.rglob("utils*"))
    assert not list(PACKAGE.rglob("helpers*"))
