"""The examples of CONTRIBUTING.md are written into a copy of the package, and run.

Oracles: a plain torch loop over the points of the data set's own closed form; the ratio of two
directions that the file keeps; numpy's norm of weights moved by them; numpy's differences of the
values in the file, beside the arrows that matplotlib drew; ruff with the rules of the house.
"""

import json
import os
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import torch
from folders import ROOT, copy_sources
from torch import nn

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
BLOCKS = re.findall(r"```python\n# (landscape_mpi/\S+?)(?:: (\w+))?\n(.*?)```", PAGE, re.DOTALL)
FILES = {path: code for path, table, code in BLOCKS if not table}
LINES = {table: line for _, table, line in BLOCKS if table}
NAMES = {
    "DATA_SETS": "moons[:SEED]",
    "NETWORKS": "perceptron16",
    "NORMALIZATIONS": "rms",
    "PICTURES": "arrows",
    "QUANTITIES": "weight_norm",
}
IN_ONE_PROCESS = """
import json, os, runpy, sys
for sys.argv in json.loads(sys.argv[1]):
    try:
        if sys.argv[0].endswith(".py"):
            sys.path.insert(0, os.path.dirname(sys.argv[0]))
            runpy.run_path(sys.argv[0], run_name="__main__")
        else:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code:
            raise
    print(end="\\f", flush=True)
"""
NETWORK = "--model=perceptron8 --data=moons:3 --device=cpu"
PLANE = "--x=-1:1:3 --y=-0.5:0.5:4 --ignore=none --save-directions --also=weight_norm"
SURFACE = f"landscape_mpi.surface {NETWORK} --checkpoint=net.pt {PLANE}"
PLOT = "--kind=arrows --quantity=train_loss"
COMMANDS = {
    "training": f"landscape_mpi.train {NETWORK} --epochs=3 --lr=0.1 --out=net.pt",
    "rms": f"{SURFACE} --normalize=rms --out=rms.h5",
    "none": f"{SURFACE} --normalize=none --out=none.h5",
    "picture": f"landscape_mpi.plot rms.h5 {PLOT} --dpi=40",
    "comparison": f"landscape_mpi.plot rms.h5 none.h5 {PLOT} --compare --format=svg",
    "arrows": "./print_arrows.py",
    "help": "landscape_mpi.surface --help",
    "quantities": "landscape_mpi.surface --list=quantities",
    "pictures": "landscape_mpi.plot --help",
    "kinds": "landscape_mpi.plot --list=kinds",
    "data": "landscape_mpi.train --list=data",
    "models": "landscape_mpi.train --list=models",
    "tables": "docs/tables.py",
}
PRINT_ARROWS = """
from landscape_mpi.registry import PICTURES
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.levels import ScaleRequest
from landscape_mpi.views.panel import make_panel

panel = make_panel(read_surface("rms.h5"), "train_loss", ScaleRequest("linear"))
figure = PICTURES["arrows"](panel)
(quiver,) = [each for each in figure.axes[0].collections if hasattr(each, "U")]
print(*quiver.U.ravel())
"""


