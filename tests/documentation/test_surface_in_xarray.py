"""The notebook of examples/, run for real by nbclient on a small surface of a real network.

Oracle: the file itself, read by h5py; pictures are decoded by Pillow.
"""

import base64
import io
import re

import h5py
import nbformat
import numpy as np
import pytest
import torch
from folders import ROOT
from notebooks import execute
from PIL import Image

from landscape_mpi.zoo.dataset import Sample
from landscape_mpi.zoo.networks import build_network

NOTEBOOK = ROOT / "examples/surface_in_xarray.ipynb"
KILOBYTES = 150
ELSEWHERE = re.compile(r"(?<![\\w.])/(?:home|root|tmp|work|usr|Users|opt|var)/")


def outputs_of(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def pictures_of(notebook):
    data = [output.get("data", {}).get("image/png") for output in outputs_of(notebook)]
    packed = [base64.b64decode(text) for text in data if text]
    return [np.asarray(Image.open(io.BytesIO(text)).convert("RGB"), float) for text in packed]


def words_of(notebook):
    return "".join(output.get("text", "") for output in outputs_of(notebook))


def test_what_is_committed_is_small_has_its_outputs_and_names_no_place_of_its_own():
    assert NOTEBOOK.stat().st_size < 1000 * KILOBYTES
    assert not ELSEWHERE.search(NOTEBOOK.read_text())
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code")
    assert not [output for output in outputs_of(notebook) if output.output_type == "error"]
    assert not [output for output in outputs_of(notebook) if output.get("name") == "stderr"]
    assert len(pictures_of(notebook)) == 4


@pytest.fixture
def surface(tmp_path, alone):
    """Write the surface that the notebook opens: one convolution on digits, 5 x 5 points."""
    torch.manual_seed(0)
    network = build_network("cnn1", sample=Sample("image", (1, 8, 8), 10))
    torch.save(network.state_dict(), tmp_path / "net.pt")
    out = tmp_path / "build/demo/resnet8.h5"
    out.parent.mkdir(parents=True)
    command = ["landscape_mpi.surface", "--model=cnn1", "--data=digits", "--limit=100"]
    axes = ["--x=-1:1:5", "--y=-1:1:5"]
    alone([*command, f"--checkpoint={tmp_path / 'net.pt'}", f"--out={out}", *axes], check=True)
    return out


def test_it_runs(surface, tmp_path):
    (tmp_path / "examples").mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    execute(notebook, tmp_path / "examples")
    with h5py.File(surface) as file:
        loss, alpha, beta = (file[name][...] for name in ("train_loss", "alpha", "beta"))
    i, j = np.unravel_index(loss.argmin(), loss.shape)
    words = words_of(notebook)
    assert f"smallest: {loss.min():.4g} at ({alpha[i]:.4g}, {beta[j]:.4g})" in words
    assert f"points computed: {loss.size} of {loss.size}" in words
    assert f"at the center: {loss[loss.shape[0] // 2, loss.shape[1] // 2]:.4g}" in words
    assert "train_loss: mean loss over the training set (nat)" in words
    pictures = pictures_of(notebook)
    assert len(pictures) == 4
    assert all(pixels.std() > 5 for pixels in pictures)
    assert not list((tmp_path / "examples").iterdir())
