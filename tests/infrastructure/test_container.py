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

SMALL_PROGRAMS = ("bash", "df", "dirname", "id", "paste", "realpath", "sed", "tail", "unshare")


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


def give_all(programs):
    """Let a folder of programs be a machine on which the check would begin."""
    for name, script in {
        "buildah": "exit 1",
        "debootstrap": "exit 1",
        "id": "echo 0",
        "unshare": "exit 0",
        "df": "echo Avail; echo 10",
    }.items():
        stand_in_for(programs / name, script)


def stand_in_for(program, script):
    program.unlink(missing_ok=True)
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


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


@pytest.mark.parametrize(
    ("program", "script", "told"),
    [
        (
            "unshare",
            "echo 'unshare failed: Operation not permitted' >&2; exit 1",
            "permission to mount",
        ),
        ("df", "echo Avail; echo 9", "10 GB of free disk"),
    ],
)
def test_a_machine_on_which_it_cannot_run_is_said(check, folder, tmp_path, program, script, told):
    give_all(tmp_path / "programs")
    assert check("missing").stdout == ""
    stand_in_for(tmp_path / "programs" / program, script)
    assert check("missing").stdout.splitlines() == [told]
    done = check(folder)
    assert done.returncode == 1
    assert f"this machine lacks {told}" in done.stderr
    assert (folder / "file").read_text() == "kept"


def test_it_does_not_empty_a_folder_that_it_did_not_make(check, folder, tmp_path):
    give_all(tmp_path / "programs")
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
