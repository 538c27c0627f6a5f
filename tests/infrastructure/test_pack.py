"""A Python environment packed into one file, and ranks that run out of it on this node.

Oracle: the kernel's table of mounts, and the files that Python itself says its modules are from.
The environment is a small one; squashfs and the launcher are real.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from folders import ROOT

PROGRAMS = ("mksquashfs", "squashfuse", "unsquashfs")
# Ranks wait for one another, as in MPI. A rank that waits in vain ends with status 9.
SHOW = """
import json, pathlib, sys, time
import landscape_mpi, mine, tiny
places = [pathlib.Path(module.__file__) for module in (json, landscape_mpi, mine, tiny)]
own, status, n_ranks = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
own.write_text(" ".join(str(place) for place in places))
end = time.monotonic() + 200
while not all(own.with_name(str(rank)).exists() for rank in range(n_ranks)):
    if time.monotonic() > end:
        sys.exit(9)
    time.sleep(0.05)
sys.exit(status)
"""


@pytest.fixture(autouse=True)
def squashfs():
    lacks = [name for name in PROGRAMS if not shutil.which(name)]
    if lacks and os.environ.get("LANDSCAPE_EXPECT_SQUASHFS") == "1":
        pytest.fail(f"LANDSCAPE_EXPECT_SQUASHFS=1, but there is no {', '.join(lacks)}")
    if lacks:
        pytest.skip(f"no {', '.join(lacks)}: apt-get install squashfs-tools squashfuse")


def pack(folder, *words):
    own = {"PATH": os.pathsep.join([str(folder / "env/bin"), os.environ["PATH"]])}
    return subprocess.run(
        [ROOT / "launch/pack.sh", *words],
        cwd=folder,
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """An environment with a package, an editable install of this one, and a folder of modules."""
    folder = tmp_path_factory.mktemp("packed")
    make = [sys.executable, "-m", "venv", "--without-pip", str(folder / "env")]
    subprocess.run(make, check=True)
    (site,) = (folder / "env/lib").glob("python3*/site-packages")
    (site / "tiny.py").write_text("")
    (site / "editable.pth").write_text(f"{ROOT}\n")
    (folder / "src").mkdir()
    (folder / "src/mine.py").write_text("")
    done = pack(folder, "env.sqsh", "src")
    assert done.returncode == 0, done.stderr
    shutil.move(folder / "env", folder / "gone")  # so that the image is used
    shutil.move(folder / "src", folder / "also gone")
    (folder / "show.py").write_text(SHOW)
    return folder


@pytest.fixture
def run(packed, tmp_path):
    """Return a function that runs show.py on ranks, out of the image."""

    def run(status=0, n=2, **settings):
        own = {"LANDSCAPE_IMAGE": str(packed / "env.sqsh"), "LANDSCAPE_LOCAL": str(tmp_path)}
        line = f'exec python show.py "{tmp_path}/$OMPI_COMM_WORLD_RANK" {status} {n}'
        start = [ROOT / "launch/try_ranks.sh", str(n), ROOT / "launch/run_rank.sh"]
        environment = os.environ | own | settings
        environment.pop("PYTHONPATH", None)
        return subprocess.run(
            [*start, tmp_path / "status", "bash", "-c", line],
            cwd=packed,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def lock_in(folder):
    """Return the lock for mounting, which has the name of the mount."""
    (lock,) = set(folder.glob("*.lock")) - set(folder.glob("*.ranks.lock"))
    return lock


def mounts_in(folder):
    table = Path("/proc/self/mounts").read_text().splitlines()
    return [line.split()[1] for line in table if line.split()[1].startswith(str(folder))]


@pytest.mark.parametrize("status", [0, 75])
def test_all_comes_out_of_the_image_which_is_unmounted_at_the_end(status, run, tmp_path):
    done = run(status)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "status").read_text() == f"{status}\n"
    lock = lock_in(tmp_path)
    for rank in range(2):
        for place in (tmp_path / str(rank)).read_text().split():
            assert place.startswith(f"{lock.with_suffix('')}/"), place
    assert mounts_in(tmp_path) == []
    assert not lock.with_suffix("").exists()


def test_without_fuse_it_is_unpacked(run, tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "squashfuse").write_text(
        "#!/usr/bin/env bash\necho 'fuse: no device' >&2\nexit 1\n"
    )
    (programs / "squashfuse").chmod(0o755)
    done = run(PATH=os.pathsep.join([str(programs), os.environ["PATH"]]))
    assert done.returncode == 0, done.stderr
    lock = lock_in(tmp_path)
    assert str(lock.with_suffix("")) in (tmp_path / "0").read_text()
    assert not lock.with_suffix("").exists()


def test_what_a_killed_run_has_left_is_mounted_again(run, packed, tmp_path):
    """A mount whose process is gone answers nothing, and neither can a folder be made there."""
    assert run(n=1).returncode == 0
    lock = lock_in(tmp_path)
    place = lock.with_suffix("")
    place.mkdir()
    serving = subprocess.Popen(["squashfuse", "-f", packed / "env.sqsh", place])
    while not mounts_in(place):
        assert serving.poll() is None
    serving.kill()
    serving.wait()
    done = run(n=1)
    assert done.returncode == 0, done.stderr
    assert mounts_in(tmp_path) == []


def test_an_image_that_is_not_there_is_said(run):
    done = run(n=1, LANDSCAPE_IMAGE="/nowhere/env.sqsh")
    assert done.returncode == 1
    assert "LANDSCAPE_IMAGE=/nowhere/env.sqsh: there is no such file" in done.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "launch/pack.sh environment.sqsh [FOLDER ...]"),
        (("a.sqsh", "nowhere"), "pack: nowhere: no such folder"),
    ],
)
def test_what_cannot_be_packed_is_said(words, told, packed):
    (packed / "env").symlink_to(packed / "gone")
    try:
        done = pack(packed, *words)
    finally:
        (packed / "env").unlink()
    assert done.returncode != 0
    assert told in done.stderr
    assert not list(packed.glob("a.sqsh*"))


def test_two_folders_of_one_name_are_refused(packed):
    for name in ("one", "two"):
        (packed / name / "src").mkdir(parents=True, exist_ok=True)
    (packed / "env").symlink_to(packed / "gone")
    try:
        done = pack(packed, "b.sqsh", "one/src", "two/src")
    finally:
        (packed / "env").unlink()
    assert "two things in the image would be called src: rename a folder" in done.stderr
