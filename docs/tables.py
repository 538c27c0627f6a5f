"""Write the tables of what the commands can name into the documentation.

    python docs/tables.py            # between their markers, in README.md and docs/*.md
    python docs/tables.py --check    # change nothing; status 1 if a table is not up to date

The tables come from landscape_mpi/registry.py and the files that it names. A table stands between
``<!-- table: NAME -->`` and ``<!-- end of table -->``.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from landscape_mpi.registry import DATA_SETS, NETWORKS, NORMALIZATIONS, PICTURES, QUANTITIES

ROOT = Path(__file__).parent.parent
BETWEEN = re.compile(r"(<!-- table: (\w+) -->\n).*?(<!-- end of table -->)", re.DOTALL)


def networks() -> str:
    """Return the table of networks, a row for each family."""
    families = [family for _, family in NETWORKS.items()]
    titles = [family.title or ", ".join(map(code, family.names)) for family in families]
    words = [family.words for family in families]
    return table("networks of the zoo", "", rows=zip(titles, words, strict=True))


def data() -> str:
    """Return the table of data sets."""
    found = DATA_SETS.items()
    rows = [(code(form), data.size_in_words, data.words) for form, data in found]
    return table("your data", "training + test", "", rows=rows)


def normalizations() -> str:
    """Return the table of how directions are scaled."""
    rows = [(code(name), way.words) for name, way in NORMALIZATIONS.items()]
    return table("`--normalize`", "in random directions", rows=rows)


def pictures() -> str:
    """Return the table of the kinds of pictures."""
    rows = [(code(name), kind.words) for name, kind in PICTURES.items()]
    return table("`--kind`", "", rows=rows)


def quantities() -> str:
    """Return the table of quantities beside loss and error."""
    rows = [(code(name), quantity.words) for name, quantity in QUANTITIES.items()]
    return table("`--also`", "", rows=rows)


TABLES: dict[str, Callable[[], str]] = {
    "networks": networks,
    "data": data,
    "normalizations": normalizations,
    "pictures": pictures,
    "quantities": quantities,
}


def code(name: str) -> str:
    """Return a name as code."""
    return f"`{name}`"


def table(*titles: str, rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown, without the end of its last line."""
    head, *lines = [f"| {' | '.join(cells)} |".replace("|  |", "| |") for cells in (titles, *rows)]
    return "\n".join([head, f"|{'---|' * len(titles)}", *lines])


def filled(text: str) -> str:
    """Return a page with its tables as they are to be."""
    return BETWEEN.sub(lambda match: f"{match[1]}\n{TABLES[match[2]]()}\n\n{match[3]}", text)


def pages() -> list[Path]:
    """Return the pages that may have tables."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("**/*.md"))]


def main(arguments: list[str]) -> int:
    """Write the tables, or check them; return the exit status."""
    changed = [page for page in pages() if filled(page.read_text()) != page.read_text()]
    if arguments == ["--check"]:
        for page in changed:
            print(f"{page}: its tables differ from landscape_mpi/registry.py. Run make tables.")
        return 1 if changed else 0
    for page in changed:
        page.write_text(filled(page.read_text()))
        print(page)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
