"""The text of the page as HTML: the facts of a surface, its numbers, and its provenance."""

from __future__ import annotations

import html
import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from landscape_mpi.store.provenance import Provenance, RunRecord
from landscape_mpi.store.reader import Surface
from landscape_mpi.store.runs import describe_damaged
from landscape_mpi.views.canvas import name_of_data
from landscape_mpi.views.number_text import rounded_text
from landscape_mpi.views.summary import describe

INDENT = "  "  # indentation of a line under a heading
OPTION = re.compile(r"--[a-z][\w-]*(=[\w.:,-]*[\w])?")
UNKNOWN = {"", "none", "None", "unknown"}
# Attributes of the file's root, its directions and its provenance, with their names in the table.
WHAT = {
    "model": "network",
    "preparation": "network, as evaluated",
    "data": "data",
    "splits": "splits",
    "limit": "training samples",
    "subset": "which of them",
    "loss": "loss",
    "weight_decay": "weight decay",
    "batch_norm": "batch-norm's statistics",
    "precision": "precision",
    "batch": "batch",
    "device": "device",
}
DIRECTIONS = {
    "source": "directions",
    "normalize": "normalisation",
    "ignore": "left where they are",
    "only": "moved alone",
    "seed": "seed",
    "cosine": "cosine of the directions",
    "n_moved": "weights moved",
}
FROM = {
    "checkpoint": "checkpoint",
    "checkpoint_sha256": "SHA-256 of the checkpoint",
    "weights_sha256": "SHA-256 of the weights",
    "data_dir": "folder of the data",
    "data_sha256": "SHA-256 of the data",
    "versions": "versions",
    "git_commit": "commit",
    "writer": "written by",
}
RUN_HEAD = ("run", "who", "started (UTC)", "took", "outcome", "points", "ranks", "devices", "hosts")
UNSAID = "unknown: the file does not say"


def title_of(surface: Surface) -> str:
    """Return the label of a surface, or its model and data without a folder, or its file's name."""
    words = [_shown(surface.attributes.get(key)) for key in ("model", "data")]
    words[1] = name_of_data(words[1])
    return surface.label or ", ".join(filter(None, words)) or surface.path.stem


def facts(surface: Surface, provenance: Provenance) -> str:
    """Return the few numbers that a reader looks for first, as a list of terms."""
    told = dict(_facts(surface, provenance))
    items = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in told.items()
    )
    return f'<dl class="facts">{items}</dl>'


def _facts(surface: Surface, provenance: Provenance) -> Iterator[tuple[str, str]]:
    done = max(int(mask.sum()) for mask in surface.done_of.values())
    grid = " × ".join(str(n) for n in surface.shape)
    yield "points", grid if done == surface.n_points else f"{done:,} of {grid}"
    if surface.interpolation is not None:
        yield "of them computed", f"{surface.n_points - surface.interpolation.n_points:,}"
    if surface.sampling is not None:
        yield "samples taken", surface.sampling.percent
    place, where = _middle(surface)
    for name, values in list(surface.values.items())[:4]:
        unit = {"percent": " %", "1": ""}.get(surface.units[name], f" {surface.units[name]}")
        if place is not None and np.isfinite(values[place]):
            yield f"{name.replace('_', ' ')} {where}", f"{rounded_text(values[place], 4)}{unit}"
    took = [run.seconds for run in provenance.runs if run.seconds is not None]
    if took:
        yield "computed in", duration(sum(took))
    if provenance.runs:
        yield "ranks", ", ".join(str(n) for n in sorted({run.n_ranks for run in provenance.runs}))


def _middle(surface: Surface) -> tuple[tuple[int, int] | None, str]:
    """Return the point (0, 0), or the nearest one of a plane that has none, and its name."""
    if surface.center is not None:
        return surface.center, "at center"
    if surface.is_line:
        return None, ""
    i, j = (int(np.argmin(np.abs(axis))) for axis in (surface.alpha, surface.beta))
    return (i, j), f"at ({surface.alpha[i]:.3g}, {surface.beta[j]:.3g}), nearest to the center"


