"""The commands of the how-to pages, run in their order: small networks stand in for the page's own.

Oracle: each command ends with status 0 and leaves the files that it names, and those that the next
line of the page reads.
"""

import glob
import re
import shutil

import h5py
import pytest
from folders import ROOT
from libraries import HAS_GUDHI
from test_docs import DOCS, command_lines, module_and_words, name_of

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
        said = on_ranks(n_ranks, argv, cwd=folder, check=True).stdout
        for out in re.findall(r"--(?:out|film|render|run)[= ](\S+)", " ".join(argv)):
            assert (folder / out).exists(), line
            assert "--adaptive" not in line or leaves_out_points(folder / out), line
        for picture in re.findall(r"^\S+\.(?:png|pdf|html)$", said, re.MULTILINE):
            assert (folder / picture).exists(), line


def test_every_line_of_the_pages_is_run_or_known_not_to_be():
    """The other lines are of other programs, or other tests run them."""
    left = r"make |pip |podman |apptainer |srun |export |launch/|LANDSCAPE_IMAGE=|\. \.venv|printf "
    left += r"|lfs |mkdir surfaces && lfs "  # of Lustre, which is not here
    left += r"|python -m build |eb |spack |conda "  # of recipes, which have tests of their own
    for page in HOW_TO:
        for line in command_lines(page):
            assert line in commands_of(page) or re.match(left, line), f"{page}: {line}"


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
