"""The help of every command and subcommand: options in groups, and examples that can be typed.

Oracles: argparse's own list of the groups of a parser; each example given back to the parser of the
command that it names.
"""

import importlib
import shlex

import pytest
from test_docs import load_script, module_and_words

from landscape_mpi.__main__ import COMMANDS
from landscape_mpi.curve import SUBCOMMANDS

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
