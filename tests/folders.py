"""Folders of the project, for tests that run its files: ROOT has the package, TESTS the tests."""

from pathlib import Path

TESTS = Path(__file__).parent
ROOT = TESTS.parent
