"""A wheel and an sdist of this package, used from a folder that has none of its source.

Oracles: the files that git tracks; the pictures and meshes that the source tree draws of the same
file; a Python in which torch, mpi4py and plotly cannot be imported.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from folders import ROOT, copy_sources
from surface_files import write_surface
from test_entry_point import NETWORK

from landscape_mpi.errors import EXIT_BAD_INPUT

SCRIPTS = ("launch", "slurm", "pbs", "lsf")
SOURCES = (
    "landscape_mpi",
    *SCRIPTS,
    "setup.py",
    "setup.cfg",
    "README.md",
    "LICENSE",
    "MANIFEST.in",
    "CITATION.cff",
    "requirements.lock",
    "recipes",
)
OF_MPI = ("OMPI_COMM_", "PMIX_", "PMI_")  # say that a launcher started this process
ABSENT = "raise ModuleNotFoundError(f'No module named {__name__!r}', name=__name__)\n"


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Return a copy of the sources."""
    folder = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            copy_sources(ROOT / name, folder / name)
        else:
            shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(sources):
    """Return a wheel built from a copy of the sources, with what this environment has."""
    return build_wheel(sources, sources / "dist")


def build_wheel(of, folder):
    words = ["wheel", "--no-deps", "--no-build-isolation", "-w", str(folder), str(of)]
    pip(words, folder.parent)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def sdist(sources):
    """Return the source file beside the recipe of EasyBuild, as ``python -m build`` makes it."""
    place = sources / "recipes/easybuild"
    (place / "of_another_module.tar.gz").write_bytes(b"left by EasyBuild")
    script = f"from setuptools.build_meta import build_sdist; build_sdist({str(place)!r})"
    argv = [sys.executable, "-c", script]
    done = subprocess.run(argv, cwd=sources, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(place.glob("landscape_mpi-*.tar.gz"))


def pip(words, folder):
    argv = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def elsewhere(wheel, tmp_path_factory):
    """Return a function that runs the installed package in a folder of its own."""
    folder = tmp_path_factory.mktemp("elsewhere")
    site, light = folder / "site", folder / "light"
    pip(["install", "--no-deps", "--target", str(site), str(wheel)], folder)
    light.mkdir()
    for name in ("torch", "mpi4py", "plotly"):
        (light / f"{name}.py").write_text(ABSENT)

    def run(words, *, is_light=True):
        path = [str(light), str(site)] if is_light else [str(site)]
        own = {name: value for name, value in os.environ.items() if not name.startswith(OF_MPI)}
        env = own | {"PYTHONPATH": os.pathsep.join(path)}
        argv = [str(site / "bin/landscape-mpi"), *words]
        return subprocess.run(
            argv, cwd=folder, env=env, capture_output=True, text=True, check=False
        )

    run.folder = folder
    alpha, beta = np.linspace(-1, 1, 5), np.linspace(-1, 1, 4)
    heights = 0.1 + alpha[:, None] ** 2 + beta**2
    write_surface(folder / "bowl.h5", alpha, beta, {"train_loss": heights})
    return run


def test_the_wheel_has_every_file_of_the_package(wheel):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "landscape_mpi"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if listed.returncode != 0:
        pytest.skip(f"git does not list the files: {listed.stderr}")
    there = [name for name in listed.stdout.split() if (ROOT / name).exists()]
    packed = [n for n in zipfile.ZipFile(wheel).namelist() if n.startswith("landscape_mpi/")]
    assert sorted(n for n in packed if not n.startswith("landscape_mpi/scripts/")) == sorted(there)


def test_the_sdist_has_the_scripts_and_the_recipes_and_builds_the_same_wheel(
    sources, sdist, wheel, tmp_path
):
    """The recipe of EasyBuild names this file, and installs the package from it."""
    (easyconfig, *_) = sdist.parent.glob("*.eb")
    assert easyconfig.name.startswith(sdist.name.removesuffix(".tar.gz"))
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    folders = [sources / name for name in (*SCRIPTS, "recipes")]
    files = [p for folder in folders for p in folder.rglob("*") if p.is_file()]
    files = [path for path in files if path.suffix != ".gz"]
    assert len(files) > 20
    assert {p.relative_to(sources).as_posix() for p in files} <= packed
    assert not any(name.endswith(".tar.gz") for name in packed)
    (tmp_path / "made").mkdir()
    again = build_wheel(sdist, tmp_path / "made")
    assert names_in(again) == names_in(wheel)


def names_in(wheel):
    return sorted(zipfile.ZipFile(wheel).namelist())


def test_the_installed_package_writes_the_scripts_of_jobs(elsewhere):
    done = elsewhere(["templates", "jobs"])
    assert done.returncode == 0, done.stderr
    folder = elsewhere.folder
    written = [folder / name for name in done.stdout.split()]
    places = {str(path.relative_to(folder / "jobs")) for path in written}
    queues = {str(p.relative_to(ROOT)) for n in SCRIPTS[1:] for p in (ROOT / n).iterdir()}
    assert queues < places
    assert places - queues >= {"launch/bind_rank.sh", "launch/run_ranks.sh"}
    for place in places:
        ours = ROOT / place
        assert (folder / "jobs" / place).read_bytes() == ours.read_bytes()
        assert os.access(folder / "jobs" / place, os.X_OK) == os.access(ours, os.X_OK), place
    local = ["launch/local.sh", "plot"]  # it knows the commands of the installed package
    of_this = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = os.environ | {"PYTHONPATH": str(folder / "site"), "PATH": of_this}
    refused = subprocess.run(local, cwd=folder / "jobs", env=env, capture_output=True, text=True)
    assert refused.stderr.startswith("local: plot is not a command that runs on ranks; these are: ")
    assert " surface " in refused.stderr
    assert elsewhere(["templates", "jobs"]).stdout == ""


def test_a_script_that_was_edited_is_kept(elsewhere):
    own = elsewhere.folder / "kept/launch/environment.sh"
    own.parent.mkdir(parents=True)
    own.write_text("module load ours\n")
    done = elsewhere(["templates", "kept"])
    assert own.read_text() == "module load ours\n"
    words = "kept, because they differ from those of this version: kept/launch/environment.sh"
    assert words in done.stdout
    assert elsewhere(["templates", "kept", "--overwrite"]).stdout.split() == [
        "kept/launch/environment.sh"
    ]
    assert own.read_text() != "module load ours\n"


def test_scripts_where_nothing_can_be_written(elsewhere):
    (elsewhere.folder / "file").write_text("")
    done = elsewhere(["templates", "file"])
    assert done.returncode == EXIT_BAD_INPUT
    assert done.stderr.startswith("error: file/launch/bind_rank.sh: cannot be written: ")


def test_a_folder_in_the_place_of_a_script(elsewhere):
    (elsewhere.folder / "taken/launch/gpus.sh").mkdir(parents=True)
    done = elsewhere(["templates", "taken", "--overwrite"])
    assert done.returncode == EXIT_BAD_INPUT
    words = "taken/launch/gpus.sh: is a directory, but a script has this name. Name another folder."
    assert done.stderr == f"error: {words}\n"


def test_pictures_and_meshes_need_neither_torch_nor_mpi(elsewhere, tmp_path):
    shutil.copy(elsewhere.folder / "bowl.h5", tmp_path)
    for words in (
        ["plot", "bowl.h5", "--quantity=train_loss", "--kind=contour", "--dpi=50"],
        ["vtp", "bowl.h5", "--paraview"],
    ):
        done = elsewhere(words)
        assert done.returncode == 0, done.stderr
        argv = [sys.executable, "-m", f"landscape_mpi.{words[0]}", *words[1:]]
        subprocess.run(argv, cwd=tmp_path, env=source_tree(), capture_output=True, check=True)
    for name in ("bowl_train_loss_contour.png", "bowl.vtp", "bowl_paraview.py"):
        assert (elsewhere.folder / name).read_bytes() == (tmp_path / name).read_bytes(), name


def source_tree():
    return os.environ | {"PYTHONPATH": str(ROOT)}


def test_a_page_has_its_own_files_with_it(elsewhere, tmp_path):
    done = elsewhere(["report", "bowl.h5", "--out=page.html"], is_light=False)
    assert done.returncode == 0, done.stderr
    page = (elsewhere.folder / "page.html").read_text()
    for script in sorted((ROOT / "landscape_mpi/views/report/script").glob("*.js")):
        first = next(line for line in script.read_text().splitlines() if "function" in line)
        assert first.strip() in page, script.name


@pytest.mark.parametrize(
    ("words", "package", "extra"),
    [
        (["report", "bowl.h5"], "plotly", "report"),
        (["train", "--model=cnn1", "--data=digits", "--out=a.pt"], "torch", "compute"),
        (["surface", "--model=cnn1", "--data=digits", "--x=0", "--out=a.h5"], "mpi4py", "compute"),
    ],
)
def test_a_light_installation_names_the_extra(elsewhere, words, package, extra):
    done = elsewhere(words)
    assert done.returncode == EXIT_BAD_INPUT
    assert package in done.stderr
    assert f"pip install 'landscape_mpi[{extra}]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_of_python_in_a_light_installation_names_the_extra(elsewhere):
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(elsewhere.folder / name) for name in ("light", "site"))
    }
    code = "import landscape_mpi as lm; print(lm.open_surface('bowl.h5')); lm.compute_surface"
    argv = [sys.executable, "-c", code]
    done = subprocess.run(argv, cwd=elsewhere.folder, env=env, capture_output=True, text=True)
    assert done.stdout.startswith("<LossSurface bowl.h5: ")
    assert "InputError: compute_surface needs torch, which is not installed here." in done.stderr
    assert "pip install 'landscape_mpi[compute]'" in done.stderr


def test_the_doctor_of_a_light_installation(elsewhere):
    done = elsewhere(["doctor"])
    assert done.returncode == EXIT_BAD_INPUT
    assert done.stdout.startswith("versions    landscape_mpi ")
    assert "wrong: MPI cannot be started here: No module named 'mpi4py'. C" in done.stdout
    assert "wrong: torch is not installed here." in done.stdout
    assert done.stderr == ""


def test_the_installed_package_computes_on_ranks(elsewhere, mpiexec):
    folder = elsewhere.folder
    script = folder / "site/bin/landscape-mpi"
    (folder / "net.py").write_text(NETWORK)
    words = ["surface", "--model=net:network", "--data=digits", "--limit=20", "--x=-1:1:3"]
    where = {"PYTHONPATH": str(folder / "site")}
    argv = [sys.executable, script, *words, "--device=cpu", "--out=line.h5"]
    mpiexec(2, argv, cwd=folder, env=where, check=True)
    shown = elsewhere(["surface", "--status", "line.h5"])
    assert "3 of 3 points" in shown.stdout, shown.stdout + shown.stderr