def test_each_thing_is_one_short_file_and_one_line():
    assert LINES.keys() == NAMES.keys()
    assert len(FILES) == len(LINES)
    for code in FILES.values():
        assert sum(bool(line.strip()) for line in code.splitlines()) < 20
    for table, line in LINES.items():
        assert line.startswith(f'"{NAMES[table]}": "')
        assert line.count("\n") == 1


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Return a function that runs Python in a copy of the package with all that the page adds."""
    folder = tmp_path_factory.mktemp("house")
    copy_sources(ROOT / "landscape_mpi", folder / "landscape_mpi")
    copy_sources(ROOT / "docs", folder / "docs")
    for name in ("ruff.toml", "setup.cfg"):
        shutil.copy(ROOT / name, folder)
    for path, code in FILES.items():
        assert not (folder / path).exists()
        (folder / path).write_text(code)
    registry = folder / "landscape_mpi" / "registry.py"
    text = registry.read_text()
    for table, line in LINES.items():
        text, n = re.subn(
            rf"(\n{table}: .*?\n    {{\n)", rf"\1        {line}", text, flags=re.DOTALL
        )
        assert n == 1
    registry.write_text(text)

    environment = os.environ | {"PYTHONPATH": str(folder)}

    def run(*words):
        argv = [sys.executable, *words]
        done = subprocess.run(
            argv, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run.folder = folder
    return run


@pytest.fixture(scope="module")
def printed(house):
    """Return what each command printed; one process runs all, so that torch is loaded once."""
    (house.folder / "print_arrows.py").write_text(PRINT_ARROWS)
    commands = [command.split() for command in COMMANDS.values()]
    *texts, rest = house("-c", IN_ONE_PROCESS, json.dumps(commands)).split("\f")
    assert rest == ""
    return dict(zip(COMMANDS, texts, strict=True))


@pytest.fixture(scope="module")
def surfaces(house, printed):
    """Return surface files by how their directions are scaled, of the network in net.pt."""
    return {name: house.folder / f"{name}.h5" for name in ("rms", "none")}


@pytest.fixture(scope="module")
def trained(surfaces):
    return surfaces["rms"].with_name("net.pt")


def moons(seed):
    """Return the training points and classes of the page, by the formula of two half circles."""
    draws = np.random.default_rng(seed)
    targets, turn = draws.integers(0, 2, 1000), np.pi * draws.random(1000)
    upper = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    points = np.where(targets[:, None] == 0, upper, np.array([1.0, 0.5]) - upper)
    points += 0.1 * draws.standard_normal((1000, 2))
    return torch.tensor(points[:800], dtype=torch.float32), torch.tensor(targets[:800])


def state_of(path):
    content = torch.load(path, weights_only=True)
    return next(
        value for value in content.values() if isinstance(value, dict) and "0.weight" in value
    )


def test_the_data_set_and_the_network_are_trained_and_evaluated(trained, surfaces):
    inputs, targets = moons(3)
    network = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    center = {name: values.double() for name, values in state_of(trained).items()}
    with h5py.File(surfaces["rms"]) as file:
        for i, j in ((0, 0), (1, 2), (2, 3)):
            moved = {
                name: values
                + file["alpha"][i] * torch.tensor(file[f"directions/alpha/{name}"][()])
                + file["beta"][j] * torch.tensor(file[f"directions/beta/{name}"][()])
                for name, values in center.items()
            }
            outputs = torch.func.functional_call(network, moved, inputs.double())
            loss = nn.functional.cross_entropy(outputs, targets)
            assert file["train_loss"][i, j] == pytest.approx(float(loss), rel=1e-6)


def test_the_normalisation_scales_by_the_root_mean_square(trained, surfaces):
    with h5py.File(surfaces["rms"]) as scaled, h5py.File(surfaces["none"]) as plain:
        for name, values in state_of(trained).items():
            where = f"directions/alpha/{name}"
            factor = float(values.double().square().mean().sqrt())
            np.testing.assert_allclose(scaled[where], factor * plain[where][()], rtol=1e-6)
        assert scaled["directions"].attrs["normalize"] == "rms"


def test_the_quantity_is_stored_beside_the_loss(trained, surfaces):
    center = state_of(trained)
    with h5py.File(surfaces["rms"]) as file:
        found = file["train_weight_norm"]
        assert (found.attrs["units"], file.attrs["also"]) == ("1", "weight_norm")
        assert found.attrs["long_name"] == "norm of the weights that move; training set"
        for place in np.ndindex(found.shape):
            moved = np.concatenate([moved_by(file, name, place, center) for name in center])
            assert found[place] == pytest.approx(np.linalg.norm(moved), rel=1e-6)


def moved_by(file, name, place, center):
    """Return a tensor at a place of the grid, flat, float64."""
    moved = center[name].double().numpy().ravel()
    for axis, i in zip(("alpha", "beta"), place, strict=True):
        moved = moved + file[axis][i] * file[f"directions/{axis}/{name}"][()].ravel()
    return moved


def test_the_picture_is_drawn_as_the_others_are(house, printed, surfaces):
    assert (house.folder / "rms_train_loss_arrows.png").read_bytes().startswith(b"\x89PNG")
    assert (house.folder / "rms_and_none_train_loss_arrows.svg").exists()
    with h5py.File(surfaces["rms"]) as file:
        slope = np.gradient(file["train_loss"][()], file["alpha"][()], axis=0)
    arrows = [float(word) for word in printed["arrows"].split()]
    np.testing.assert_allclose(arrows, -slope.T.ravel(), rtol=1e-6)


def test_help_and_lists_have_them(printed):
    text = " ".join(printed["help"].split())
    assert "moons[:SEED]" in text
    assert "perceptron16" in text
    assert "rms: every entry is multiplied by the root mean square of its tensor" in text
    assert "weight_norm: norm of the weights that move" in text
    assert re.search(r"^weight_norm +norm of the weights", printed["quantities"], re.MULTILINE)
    assert "arrows" in printed["pictures"]
    assert "arrows      an arrow downhill" in printed["kinds"]
    assert "800 + 200 of 2 numbers, 2 classes" in printed["data"]
    assert re.search(r"  perceptron16 +434\n", printed["models"])


def test_the_tables_have_them(house, printed):
    pages = "".join(page.read_text() for page in (house.folder / "docs").rglob("*.md"))
    for name in NAMES.values():
        assert f"\n| `{name}` | " in pages


def test_what_the_page_shows_is_of_the_house_style(house):
    ruff = ("-m", "ruff")
    house(*ruff, "check", *FILES)
    house(*ruff, "format", "--check", *FILES)
