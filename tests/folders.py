"""Folders of the project, for tests that run its files: ROOT has the package, TESTS the tests."""

import shutil
from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent


def copy_sources(folder: Path, copy: Path) -> None:
    """Copy a folder without what Python makes of it, where other tests write in the meantime."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("__pycache__"))