def numbers(surface: Surface) -> str:
    """Return the summary of a surface: sentences, and lists under headings."""
    parts: list[str] = []
    lines = describe(surface)[1:]
    for line, following in itertools.zip_longest(lines, lines[1:], fillvalue=""):
        if line.startswith(INDENT):
            parts.append(f"<li>{_with_whole_options(escape(line.strip()))}</li>")
            parts += [] if following.startswith(INDENT) else ["</ul>"]
        elif following.startswith(INDENT):
            parts.append(f"<h3>{escape(line)}</h3><ul>")
        else:
            parts.append(f"<p>{escape(line)}</p>")
    return "".join(parts)


def provenance_table(surface: Surface, provenance: Provenance) -> str:
    """Return the provenance of a surface as a table, and its runs as another."""
    rows = [("file", str(surface.path)), ("points", " × ".join(str(n) for n in surface.shape))]
    rows += _who(provenance)
    rows += _rows(surface.attributes, WHAT)
    rows += _rows(surface.about_directions, DIRECTIONS)
    rows += _rows(provenance.attributes, FROM)
    if provenance.point_seconds is not None:
        total = duration(provenance.point_seconds)
        rows.append(("time of all points on their ranks", total))
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in rows
    )
    table = f"<table><tbody>{body}</tbody></table>"
    if provenance.n_damaged_runs:
        table += f"<p>{describe_damaged(provenance.n_damaged_runs)}.</p>"
    return table + (_runs_table(provenance.runs) if provenance.runs else "")


def _who(provenance: Provenance) -> Iterator[tuple[str, str]]:
    """Say who began the file, where, and how long its runs took, or that this is unknown."""
    known = provenance.attributes
    yield "who ran it", _shown(known.get("user")) or UNSAID
    hosts = {run.texts["hosts"]: None for run in provenance.runs if run.texts.get("hosts")}
    yield "on which host", _shown(known.get("host")) or "; ".join(hosts) or UNSAID
    devices = {run.texts["devices"]: None for run in provenance.runs if run.texts.get("devices")}
    yield "on what hardware", "; ".join(devices) or _shown(known.get("devices")) or UNSAID
    took = [run.seconds for run in provenance.runs if run.seconds is not None]
    yield "how long its runs took", duration(sum(took)) if took else UNSAID
    yield "command that makes it again", command_of(provenance) or UNSAID


def command_of(provenance: Provenance) -> str | None:
    """Return the command that made a surface, None if its file does not have it."""
    return _shown(provenance.attributes.get("command")) or None


def _rows(known: Any, words: dict[str, str]) -> list[tuple[str, str]]:
    shown = [(words[name], _shown(known.get(name))) for name in words if name in known]
    return [(name, value) for name, value in shown if value]


def _runs_table(runs: Iterable[RunRecord]) -> str:
    head = "".join(f'<th scope="col">{escape(word)}</th>' for word in RUN_HEAD)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in _run_cells(number, run)) + "</tr>"
        for number, run in enumerate(runs, 1)
    )
    return (
        '<div class="wide"><table class="runs"><caption>the runs that computed it</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _run_cells(number: int, run: RunRecord) -> tuple[str, ...]:
    took = "" if run.seconds is None else duration(run.seconds)
    return (
        str(number),
        run.texts.get("user") or "unknown",
        f"{run.started:%F %T}",
        took,
        run.outcome or "running, or killed",
        f"{run.n_points:,}",
        str(run.n_ranks),
        run.texts.get("devices", ""),
        run.texts.get("hosts", ""),
    )


def duration(seconds: float) -> str:
    """Return a time in its two largest units."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def escape(text: str) -> str:
    """Return text so that HTML shows it as it is."""
    return html.escape(text, quote=True)


def _with_whole_options(words: str) -> str:
    """Mark the options in HTML, so that a browser breaks no line after their hyphens."""
    return OPTION.sub(r'<span class="option">\g<0></span>', words)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, np.ndarray):
        return ", ".join(_shown(item) for item in value.tolist())
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return "" if text in UNKNOWN else text
