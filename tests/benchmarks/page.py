"""The page of measured figures: each script replaces its own sections and leaves the others."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "examples/benchmarks.md"
TITLE = "# Benchmarks"


def replace_section(path: Path, heading: str, lines: Sequence[str]) -> None:
    """Write a section into a page of Markdown, in the place of the one with the same heading."""
    text = path.read_text() if path.exists() else f"{TITLE}\n"
    first, *sections = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    new = "\n".join((f"## {heading}", "", *lines, ""))
    kept = [section.rstrip() + "\n" for section in sections]
    places = [i for i, section in enumerate(kept) if section.splitlines()[0] == f"## {heading}"]
    if places:
        kept[places[0]] = new
    else:
        kept.append(new)
    path.write_text("\n".join((first.rstrip() + "\n", *kept)))


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table in Markdown, line by line."""
    rule = f"|{'---|' * len(columns)}"
    head, *body = (f"| {' | '.join(row)} |" for row in (columns, *rows))
    return [head, rule, *body]
