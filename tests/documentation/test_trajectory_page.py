"""The commands of examples/trajectory.md, taken from the page and run, smaller.

Oracle: the files that the page names; and that each of its options is still one.
"""

import re

import h5py
from folders import ROOT
from pages import run_command
from training_runs import write_run

SMALLER = (
    *(("--epochs 30", "--epochs 1"), ("epoch_0030", "epoch_0001"), ("fit:25", "fit:3")),
    (".plot build/path/surface.h5", ".plot build/path/surface.h5 --quantity train_loss"),
)


def commands():
    """Return the commands of the page, lines joined."""
    (block,) = re.findall(r"```sh\n(.*?)```", (ROOT / "examples/trajectory.md").read_text(), re.S)
    for old, new in SMALLER:
        assert old in block
        block = block.replace(old, new)
    lines = block.replace("\\\n", " ").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def test_the_commands_of_the_page_train_two_runs(tmp_path, on_ranks):
    for command in [line for line in commands() if ".train " in line]:
        run_command(command, on_ranks, tmp_path)
    assert len(list((tmp_path / "build/path/adam").glob("epoch_*.pt"))) == 2


def test_the_commands_of_the_page_lead_from_runs_to_pictures(tmp_path, on_ranks):
    for seed, name in enumerate(("sgd", "adam")):
        write_run(tmp_path / "build/path" / name, 1, seed=seed)
    for command in [line for line in commands() if ".train " not in line]:
        run_command(command, on_ranks, tmp_path)
    folder = tmp_path / "build/path"
    assert (folder / "surface_train_loss_contour.png").read_bytes().startswith(b"\x89PNG")
    assert (folder / "surface_path.vtp").exists()
    with h5py.File(folder / "surface.h5") as file:
        assert [run.attrs["name"] for run in file["trajectory"].values()] == ["sgd", "adam"]
