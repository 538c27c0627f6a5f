"""The page on trouble: it has a row for every error message of the package and of its scripts.

Oracle: the messages themselves, read from the source with their values replaced. A row names the
words by which a user recognises a message, ``...`` for what differs from one to the next. The
messages of other programs are provoked.
"""

import ast
import functools
import os
import re
import subprocess
import sys

import pytest
from folders import ROOT
from script_messages import VALUE, commands_of, script_messages, texts_of
from test_docs import DOCS

from landscape_mpi import errors

PAGE = DOCS / "how-to/trouble.md"
OF_SCRIPTS = "### Scripts and job logs\n"  # title of the rows for messages of scripts
SAID_BY_PARSER = "ArgumentTypeError"
SAID_BY_CLASS = {"DamagedFileError", "UnwritableError"}  # these make the whole message themselves
OWN_WORDS = 2  # fewer of them only join other texts, which are read where they are made
ERRORS = {
    name: thing
    for name, thing in vars(errors).items()
    if isinstance(thing, type) and issubclass(thing, Exception)
}


def error_classes(trees):
    """Return the names of the classes that a user reads: those of errors.py, and their heirs."""
    found = set(ERRORS)
    while True:
        heirs = {
            node.name
            for tree in trees.values()
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef) and {ast.unparse(base) for base in node.bases} & found
        }
        if heirs <= found:
            return found
        found |= heirs


def text_of(node, functions):
    """Return a message with its values replaced, and that of a function that makes it."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        parts = (part.value if isinstance(part, ast.Constant) else VALUE for part in node.values)
        return "".join(parts)
    if isinstance(node, ast.BinOp):
        return text_of(node.left, functions) + text_of(node.right, functions)
    if isinstance(node, ast.IfExp):
        return text_of(node.body, functions)
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).rpartition(".")[2]
        returned = [
            text_of(step.value, {})
            for step in ast.walk(functions.get(name, ast.Module([], [])))
            if isinstance(step, ast.Return) and step.value is not None
        ]
        return "\n".join(returned) or VALUE
    return VALUE


def says_error(call, classes):
    """Return whether a call makes an error message."""
    name = ast.unparse(call.func)
    return (
        name.rpartition(".")[2] in {SAID_BY_PARSER, *classes} - SAID_BY_CLASS
        or name in {"parser.error", "self.error", "super().__init__"}
        or any(ast.unparse(word) == "file=sys.stderr" for word in call.keywords)
    )


def said_in(tree, classes):
    """Yield the error messages of a module, with their lines."""
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and node.args and says_error(node, classes):
            by_parser = ast.unparse(node.func).endswith(SAID_BY_PARSER)
            texts = [text_of(argument, functions) for argument in node.args]
            for text in ": ".join(texts).split("\n"):
                yield node.lineno, f"argument --{VALUE}: {text}" if by_parser else text


def literals(tree):
    """Yield the texts of a module, without its docstrings."""
    docstrings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and node not in docstrings:
            yield text_of(node, {})


@functools.cache
def modules():
    """Return the syntax trees of the package by their places."""
    paths = sorted((ROOT / "landscape_mpi").rglob("*.py"))
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_text()) for path in paths}


@functools.cache
def messages():
    """Return the error messages of the package by their places."""
    trees = modules()
    classes = error_classes(trees)
    return [
        (f"{path}:{line}", text)
        for path, tree in trees.items()
        for line, text in said_in(tree, classes)
    ]


def rows(text=None):
    """Return the words of each row of the page, or of a part of it."""
    heads = re.findall(r"^\| (`.*?) \|", PAGE.read_text() if text is None else text, re.M)
    return [re.findall(r"`([^`]+)`", head) for head in heads]


def without_row(said, patterns):
    """Return the messages that no pattern recognises, with their places."""
    return [
        f"{place}: {text}"
        for place, text in said
        if len(re.findall(r"[a-z]{2,}", text)) >= OWN_WORDS
        and not any(pattern.search(text) for pattern in patterns)
    ]


def pattern_of(words):
    return re.compile(".*".join(map(re.escape, words.split("..."))))


def test_every_message_has_a_row():
    patterns = [pattern_of(words) for row in rows() for words in row]
    assert without_row(messages(), patterns) == []


def test_every_message_of_a_script_has_a_row():
    """The rows of the package do not count: their remedies are others."""
    _, title, own = PAGE.read_text().partition(OF_SCRIPTS)
    assert title
    patterns = [pattern_of(words) for row in rows(own.split("\n### ")[0]) for words in row]
    assert without_row(script_messages(), patterns) == []


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("name=${NAME:?pass a name: NAME=x $0} # ${NO:?comment}", ["pass a name: NAME=x $0"]),
        (
            ': "${launcher[0]:?sets it, e.g. launcher=(mpirun)}"',
            ["sets it, e.g. launcher=(mpirun)"],
        ),
        ('[ -e "$a" ] || stop "$a: is missing" \\\n    "Make it."', ["…: is missing Make it."]),
        (
            '{ cat $log >&2 && stop "the words of $(tail -n "${N:-1}" "$log") end."; }',
            ["the words of … end."],
        ),
        ("printf 'no rank %s\\n' \"$rank\" >&2", ["no rank %s\\n …"]),
        ('echo "no GPU: $words" >&2', ["no GPU: …"]),
        ('words=$(find "$x" || stop "cannot find $x")', ["cannot find …"]),
        ('printf "pack: %s" "$*" >&2; echo "all is well"', []),
        ('say "a rank hung on $1"', ["a rank hung on …"]),
    ],
)
def test_messages_are_found_in_every_form(script, said):
    found = [text for line in commands_of(script) for text in texts_of(line, is_log=True)]
    assert found == said


def test_the_words_of_every_row_occur_in_a_message():
    known = [text for tree in modules().values() for text in literals(tree)]
    texts = "\n".join([*known, *(text for _, text in (*messages(), *script_messages()))])
    unknown = [words for row in rows() for words in row if not pattern_of(words).search(texts)]
    assert unknown == []


SECTION = "### Before the program starts\n"


def output_of(*argv, **settings):
    done = subprocess.run(argv, capture_output=True, text=True, check=False, **settings)
    assert done.returncode != 0
    return done.stdout + done.stderr


def is_open_mpi():
    version = subprocess.run(["mpirun", "--version"], capture_output=True, text=True, check=False)
    return "Open MPI" in version.stdout


def test_messages_of_python_and_of_mpirun(tmp_path):
    section = PAGE.read_text().partition(SECTION)[2].partition("\n### ")[0]
    module, slots, root = re.findall(r'^\| "([^"]+)" \|', section, re.M)
    isolated = [sys.executable, "-I", "-S", "-m", "landscape_mpi.surface"]
    assert module in output_of(*isolated, cwd=tmp_path)
    if not is_open_mpi():
        pytest.skip("mpirun is not that of Open MPI, whose messages these are")
    own = {key: value for key, value in os.environ.items() if not key.startswith("OMPI_")}
    allowed = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    assert slots in output_of("mpirun", "-n", "9999", "true", env=own | allowed)
    if os.geteuid() == 0:
        assert root in output_of("mpirun", "-n", "1", "true", env=own)
