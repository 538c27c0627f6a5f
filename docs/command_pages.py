"""Make the reference page of each command from the parser of that command."""

from __future__ import annotations

import argparse
import importlib
import re
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from landscape_mpi.__main__ import COMMANDS
from landscape_mpi.command import CommandParser

DOCS = Path(__file__).parent
AT_WORK = {  # the page that shows the command at work
    "surface": "how-to/surface.md",
    "hessian": "how-to/curvature.md",
    "sharpness": "how-to/surface.md",
    "trajectory": "how-to/trajectories.md",
    "curve": "how-to/curves.md",
    "train": "how-to/training.md",
    "ensemble": "how-to/ensembles.md",
    "plot": "how-to/pictures.md",
    "vtp": "how-to/meshes.md",
    "report": "how-to/report.md",
    "topology": "how-to/chaos.md",
    "templates": "how-to/queues.md",
    "doctor": "how-to/trouble.md",
    "bench": "explanation/speed.md",
}
HELP = "show this help message and exit"  # the option that each parser has
TITLES = {"positional arguments": "Arguments"}
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|~$])")


class ParserMade(BaseException):
    """Carry a complete parser out of the command that was about to parse with it."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


def parser_of(command: str, subcommand: str | None = None) -> argparse.ArgumentParser:
    """Return the parser that a command makes for itself.

    Args:
        command: Name of a module of the package.
        subcommand: Name of a subcommand that has a parser of its own.

    Raises:
        LookupError: If the command parses nothing.
    """
    module = importlib.import_module(f"landscape_mpi.{command}")
    if hasattr(module, "make_parser"):
        return module.make_parser()
    with _stopped_before_parsing():
        try:
            module.parse([subcommand] if subcommand else [])
        except ParserMade as made:
            return made.parser
    raise LookupError(f"{command} parses nothing.")


@contextmanager
def _stopped_before_parsing() -> Iterator[None]:
    parse_args = CommandParser.parse_args

    def stop(self: CommandParser, *_: object, **__: object) -> NoReturn:
        raise ParserMade(self)

    CommandParser.parse_args = stop  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        CommandParser.parse_args = parse_args  # type: ignore[method-assign]


def command_pages() -> dict[str, str]:
    """Return the text of each command's page, in Markdown, by the command's name."""
    return {name: page_of(name) for name in COMMANDS}


def page_of(command: str) -> str:
    """Return the page of a command, with its subcommands."""
    module = importlib.import_module(f"landscape_mpi.{command}")
    parts = [f"# {command}", *described(parser_of(command)), link_to_page(AT_WORK[command])]
    for name in getattr(module, "SUBCOMMANDS", {}):
        parser = parser_of(command, name)
        parts += [f"## {command} {name}", *described(parser), *options_of(parser, level=3)]
    if not hasattr(module, "SUBCOMMANDS"):
        parts += options_of(parser_of(command), level=2)
    return "\n\n".join(parts) + "\n"


def link_to_page(page: str) -> str:
    """Return a sentence with a link to a page of docs/, by its title."""
    title = (DOCS / page).read_text().partition("\n")[0].removeprefix("# ")
    return f"[{title}](../../{page}) shows the command at work."


def described(parser: argparse.ArgumentParser) -> list[str]:
    """Return the text of a help page around its options, example command lines as blocks."""
    text = "\n\n".join(filter(None, [parser.description, parser.epilog]))
    text = text.replace("\nexamples:\n", "\nExamples:\n")
    return [block(synopsis(parser)), *paragraphs(text)]


def synopsis(parser: argparse.ArgumentParser) -> str:
    """Return the form of a command line in one line."""
    formatter = parser._get_formatter()
    files = [
        formatter._format_args(action, formatter._get_default_metavar_for_positional(action))
        for action in parser._get_positional_actions()
    ]
    return " ".join([parser.prog, *files, "[options]"])


def paragraphs(text: str) -> list[str]:
    """Return paragraphs in Markdown; an indented one is a block of code."""
    found = []
    for part in re.split(r"\n\s*\n", text.strip("\n")):
        lines = part.splitlines()
        if lines[1:] and not lines[0].startswith(" ") and all(map(is_code, lines[1:])):
            found.append(escaped(lines.pop(0)))  # a title
        if lines and all(map(is_code, lines)):
            found.append(block(textwrap.dedent("\n".join(lines))))
        elif part.strip():
            found.append(escaped(" ".join(line.strip() for line in lines)))
    return found


def is_code(line: str) -> bool:
    """Return whether a line of a help page is to stay as it is."""
    return line.startswith(("  ", "python ", "mpirun "))


def options_of(parser: argparse.ArgumentParser, *, level: int) -> list[str]:
    """Return the options of a parser: a heading for each group, a list entry for each option."""
    parts = []
    for group in parser._action_groups:
        hidden = (argparse.SUPPRESS, HELP)
        actions = [action for action in group._group_actions if action.help not in hidden]
        if actions:
            title = TITLES.get(group.title or "", group.title or "")
            parts.append(f"{'#' * level} {escaped(title[:1].upper() + title[1:])}")
            parts.append("\n".join(definition(parser, action) for action in actions))
    return parts


def definition(parser: argparse.ArgumentParser, action: argparse.Action) -> str:
    """Return an option with its values, and its help."""
    formatter = parser._get_formatter()
    shown = formatter._format_action_invocation(action)
    words = formatter._expand_help(action) if action.help else "Input file or folder."
    return f"- `{shown}`: {escaped(words)}"


def block(text: str) -> str:
    """Return a block of code."""
    return f"```text\n{text}\n```"


def escaped(text: str) -> str:
    """Return text whose signs mean nothing in Markdown."""
    return MARKDOWN.sub(r"\\\1", text)
