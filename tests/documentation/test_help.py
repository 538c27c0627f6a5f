"""The help of every command and subcommand: options in groups, and examples that can be typed.

Oracles: argparse's own list of the groups of a parser; each example given back to the parser of the
command that it names; the words with which a test starts a command.
"""

import importlib
import re
import shlex
import subprocess
import sys

import pytest
from folders import ROOT
from test_docs import load_script, module_and_words

from landscape_mpi.__main__ import COMMANDS
from landscape_mpi.curve import SUBCOMMANDS
from landscape_mpi.invocation import AS_MODULE, set_words_before_name

HELP = [(name,) for name in COMMANDS] + [("curve", name) for name in SUBCOMMANDS]
UNNAMED = {"positional arguments", "options"}
PAGES = load_script("command_pages")


@pytest.fixture(params=HELP, ids=" ".join)
def parser(request):
    return PAGES.parser_of(*request.param)


def test_every_option_stands_in_a_group_with_a_name(parser):
    ungrouped = [
        action.option_strings
        for group in parser._action_groups
        if group.title in UNNAMED
        for action in group._group_actions
        if action.option_strings
    ]
    assert ungrouped == [["-h", "--help"]]


def test_every_value_of_an_option_has_a_name_of_its_own(parser):
    """A letter or a kind (FILE) says more than the name of the option in capitals."""
    unnamed = [
        action.option_strings
        for action in parser._actions
        if action.option_strings
        and action.nargs != 0
        and action.metavar is None
        and action.choices is None
    ]
    assert unnamed in ([], [["-n"]])  # argparse shows -n N


def test_the_help_begins_with_a_sentence(parser):
    first = parser.description.partition("\n\n")[0]
    assert first[0].isupper()
    assert first[-1] == "."


def test_every_argument_says_what_it_is(parser):
    silent = [
        action.option_strings or action.metavar
        for action in parser._actions
        if not action.help or re.search(r"\((?!default)[-\w]+\)$", action.help)
    ]
    assert silent == []


def example_lines(parser):
    """Return the command lines below the options, each in one piece."""
    joined = (parser.epilog or "").replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.startswith("  ")]


def test_the_help_ends_with_examples(parser):
    name = parser.prog.rpartition("landscape_mpi.")[2].split()
    assert parser.format_help().partition("examples:\n\n  ")[2]
    ours = filter(None, map(module_and_words, example_lines(parser)))
    assert [name[0], *name[1:]] in [[module, *words[: len(name) - 1]] for module, words in ours]


def test_the_examples_parse(parser):
    for line in example_lines(parser):
        found = module_and_words(line)
        if found is None:  # of another program
            assert shlex.split(line)[0] in {"cd"}, line
            continue
        module = importlib.import_module(f"landscape_mpi.{found[0]}")
        if hasattr(module, "parse"):
            module.parse(found[1])
        else:
            module.make_parser().parse_args(found[1])


SCRIPT = """\
import sys
from landscape_mpi.__main__ import main
if __name__ == "__main__":
    sys.exit(main())
"""  # as pip writes it


@pytest.fixture(params=[AS_MODULE, "python -m landscape_mpi ", "landscape-mpi "])
def typed(request):
    """Words before the name of a command, set as the program sets them when it starts."""
    set_words_before_name(request.param)
    yield request.param
    set_words_before_name(AS_MODULE)


@pytest.mark.parametrize("words", HELP, ids=" ".join)
def test_the_help_shows_commands_as_they_were_typed(words, typed):
    parser = PAGES.parser_of(*words)
    name = " ".join(words)
    assert parser.format_usage().startswith(f"usage: {typed}{name} ")
    assert parser.prog == typed + name
    shown = re.findall(r"(?:python -m landscape_mpi[. ]|landscape-mpi )(?=[a-z])", examples(parser))
    assert shown
    assert set(shown) == {typed}


def examples(parser):
    return parser.format_help().partition("examples:\n\n")[2]


@pytest.mark.parametrize("words", [["curve"], ["curve", "train"], ["plot"]], ids=" ".join)
def test_commands_know_how_they_were_started(words, tmp_path, monkeypatch):
    script = tmp_path / "landscape-mpi"
    script.write_text(SCRIPT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # of the script, which lies elsewhere
    name, *rest = words
    starts = {
        AS_MODULE: ["-m", f"landscape_mpi.{name}"],
        "python -m landscape_mpi ": ["-m", "landscape_mpi", name],
        "landscape-mpi ": [str(script), name],
    }
    for typed, start in starts.items():
        argv = [sys.executable, *start, *rest]
        shown = run(*argv, "--help").stdout
        assert shown.startswith(f"usage: {typed}{' '.join(words)} ")
        refused = run(*argv, "--frob").stderr
        assert refused.startswith(f"error: {typed}{' '.join(words)}: --frob ")
        assert refused.endswith(f" See {typed}{' '.join(words)} --help.\n")


def run(*argv):
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
