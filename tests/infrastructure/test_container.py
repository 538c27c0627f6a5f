"""The container: what its check says where it cannot run, and what the Apptainer definition copies.

make test-container builds the image and runs it. Oracles here: a PATH on which Buildah is really
absent, and the inputs that set-up and the package name themselves.
"""

import os
import re
import shutil
import subprocess

import pytest
from folders import ROOT

from landscape_mpi.templates import SCRIPTS

SMALL_PROGRAMS = ("bash", "dirname", "id", "paste", "realpath", "sed")


@pytest.fixture
def check(tmp_path):
    """Run the script with these words where only the small programs are on PATH."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in SMALL_PROGRAMS:
        (programs / name).symlink_to(shutil.which(name))

    def run(*words):
        return subprocess.run(
            ["bash", ROOT / "tests/container.sh", *words],
            env={"PATH": os.fspath(programs)},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


@pytest.fixture
def folder(tmp_path):
    """A folder that is somebody's."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "file").write_text("kept")
    return folder


def test_without_words_it_tells_its_use(check):
    done = check()
    assert done.returncode == 2
    assert "tests/container.sh FOLDER" in done.stderr


def test_it_names_what_it_lacks(check):
    done = check("missing")
    assert done.returncode == 0, done.stderr
    assert "buildah" in done.stdout.split()


def test_it_refuses_to_begin_where_it_lacks_something(check, folder):
    done = check(folder)
    assert done.returncode == 1
    assert "buildah" in done.stderr
    assert "tests/container.sh install" in done.stderr
    assert (folder / "file").read_text() == "kept"


def test_it_does_not_empty_a_folder_that_it_did_not_make(check, folder, tmp_path):
    for name in ("buildah", "debootstrap", "id"):
        stand_in = tmp_path / "programs" / name
        stand_in.unlink(missing_ok=True)
        stand_in.write_text("#!/bin/sh\necho 0\n")
        stand_in.chmod(0o755)
    done = check(folder)
    assert done.returncode == 1
    assert f"{folder} exists and is not of an earlier check" in done.stderr
    assert (folder / "file").read_text() == "kept"


def test_the_apptainer_definition_copies_what_set_up_and_the_package_need():
    text = (ROOT / "containers/landscape_mpi.def").read_text()
    lines = re.search(r"^%files\n(.*?)\n\n", text, re.MULTILINE | re.DOTALL)[1].splitlines()
    patterns, places = zip(*(line.split() for line in lines), strict=True)
    assert set(places) == {"/opt/landscape_mpi/"}
    copied = {path.name for pattern in patterns for path in ROOT.glob(pattern)}
    assert all(list(ROOT.glob(pattern)) for pattern in patterns)
    inputs = re.search(r"INPUTS=\((.*?)\)", (ROOT / "launch/set_up.sh").read_text(), re.DOTALL)[1]
    needed = {*inputs.split(), "README.md", "landscape_mpi", "containers", *SCRIPTS}
    assert {name.partition("/")[0] for name in needed} <= copied
    assert copied.isdisjoint({".venv", ".git", "build"})
