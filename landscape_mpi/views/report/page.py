"""The page: a frame of HTML, its look, its script, plotly.js and the surfaces, in one file.

plotly.js and the numbers are compressed, and the browser unpacks them (DecompressionStream): this
reduces the page from about 6 MB to about 2.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template
from typing import Any

import numpy as np

from landscape_mpi.short_names import short_names
from landscape_mpi.store.provenance import Provenance
from landscape_mpi.store.reader import Surface
from landscape_mpi.views.choice import choose_quantities
from landscape_mpi.views.heights import Heights, check_ends
from landscape_mpi.views.report import tables
from landscape_mpi.views.report.content import choose_view, pack_surface
from landscape_mpi.views.report.scales import pack_scales
from landscape_mpi.views.report.tables import escape

# How the file of plotly.js begins and ends the function that makes it, and the same in parentheses.
FACTORY = (": this, () => {\n", "\n}));")
PARENTHESES = (": this, (() => {\n", "\n})));")
RELOAD_S = 10  # s between two checks of a page that is being watched
# The script of the page, one noun per file; the files are joined, so each may call any other.
SCRIPTS = (
    "state",
    "unpacking",
    "styles",
    "numbers",
    "heights",
    "ticks",
    "light",
    "plane",
    "paths",
    "line",
    "image",
    "drawing",
    "spot",
    "camera",
    "turning",
    "screen",
    "pointing",
    "gestures",
    "interpolation",
    "descent",
    "ball",
    "notes",
    "paper",
    "controls",
    "link",
    "start",
)


@dataclass(frozen=True)
class Source:
    """A surface and its file."""

    surface: Surface
    provenance: Provenance


def make_page(
    sources: Sequence[Source],
    quantities: list[str] | None,
    *,
    command: Sequence[str],
    scale: str | None = None,
    ends: tuple[float | None, float | None] = (None, None),
    watched: bool = False,
    reload_s: float = RELOAD_S,
) -> str:
    """Return the page as text.

    Args:
        sources: At least one source, each with computed points.
        quantities: Names to show; None for all that are computed.
        command: The words of the command that makes this page again.
        scale: First scale, one of levels.SCALES; None chooses from the values.
        ends: First range of the values that are drawn; None chooses an end.
        watched: Whether the file is written again and the page should look for the new one.
        reload_s: Time between two looks, s.

    Raises:
        InputError: If a surface has no such quantity, or none of its points is computed, or if the
            range leaves nothing of its first quantity.
    """
    chosen = [choose_quantities(source.surface, quantities) for source in sources]
    surfaces = [surface for surface, _ in chosen]
    shown = list(dict.fromkeys(name for _, names in chosen for name in names))
    for surface in surfaces:
        _check_range(surface, shown[0], ends)
    content: dict[str, Any] = {
        "surfaces": [pack_surface(surface, names) for surface, names in chosen],
        "scales": pack_scales(surfaces, shown),
        "view": choose_view(surfaces, shown),
        "scale": scale,
        "ends": ends,
        "reload": reload_s if watched else None,
    }
    script = "".join(_text(f"script/{name}.js") for name in SCRIPTS)
    style = _text("page.css")
    titles = [tables.title_of(source.surface) for source in sources]
    return Template(_text("page.html")).substitute(
        title=escape(_joined(list(dict.fromkeys(titles)))),
        style=style,
        styles=_hashes(style, ""),  # plotly.js fills empty ones through the object model
        script=script,
        scripts=_hashes(script, _plotly()),
        articles="\n".join(_articles(sources)),
        count="one" if len(sources) == 1 else "several",
        command=escape(shlex.join(command)),
        library=_library(),
        data=pack_text(json.dumps(content, separators=(",", ":"))),
    )


def _check_range(surface: Surface, name: str, ends: tuple[float | None, float | None]) -> None:
    """Check that a range leaves something of the quantity that the page shows first."""
    values = surface.values[name][surface.done_of[name]] if name in surface.values else np.empty(0)
    if np.isfinite(values).any():
        low, high = ends
        check_ends(Heights(low=low, high=high), values, f"{surface.path}: {name}")


def _joined(words: Sequence[str]) -> str:
    """Return words as a list in a sentence: a; a and b; a, b and c."""
    between = "; " if any("," in word for word in words) else ", "
    *first, last = words
    return f"{between.join(first)} and {last}" if first else last


def _hashes(*texts: str) -> str:
    """Return the hashes that allow scripts or styles: the browser uses no other."""
    digests = (hashlib.sha256(text.encode()).digest() for text in texts)
    return " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests)


def pack_text(text: str) -> str:
    """Compress text and return it as base64, the same for the same text."""
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def _articles(sources: Sequence[Source]) -> Iterator[str]:
    names = short_names((source.surface.path for source in sources), endings=True)
    for number, (name, source) in enumerate(zip(names, sources, strict=True)):
        yield _article(number, name, source)


def _article(number: int, name: str, source: Source) -> str:
    surface, provenance = source.surface, source.provenance
    made = tables.command_of(provenance)
    return Template(_text("article.html")).substitute(
        number=number,
        name=escape(name),
        title=escape(tables.title_of(surface)),
        kind="line" if surface.is_line else "plane",
        facts=tables.facts(surface, provenance),
        numbers=tables.numbers(surface),
        provenance=tables.provenance_table(surface, provenance),
        command=escape(made) if made else "",
        hidden="" if made else "hidden",
    )


@cache
def _library() -> str:
    """Return plotly.js, packed."""
    return pack_text(_plotly())


@cache
def _plotly() -> str:
    """Return plotly.js from its Python package, so that browsers read it once.

    They read a function in parentheses at once, as one that is called at once, and any other one
    again when it is called: here, 5 MB of text.
    """
    text = files("plotly").joinpath("package_data/plotly.min.js").read_text("utf-8")
    head, opens, body = text.partition(FACTORY[0])
    body, closes, rest = body.rpartition(FACTORY[1])
    return head + PARENTHESES[0] + body + PARENTHESES[1] + rest if opens and closes else text


def _text(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")
