"""The page of the paper's figures.

Oracle: the table of planes, made again from the planes beside the page and from the surfaces that
the paper's authors published.
"""

import subprocess
import sys

import pytest
from folders import ROOT

PAPER = ROOT / "examples/paper"


def test_the_table_of_planes_is_that_of_the_files(data_dir):
    surfaces = data_dir / "li2018/surfaces"
    if not surfaces.is_dir():
        pytest.skip("LANDSCAPE_DATA has no li2018/surfaces")
    made = subprocess.run(
        [sys.executable, PAPER / "planes_table.py", surfaces],
        capture_output=True,
        text=True,
        check=True,
    )
    assert made.stdout.count("\n") == 14
    assert made.stdout in (PAPER / "README.md").read_text()
