"""Commands on a GPU whose memory is too small for what they would like.

Oracle: the file of the same command with the batch that fits asked for, on a GPU with room.
"""

import contextlib
import shutil
import textwrap

import h5py
import numpy as np
import pytest
from one_process import run_alone

pytestmark = pytest.mark.fake_gpus

MEBIBYTE = 1 << 20
NETWORKS = """
    import contextlib
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 4096), nn.ReLU(), nn.Linear(4096, 10))

    class Crowded(nn.Linear):
        def forward(self, images):
            from fake_gpus import control

            is_short = len(images) > 64 and torch.cuda.is_current_stream_capturing()
            with control.room_for(0, 0) if is_short else contextlib.nullcontext():
                return super().forward(images.flatten(1))

    def build_crowded():
        torch.manual_seed(0)
        return Crowded(64, 10)
"""


@pytest.fixture(autouse=True)
def networks(tmp_path, monkeypatch):
    (tmp_path / "wide.py").write_text(textwrap.dedent(NETWORKS))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield
    import sys

    sys.modules.pop("wide", None)


@pytest.fixture
def control():
    from fake_gpus import control

    return control


def surface(out, *options, model="wide:build"):
    words = ["landscape_mpi.surface", f"--model={model}", "--data=digits", "--limit=600"]
    words += ["--x=-1:1:3", "--y=0", "--compile=off", "--points-at-once=1", "--device=cuda"]
    return run_alone([*words, f"--out={out}", *options])


def values_of(path, name="train_loss"):
    with h5py.File(path) as file:
        return file.attrs["batch"], file[name][...]


def test_a_batch_that_does_not_fit_is_halved(control, tmp_path):
    with control.like(0, total_memory=16 * MEBIBYTE):
        done = surface("small.h5")
    assert done.status == 0, done.words
    assert "out of memory, so the batch becomes 128: CUDA out of memory\n" in done.words
    asked = surface("asked.h5", "--batch=128")
    assert asked.status == 0, asked.words
    (batch, found), (_, expected) = values_of("small.h5"), values_of("asked.h5")
    assert batch == 128
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("n_bytes", "options", "words"),
    [
        (
            16 * MEBIBYTE,
            ("--batch=256",),
            "--batch: 256 samples per pass do not fit into the memory",
        ),
        (10 * MEBIBYTE, (), "--model: a single sample of the images does not fit into the memory"),
    ],
)
def test_what_does_not_fit_at_all(control, n_bytes, options, words, tmp_path):
    with control.like(0, total_memory=n_bytes):
        done = surface("none.h5", *options)
    assert done.status == 2
    assert f"error: {words} of the device (CUDA out of memory)" in done.words
    assert not (tmp_path / "none.h5").exists()


@pytest.mark.parametrize("breaks", [False, True])
def test_a_batch_that_cannot_be_recorded_for_lack_of_memory_is_halved(control, breaks):
    how = control.captures_break_without_memory() if breaks else contextlib.nullcontext()
    with how:
        done = surface("crowded.h5", model="wide:build_crowded")
    assert done.status == 0, done.words
    assert "out of memory, so the batch becomes 64: CUDA out of memory" in done.words
    assert "one CUDA graph per split" in done.words


def eigenvalues(name, *options):
    shutil.copy("surface.h5", name)
    words = ["--limit=300", "--tolerance=1e-2", "--max-products=6", "--device=cuda"]
    done = run_alone(["landscape_mpi.hessian", name, *words, *options])
    assert done.status == 0, done.words
    return values_of(name, "hessian_max")[1]


@pytest.mark.parametrize("n_mebibytes", [40, 1000])
def test_eigenvalues_on_a_small_gpu(control, n_mebibytes):
    assert surface("surface.h5", "--batch=64").status == 0
    expected = eigenvalues("large.h5")
    with control.like(0, total_memory=n_mebibytes * MEBIBYTE):
        found = eigenvalues("small.h5")
    np.testing.assert_allclose(found, expected, rtol=1e-3)
