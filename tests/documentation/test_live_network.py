"""The notebook of a live network in examples/, run for real by nbclient.

Oracle: torch's own loss over all samples, in a cell behind those of the notebook, and the weights
before and after; pictures are decoded by Pillow.
"""

import base64
import io

import nbformat
import numpy as np
import pytest
from folders import ROOT
from notebooks import execute
from PIL import Image

import landscape_mpi as lm

NOTEBOOK = ROOT / "examples/live_network.ipynb"
BEFORE = "before = {name: tensor.clone() for name, tensor in network.state_dict().items()}"
SMALLER = (("(-1, 1, 13)", "(-1, 1, 5)"), ("(-0.25, 1.25, 25)", "(-0.25, 1.25, 7)"))
CHECK = """
losses = [functional.cross_entropy(one(images), classes).item() for one in (network, other)]
kept = all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
print("CHECK", *losses, kept, network.training, other.training)
"""


@pytest.fixture(scope="module")
def notebook():
    return nbformat.read(NOTEBOOK, as_version=4)


def code_of(notebook):
    return [cell.source for cell in notebook.cells if cell.cell_type == "code"]


def test_what_is_committed_has_no_outputs_and_ten_lines_for_three_figures(notebook):
    nbformat.validate(notebook)
    assert NOTEBOOK.stat().st_size < 8000
    assert not any(cell.get("outputs") for cell in notebook.cells)
    lines = [line for source in code_of(notebook)[1:] for line in source.splitlines() if line]
    assert len(lines) == 10
    assert sum(".plot(" in line for line in lines) == 3


def test_it_runs(notebook, tmp_path):
    trains = next(k for k, cell in enumerate(notebook.cells) if "def trained" in cell.source)
    for cell in notebook.cells:
        for old, new in SMALLER:
            cell.source = cell.source.replace(old, new)
    notebook.cells.insert(trains + 1, nbformat.v4.new_code_cell(BEFORE))
    notebook.cells.append(nbformat.v4.new_code_cell(CHECK))
    execute(notebook, tmp_path)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    packed = [output.get("data", {}).get("image/png") for output in outputs]
    pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(p)))) for p in packed if p]
    assert len(pictures) == 3
    assert all(pixels.astype(float).std() > 5 for pixels in pictures)
    words = "".join(output.get("text", "") for output in outputs)
    assert "Warning" not in words
    assert "the center is the minimum of the grid, as it should be" in words
    first, second, *kept = words.split("CHECK ")[1].split()
    assert kept == ["True", "True", "True"]
    plane = lm.open_surface(tmp_path / "plane.h5")
    assert plane.done.shape == (5, 5)
    assert plane.done.all()
    assert plane.values["train_loss"][plane.center] == pytest.approx(float(first), rel=1e-6)
    assert float(first) < 0.1
    assert float(second) < 0.1
