"""The commands of the how-to pages, run in their order: small networks stand in for the page's own.

Oracle: each command ends with status 0 and leaves the files that it names, and those that the next
line of the page reads.
"""

import fcntl
import glob
import re
import shutil
import subprocess
import sys

import h5py
import pytest
from folders import ROOT
from libraries import HAS_GUDHI
from mpi4py import MPI
from test_docs import BLOCK, DOCS, command_lines, module_and_words, name_of

NETS = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    hidden = nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU()
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(8, 10))
"""
NETWORK = ["--model=nets:build", "--data=digits"]
SMALLER = {
    r"--model (resnet56|resnet20|vgg9)\b": "--model nets:build",
    r"--data cifar10\b": "--data digits",
    r"--data-dir /scratch/data": "",
    r"/scratch/me\b": ".",
    r"(--[xy]=[-.\d]+:[-.\d]+):201\b": r"\1:21",  # of adaptive runs, which begin with 11 points
    r"(--[xy]=[-.\d]+:[-.\d]+):(?!21\b)\d+": r"\1:3",
    r"--points 61\b": "--points 5",
    r"--epochs 40 --cycle 4\b": "--epochs 4 --cycle 2",
    r"epoch_0(160|020)\b": "epoch_0001",
    r"--epochs 20 --run resnet8\b": "--epochs 1 --run resnet8",
    r"epoch_0[23]00\b": "epoch_0003",
    r"--film resnet56.mp4": "--film resnet56.mp4 --seconds 0.2",
    r"(landscape_mpi\.train|curve train) (?!.*--epochs)": r"\1 --epochs 2 ",
    r"(landscape_mpi\.hessian) (?!.*--spectrum)": r"\1 --stride 2 ",
    r"(landscape_mpi\.plot) (?!.*--film)": r"\1 --dpi 40 ",
}
# Options that replace "..." in a line.
REST = {
    "--model": "nets:build",
    "--data": "digits",
    "--checkpoint": "resnet56.pt",
    "--x": "-1:1:3",
    "--y": "-1:1:3",
    "--out": "rest.h5",
}
OTHERS = ("adaptive.md", "sampling.md", "explanation/batch-norm.md")
HOW_TO = [*sorted((DOCS / "how-to").glob("*.md")), *(DOCS / page for page in OTHERS)]


def commands_of(page):
    """Return the lines of a page that run commands on this machine."""
    return [
        line
        for line in command_lines(page)
        if module_and_words(line) and not line.startswith("launch/")
    ]


@pytest.fixture(scope="module")
def stand_ins(on_ranks, tmp_path_factory):
    """A folder with the files that the pages take for granted."""
    folder = tmp_path_factory.mktemp("how_to")
    (folder / "nets.py").write_text(NETS)

    def run(*words):
        on_ranks(1, words, cwd=folder, check=True)

    train = ["landscape_mpi.train", *NETWORK, "--lr=0.1"]
    run(*train, "--epochs=3", "--run=RUN")
    for seed, name in enumerate(("A", "B", "C", "small_batch", "large_batch")):
        run(*train, "--epochs=1", f"--seed={seed}", f"--out={name}.pt")
    shutil.copy(folder / "A.pt", folder / "resnet56.pt")
    plane = ["--checkpoint=resnet56.pt", "--x=-1:1:5", "--y=-1:1:5", "--out=resnet56.h5"]
    run("landscape_mpi.surface", *NETWORK, *plane)
    for name in ("resnet56_noshort", "with", "without", "epoch_1", "epoch_2"):
        shutil.copy(folder / "resnet56.h5", folder / f"{name}.h5")
    return folder


def leaves_out_points(path):
    """Return whether some points of a surface are interpolated."""
    with h5py.File(path) as file:
        return bool((file["done"][:] == 2).any())


def fits_its_axes(words):
    """Return whether the axes of a surface are fit:51 by default, because it shows a path."""
    options = {word.partition("=")[0] for word in words}
    return "--directions" in options and "--x" not in options


def words_of(line):
    """Return the number of ranks, the module and the options with which a line is run."""
    for pattern, small in SMALLER.items():
        line = re.sub(pattern, small, line)
    n_ranks = re.match(r"mpirun -n (\d+)", line)
    name, words = module_and_words(line)
    if "..." in words:
        there = {word.partition("=")[0] for word in words}
        rest = [f"{option}={value}" for option, value in REST.items() if option not in there]
        words = [word for word in words if word != "..."] + rest
    return min(2, int(n_ranks[1]) if n_ranks else 1), f"landscape_mpi.{name}", words


@pytest.mark.parametrize("page", [page for page in HOW_TO if commands_of(page)], ids=name_of)
def test_the_commands_of_a_page_run_one_after_the_other(page, stand_ins, on_ranks, tmp_path):
    if not HAS_GUDHI and any("landscape_mpi.topology" in line for line in commands_of(page)):
        pytest.skip("gudhi has no wheel for this processor")
    folder = tmp_path / "folder"
    shutil.copytree(stand_ins, folder)
    for line in commands_of(page):
        if "--write parallel" in line and not h5py.get_config().mpi:
            continue  # refused here, with a message that has a test of its own
        n_ranks, name, words = words_of(line)
        paths = [
            sorted(glob.glob(word, root_dir=folder)) if "*" in word else [word] for word in words
        ]
        argv = [name, *(word for words in paths for word in words)]
        if name == "landscape_mpi.surface":  # not the one that stands in, with its own grid
            for out in re.findall(r"--out[= ](\S+)", " ".join(argv)):
                (folder / out).unlink(missing_ok=True)
        if name == "landscape_mpi.surface" and fits_its_axes(argv):
            said = on_ranks(n_ranks, [*argv, "--estimate"], cwd=folder, check=True).stdout
            assert "51 x 51 points on " in said, line
            argv += ["--x=fit:3", "--y=fit:3"]
        said = on_ranks(n_ranks, argv, cwd=folder, check=True).stdout
        for out in re.findall(r"--(?:out|film|render|run)[= ](\S+)", " ".join(argv)):
            assert (folder / out).exists(), line
            assert "--adaptive" not in line or leaves_out_points(folder / out), line
        for picture in re.findall(r"^\S+\.(?:png|pdf|html)$", said, re.MULTILINE):
            assert (folder / picture).exists(), line


# The other lines of these pages: what runs such a line, and the words in it that show so.
THIS = "tests/documentation/test_how_to.py"
RUN_ELSEWHERE = {
    r"make setup$": (".ci/run", "make setup"),
    r"\. \.venv/bin/activate$": ("Makefile", "demo: setup"),  # with the same PATH
    r"pip install '\.\[compute\]'$": ("tests/infrastructure/test_installed.py", '"install"'),
    r"launch/install_parallel_hdf5\.sh ": ("launch/set_up.sh", "install_parallel_hdf5.sh"),
    r"launch/pack\.sh ": ("tests/infrastructure/test_pack.py", "launch/pack.sh"),
    r"(export )?LANDSCAPE_IMAGE=": ("tests/infrastructure/test_pack.py", "LANDSCAPE_IMAGE"),
    r"launch/local\.sh ": ("tests/infrastructure/test_launch.py", "launch/local.sh"),
    r"podman ": ("tests/container.sh", "-f containers/Containerfile"),  # with Buildah
    r"printf |export ROMIO_HINTS=": (THIS, "def test_romio_takes_the_hints"),
    r"export HDF5_USE_FILE_LOCKING=": (THIS, "def test_another_program_reads_a_locked_file"),
    r"pip install build$|python -m build ": ("tests/infrastructure/test_installed.py", "sdist"),
}
NOT_RUN = {
    r"(mkdir surfaces && )?lfs ": "Lustre",
    r"apptainer |srun --mpi=pmix apptainer ": "Apptainer, which Debian 12 does not have",
    r"eb ": "hours: EasyBuild compiles all modules below this one",
    r"spack ": "Spack, which is in neither PyPI nor Debian",
    r"conda |pip install --no-deps --no-build-isolation \.": "the packages of conda-forge",
}


def test_every_other_line_of_the_pages_is_run_elsewhere_or_says_what_it_needs():
    known = [*RUN_ELSEWHERE, *NOT_RUN]
    found = {}
    for page in HOW_TO:
        for line in set(command_lines(page)) - set(commands_of(page)):
            found[name_of(page), line] = [one for one in known if re.match(one, line)]
    assert [line for line, matches in found.items() if len(matches) != 1] == []
    assert {one for matches in found.values() for one in matches} == set(known)


@pytest.mark.parametrize(("path", "words"), RUN_ELSEWHERE.values(), ids=RUN_ELSEWHERE)
def test_what_runs_a_line_elsewhere_is_there(path, words):
    assert words in (ROOT / path).read_text()


def lines_from(page, first):
    """Return the lines of the block of a page that begins with this word."""
    (block,) = [block for _, block in BLOCK.findall(page.read_text()) if block.startswith(first)]
    return block.splitlines()


FILE_SYSTEMS = DOCS / "how-to/file-systems.md"


def environment_after(lines, folder):
    """Return what the lines of a shell leave in its environment."""
    script = "\n".join([*lines, "env -0"])
    done = subprocess.run(["bash", "-euc", script], cwd=folder, capture_output=True, check=True)
    return dict(each.split("=", 1) for each in done.stdout.decode().split("\0") if each)


def test_romio_takes_the_hints_of_the_page(mpiexec, on_ranks, stand_ins, tmp_path):
    """ROMIO prints the hints that it uses, and rank 0 alone writes the same values."""
    if not h5py.get_config().mpi or "Open MPI" not in MPI.Get_library_version():
        pytest.skip("no parallel HDF5 on Open MPI, which has ROMIO as romio321")
    folder = tmp_path / "folder"
    shutil.copytree(stand_ins, folder)
    *lines, command = lines_from(FILE_SYSTEMS, "printf")
    hints = {"ROMIO_HINTS": environment_after(lines, folder)["ROMIO_HINTS"]}
    n_ranks, name, words = words_of(command)
    # As mpirun --mca does: try_ranks.sh may drop such a variable from its own environment.
    with_romio = ["env", "OMPI_MCA_io=romio321", sys.executable, "-m", name, *words]
    printed = hints | {"ROMIO_PRINT_HINTS": "1"}
    said = mpiexec(n_ranks, with_romio, cwd=folder, env=printed, check=True).stdout
    for hint in ("romio_cb_write", "romio_ds_write"):
        assert re.search(rf"key = {hint} +value = disable", said), said
    shutil.move(folder / "rest.h5", folder / "romio.h5")
    words[words.index("parallel")] = "gather"
    on_ranks(n_ranks, [name, *words], cwd=folder, check=True)
    with h5py.File(folder / "romio.h5") as file, h5py.File(folder / "rest.h5") as gathered:
        assert (file["train_loss"][:] == gathered["train_loss"][:]).all()


def test_another_program_reads_a_locked_file(stand_ins, tmp_path):
    """A lock stands in for a file system without locks: HDF5 fails at its own in both cases."""
    (line,) = lines_from(FILE_SYSTEMS, "export HDF5_USE_FILE_LOCKING")
    path = shutil.copy(stand_ins / "resnet56.h5", tmp_path)
    reads = [sys.executable, "-c", "import h5py, sys; h5py.File(sys.argv[1])", path]
    with open(path, "rb+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        refused = subprocess.run(reads, capture_output=True, text=True, check=False)
        env = environment_after([line], tmp_path)
        done = subprocess.run(reads, env=env, capture_output=True, text=True, check=False)
    assert "unable to lock file" in refused.stderr
    assert done.returncode == 0, done.stderr


def test_every_template_is_on_the_page_of_queues():
    text = (DOCS / "how-to/queues.md").read_text()
    found = [path for folder in ("slurm", "pbs", "lsf") for path in (ROOT / folder).iterdir()]
    templates = [path for path in found if path.name != "run_ranks.sh"]  # they read this one
    assert len(templates) > 10
    assert [path.name for path in templates if f"(../../{name_of(path)})" not in text] == []


def test_tutorials_have_tests_of_their_own():
    tested = (ROOT / "tests/documentation").glob("test_*.py")
    words = "".join(path.read_text() for path in tested)
    for page in (DOCS / "tutorials").glob("*.md"):
        assert f"tutorials/{page.name}" in words
