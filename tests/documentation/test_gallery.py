"""The gallery: its pictures are there and small, and its commands are ones.

Oracles: the parsers of the commands; the files beside the page.
"""

import importlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from folders import ROOT
from PIL import Image

GALLERY = ROOT / "examples/gallery"
PAGE = (GALLERY / "README.md").read_text()
MOST_BYTES = 200_000


def parse(words):
    """Parse ``… -m landscape_mpi.COMMAND …``; an unknown option is an error."""
    name, *options = words[words.index("-m") + 1 :]
    module = importlib.import_module(name)
    if hasattr(module, "make_parser"):
        return module.make_parser().parse_args(options)
    return module.parse(options)


def test_every_picture_of_the_page_is_there_and_none_besides():
    named = re.findall(r"!\[[^]]*\]\(([^)]+)\)", PAGE)
    assert sorted(named) == sorted(path.name for path in GALLERY.iterdir() if path.suffix != ".md")
    assert len(named) > 15
    for name in named:
        assert (GALLERY / name).stat().st_size < MOST_BYTES
        with Image.open(GALLERY / name) as picture:
            assert min(picture.size) > 150
            assert len(picture.convert("RGB").getcolors(1 << 20)) > 20


def test_the_script_writes_the_paragraphs_of_the_page():
    """Words that are on the page alone would be lost when it is written again."""
    script = (ROOT / "examples/gallery_pictures.sh").read_text().replace("\\`", "`")
    paragraphs = [part.strip() for part in re.sub(r"```.*?```", "", PAGE, flags=re.S).split("\n\n")]
    written = [part for part in paragraphs if part and not part.startswith("![")]
    assert len(written) > 5
    assert [part for part in written if part not in script] == []


@pytest.mark.parametrize("command", re.findall(r"```\n(python .*)\n```", PAGE))
def test_a_command_of_the_page_is_one(command):
    parse(shlex.split(command))


@pytest.fixture
def run_script(tmp_path):
    """Run a script as it is; in the place of Python and mpirun stands what says its words."""
    for name in ("python", "mpirun"):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text('#!/bin/sh\nprintf "%s\\n" "$*"\n')
        program.chmod(0o755)
    path = os.pathsep.join([str(tmp_path / "bin"), os.environ["PATH"]])

    def run(name, **environment):
        words = ["bash", str(ROOT / "examples" / name), "out"]
        settings = os.environ | environment | {"PATH": path}
        done = subprocess.run(
            words, env=settings, cwd=tmp_path, check=True, capture_output=True, text=True
        )
        return done.stdout

    return run


def test_every_command_of_the_script_is_one(run_script, tmp_path):
    made = run_script("gallery.sh").split()
    assert len(made) > 20
    for name in made:
        words = shlex.split((tmp_path / f"out/{name}.txt").read_text())
        parse(words)


def test_the_commands_for_the_paper_s_figures_are_ones(run_script, tmp_path):
    given = {"WEIGHTS": "weights", "IMAGES": "images.npz", "LANDSCAPE_DATA": "data"}
    computed = run_script("paper/planes.sh", **given).splitlines()
    computed += run_script("paper/trajectory.sh", **given).splitlines()
    computed += run_script("paper/batches.sh", **given).splitlines()
    computed += run_script("paper/small_networks.sh", **given).splitlines()
    trained = [path.read_text() for path in (tmp_path / "out").glob("*.txt")]
    assert (len(computed), len(trained)) == (20 + 4 + 2 + 11, 12 + 4)
    for line in computed + trained:
        parse(shlex.split(line))


def test_the_pictures_of_the_paper_s_page_are_there(tmp_path):
    """Pictures of the surfaces in the repository are drawn again, with the same names and sizes."""
    page = ROOT / "examples/paper/README.md"
    named = set(re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text()))
    assert named == {path.name for path in page.parent.glob("*.png")}
    script = page.parent / "pictures.sh"
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    settings = os.environ | {"SURFACES": "", "PATH": path}
    subprocess.run([script, tmp_path], env=settings, check=True, capture_output=True)
    drawn = [path.name for path in tmp_path.glob("*.png")]
    assert len(drawn) >= 5
    for name in drawn:
        with Image.open(tmp_path / name) as again, Image.open(page.parent / name) as kept:
            assert again.size == kept.size
            assert len(kept.convert("RGB").getcolors(1 << 20)) > 20
