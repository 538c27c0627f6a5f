"""The first ten minutes on a GPU: whether the numbers are right, and what decides the speed.

    make bench-gpu                                       on the GPU that torch sees
    .venv/bin/python tests/benchmarks/gpu.py --part correctness     one part alone

Every part runs in a process of its own, in the order of what it decides, with its own time limit:
one that fails or hangs does not stop the next. Each prints one line of JSON as it ends, and all of
them are in build/bench-gpu.jsonl; the table follows. docs/gpu.md says what to look at.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import torch
from gpu_parts import PARTS, Asked, asked_of
from page import BENCHMARKS, replace_section, table

LINES = Path("build/bench-gpu.jsonl")
PREFIX = "part: "  # of the line that a part prints for its parent


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--model", default="resnet56")
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--batches", default="1024,2048,4096")
    parser.add_argument("--parts", default=",".join(PARTS), help="separated by commas")
    parser.add_argument("--part", choices=PARTS, help="run one part in this process")
    parser.add_argument("--limit-s", type=float, help="of each part (default: its own)")
    parser.add_argument("--lines", type=Path, default=LINES)
    parser.add_argument("--page", type=Path, help=f"write the table there too, as {BENCHMARKS}")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Run the parts, and return how many of them failed."""
    options = parse(arguments)
    asked = asked_of(options.device, options.model, options.images, options.batches)
    if not asked.device.is_host and not asked.device.visible():
        sys.exit(f"bench-gpu: torch {torch.__version__} sees no GPU here.")
    if options.part is not None:
        print(PREFIX + json.dumps(run_here(options.part, asked)), flush=True)
        return 0
    results = []
    options.lines.parent.mkdir(parents=True, exist_ok=True)
    with options.lines.open("w") as file:
        for name in options.parts.split(","):
            results.append(run_apart(name, arguments, options.limit_s))
            line = json.dumps(results[-1])
            print(line, flush=True)
            file.write(line + "\n")
            file.flush()
    report(results, asked, options.page)
    return sum("error" in result for result in results)


def run_here(name: str, asked: Asked) -> dict[str, Any]:
    """Run a part, and return what it found or how it failed."""
    work, _ = PARTS[name]
    try:
        return {"found": work(asked)}
    except Exception as problem:
        traceback.print_exc()
        return {"error": f"{type(problem).__name__}: {' '.join(str(problem).split())[:300]}"}


def run_apart(name: str, arguments: list[str], limit_s: float | None) -> dict[str, Any]:
    """Run a part in a process of its own, which is ended at its time limit."""
    _, usual_s = PARTS[name]
    command = [sys.executable, __file__, *arguments, "--part", name]
    began, result = time.perf_counter(), {}
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, timeout=limit_s or usual_s, check=False
        )
    except subprocess.TimeoutExpired as problem:
        result = {"error": f"not done after {problem.timeout:g} s"}
    else:
        lines = [line for line in done.stdout.splitlines() if line.startswith(PREFIX)]
        ended = {"error": f"the process ended with status {done.returncode}"}
        result = json.loads(lines[-1].removeprefix(PREFIX)) if lines else ended
    return {"part": name, "seconds": round(time.perf_counter() - began, 1), **result}


def report(results: list[dict[str, Any]], asked: Asked, page: Path | None) -> None:
    """Print the table, and write it into a page."""
    rows = [row for result in results for row in rows_of(result)]
    lines = [
        f"`make bench-gpu`, {date.today():%d %B %Y}, torch {torch.__version__}, "
        f"{os.cpu_count()} cores: {asked.model}, {asked.n_images:,} images of 32 x 32.",
        "",
        *table(("part", "seconds", "what", "found"), rows),
    ]
    print("\n".join(lines), flush=True)
    if page is not None:
        replace_section(page, f"On {asked.device.describe()}", lines)


def rows_of(result: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the rows of a part; the first has its name and its time."""
    begin = result["part"], f"{result['seconds']:g}"
    found = flat(result["found"]) if "found" in result else {"FAILED": result["error"]}
    for what, value in found.items():
        words = f"{value:.4g}" if isinstance(value, float) else str(value)
        yield (*begin, what, words)
        begin = "", ""


def flat(found: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested findings with names that are joined by commas."""
    parts: dict[str, Any] = {}
    for name, value in found.items():
        whole = f"{prefix}{name}"
        parts |= flat(value, f"{whole}, ") if isinstance(value, Mapping) else {whole: value}
    return parts


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
