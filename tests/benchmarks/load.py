"""Measure how long Chromium takes to load a page from the disk, with all its pictures.

    python tests/benchmarks/load.py build/site/examples/gallery/index.html

Prints seconds from the start of the navigation to the load event: the median of five new browsers,
and the range.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
from chromium import Chromium, find_chromium

LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"
TIMES = 5


def seconds_to_load(page: Path, program: str) -> float:
    """Return the seconds that a new browser takes.

    Raises:
        ValueError: If a picture of the page is missing.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        browser = Chromium(program, Path(folder))
        try:
            browser.resize(1280, 900)
            browser.call("Page.navigate", url=page.resolve().as_uri())
            browser.wait(f"location.protocol === 'file:' && {LOADED} > 0")
            if not browser.run("[...document.images].every((image) => image.naturalWidth > 0)"):
                raise ValueError(f"{page}: a picture of the page is missing.")
            return float(browser.run(LOADED)) / 1000
        finally:
            browser.close()


def main() -> None:
    """Measure, and print the numbers."""
    program = find_chromium()
    if program is None:
        sys.exit("no chromium on PATH: apt-get install chromium")
    seconds = [seconds_to_load(Path(sys.argv[1]), program) for _ in range(TIMES)]
    print(f"{statistics.median(seconds):.2f} s ({min(seconds):.2f} to {max(seconds):.2f})")


if __name__ == "__main__":
    main()
