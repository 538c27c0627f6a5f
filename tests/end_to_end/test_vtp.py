"""Oracle: the lines printed and the sizes counted by hand; VTK's reader for the file.

That neither torch nor mpi4py is needed is proved in a process that cannot import them.
"""

import subprocess
import sys

import numpy as np
import pytest
import surface_files
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from landscape_mpi import vtp
from landscape_mpi.errors import InputError

ALPHA, BETA = [-1.0, 0.0, 1.0, 2.0], [-1.0, 0.0, 1.0]


@pytest.fixture
def surface(tmp_path):
    values = {
        "train_loss": surface_files.plane(ALPHA, BETA, lambda a, b: 10.0 ** (a + b)),
        "train_error": np.full((4, 3), np.nan),
    }
    values["train_loss"][0, 0] = np.inf
    return surface_files.write_surface(tmp_path / "net.v2.h5", ALPHA, BETA, values)


def sizes(path):
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(path))
    reader.Update()
    return reader.GetOutput().GetNumberOfPoints(), reader.GetOutput().GetNumberOfCells()


def test_writes_beside_the_file_and_says_what(surface, capsys):
    assert vtp.main([str(surface), "--log", "--range=:50", "--scale=0.5"]) == 0
    out = surface.parent / "net.v2.vtp"
    # By hand: 3 of 11 points lie above; 7 edges and diagonals of cells cross the line between.
    assert sizes(out) == (15, 14)
    assert capsys.readouterr().out.splitlines() == [
        str(out),
        "15 points, 14 cells",
        "height: 0.5 * log10(train_loss), -0.5 to 0.8495",
        "points beyond --range: 3",
        "points left out with their cells, because they are not finite: 1",
        "train_loss (nat): 0.1 to 50",
        "train_error (percent): nothing finite",
    ]


def test_file_of_the_reference_implementation(tmp_path):
    path = surface_files.write_reference(
        tmp_path / "ref.h5", ALPHA, BETA, lambda a, b: (a + 10 * b, 50.0)
    )
    out = tmp_path / "other.vtp"
    vtp.main([str(path), "--quantity=train_error", f"--out={out}"])
    assert sizes(out) == (12, 6)


def test_over_the_surface_itself(surface):
    before = surface.read_bytes()
    with pytest.raises(InputError, match="does not end in .vtp"):
        vtp.main([str(surface), f"--out={surface}"])
    assert surface.read_bytes() == before


def test_nothing_computed_yet(tmp_path):
    values = {"train_loss": np.zeros((4, 3))}
    path = tmp_path / "new.h5"
    surface_files.write_surface(path, ALPHA, BETA, values, done=np.zeros((4, 3)))
    with pytest.raises(InputError, match="0 of 12 points are computed"):
        vtp.main([str(path)])


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--range=:inf", "':inf' is not a range. Pass LOW:HIGH"),
        ("--scale=high", "'high' is not a finite number"),
        ("--scale=0", "0 is not above zero"),
        ("--rangee=1", "--rangee is not an option of this command. Did you mean --range"),
        ("--size=1600", "'1600' is not a size. Pass WIDTHxHEIGHT in pixels"),
        ("--size=9x9", "both from 200 to 8,000"),
        ("--look=paper", "--look paper applies only to a picture of the mesh"),
        ("--relief=1", "--relief applies only to a picture of the mesh"),
        ("--cmap=jet", "'jet' is not one of viridis"),
    ],
)
def test_options_that_cannot_be(surface, option, text):
    with pytest.raises(InputError, match=text):
        vtp.main([str(surface), option])
    assert not surface.with_suffix(".vtp").exists()


def test_runs_without_torch_and_mpi(surface):
    code = surface_files.WITHOUT_TORCH_AND_MPI.format(command="vtp")
    argv = [sys.executable, "-c", code, str(surface), "--paraview"]
    subprocess.run(argv, check=True, capture_output=True)
    assert surface.with_suffix(".vtp").exists()
    assert surface.with_name("net.v2_paraview.py").exists()
