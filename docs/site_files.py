"""Put the pages of the whole repository into one site: mkdocs.yml names this file as its hook.

- Pages of ``examples/``, CONTRIBUTING.md and CHANGELOG.md stay where they are, and so do the
  pictures, scripts and tables that any page links to; the site has them under the same names.
- Links are those that work in a checkout; here they become those that work in the site.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, normpath, relpath
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
LINK = re.compile(r"(\]\()([^)\s#:]+)(#[^)\s]*)?(\))")
PAGES_ELSEWHERE = ("CONTRIBUTING.md", "CHANGELOG.md", "examples/*.md", "examples/*/*.md")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie elsewhere, and what pages link to."""
    for page in pages_elsewhere():
        files.append(file_in(page, config))
    known = {file.src_uri for file in files}
    for page in [*DOCS.rglob("*.md"), *pages_elsewhere()]:
        for path, _ in linked_files(page):
            if uri_of(path) not in known:
                known.add(uri_of(path))
                files.append(file_in(path, config))
    return files


def pages_elsewhere() -> list[Path]:
    """Return the pages outside docs/."""
    return sorted(path for pattern in PAGES_ELSEWHERE for path in ROOT.glob(pattern))


def file_in(path: Path, config: Any) -> File:
    """Return a file of the repository as a file of the site."""
    return File(uri_of(path), str(ROOT), config.site_dir, config.use_directory_urls)


def linked_files(page: Path) -> Iterator[tuple[Path, str]]:
    """Yield the files of the repository that a page links to, with the link as it stands."""
    for match in LINK.finditer(page.read_text()):
        path = Path(normpath(page.parent / match[2]))
        if path.is_file() and path.is_relative_to(ROOT):
            yield path, match[2]


def uri_of(path: Path) -> str:
    """Return where a file of the repository lies in the site's sources."""
    return path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT).as_posix()


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn the links of a page into those of the site."""
    source = Path(page.file.abs_src_path)
    targets = {link: uri_of(path) for path, link in linked_files(source)}

    def link_in_site(match: re.Match[str]) -> str:
        if match[2] not in targets:
            return match[0]
        target = relpath(targets[match[2]], dirname(page.file.src_uri) or ".")
        return f"{match[1]}{target}{match[3] or ''}{match[4]}"

    return LINK.sub(link_in_site, markdown)
