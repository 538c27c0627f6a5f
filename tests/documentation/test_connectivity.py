"""The script examples/connectivity.sh and its page.

Oracles: the parsers of the commands that the script runs; the reader's values of the files that the
page is made of.
"""

import csv
import importlib.util
import os
import shlex
import subprocess
import sys

from curve_runs import digits, run, train_ends
from folders import ROOT

from landscape_mpi import curve, surface, train
from landscape_mpi.store.reader import read_surface

PARSERS = {"train": train.parse, "curve": curve.parse, "surface": surface.parse}


def test_every_command_of_the_script_is_one(tmp_path):
    """The script runs as it is; in the place of Python stands a program that does nothing."""
    python = tmp_path / "bin/python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\n")
    python.chmod(0o755)
    path = os.pathsep.join([str(python.parent), os.environ["PATH"]])
    subprocess.run(
        ["bash", str(ROOT / "examples/connectivity.sh"), "out"],
        env=os.environ | {"PATH": path, "ON_RANKS": "true", "LANDSCAPE_DATA": "/data"},
        cwd=tmp_path,
        check=True,
        capture_output=True,
    )
    with (tmp_path / "out/steps.csv").open() as file:
        commands = [shlex.split(command) for *_, command in csv.reader(file)]
    assert len(commands) == 3 * 6 + 2
    for command in commands:
        module, *words = command[command.index("-m") + 1 :]
        options = PARSERS[module.removeprefix("landscape_mpi.")](words)
        assert str(options.out).startswith("out/")


def test_the_page_says_what_is_in_the_files(tmp_path, monkeypatch, capsys):
    train_ends(tmp_path)
    for kind in ("bezier", "polygon"):
        made = tmp_path / f"digits-{kind}.pt"
        words = (*digits(tmp_path), "--epochs=1", "--kind", kind, "--out", made)
        assert run("train", *words)[0] == 0
        words = (made, "--points=3", "--limit=200", "--out", made.with_suffix(".h5"))
        assert run("evaluate", *words)[0] == 0
    (tmp_path / "steps.csv").write_text(f'one,5,2,"mpirun -n 2 python -m x --out {tmp_path}/a"\n')
    (tmp_path / "digits-bezier_along.png").write_bytes(b"picture")
    ensembles = tmp_path / "ensembles"
    (ensembles / "digits/fge").mkdir(parents=True)
    (ensembles / "table.md").write_text("| FGE ensemble | 5 |\n\n")
    (ensembles / "seconds.txt").write_text("90\n")
    (ensembles / "digits/fge/ensemble.png").write_bytes(b"rates")
    place = importlib.util.spec_from_file_location("page", ROOT / "examples/connectivity.py")
    page = importlib.util.module_from_spec(place)
    place.loader.exec_module(page)
    written = str(tmp_path / "connectivity.md")
    monkeypatch.setattr(sys, "argv", ["connectivity.py", str(tmp_path), written, str(ensembles)])
    page.main()
    assert capsys.readouterr().out.strip() == written
    text = (tmp_path / "connectivity.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| resnet8, digits |")]
    found = read_surface(tmp_path / "digits-polygon.h5").values["test_error"]
    for row, values in ((rows[0], found[0]), (rows[1], found[-1]), (rows[2], found[:, 1])):
        assert f"| {values.max():.2f} % |" in row
    assert f"| {found[:, 0].max():.2f} % |" in rows[4]
    rise = found[:, 0].max() - max(found[0, 0], found[-1, 0])
    assert f"polygonal chain**: the test error rises {rise:.2f} percentage points" in text
    assert "| one | 5 s | 2 | `python -m x --out a` |" in text
    assert (tmp_path / "connectivity_digits-bezier_along.png").read_bytes() == b"picture"
    assert "`examples/ensemble.sh` took 1.5 minutes.\n" in text
    assert "\n| FGE ensemble | 5 |\n" in text
    assert (tmp_path / "connectivity_ensemble_digits.png").read_bytes() == b"rates"
    assert "(connectivity_ensemble_digits.png)" in text
