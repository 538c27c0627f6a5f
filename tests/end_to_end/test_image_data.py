"""Every kind of image data set from training to its surface, as a user goes through it.

Oracle: the test loss that training told, computed by another program path than the surface's,
for the center of the surface.
"""

import gzip
import struct

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from landscape_mpi.train import main

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (60, 12, 12), dtype=np.uint8)
LABELS = np.arange(60) % 10


def write_idx(folder):
    for word, part in (("train", slice(0, 40)), ("t10k", slice(40, 60))):
        images, labels = IMAGES[part], LABELS[part]
        header = struct.pack(">IIII", 0x803, *images.shape)
        files = {"images-idx3": header + images.tobytes()}
        files["labels-idx1"] = struct.pack(">II", 0x801, len(labels)) + bytes(labels.tolist())
        for name, content in files.items():
            (folder / f"{word}-{name}-ubyte.gz").write_bytes(gzip.compress(content))


def write_images(folder):
    for split, part in (("train", slice(0, 40)), ("test", slice(40, 60))):
        for i, (image, label) in enumerate(zip(IMAGES[part], LABELS[part], strict=True)):
            path = folder / "photos" / split / str(label) / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)


@pytest.mark.parametrize(
    ("data", "write"),
    [("mnist", write_idx), ("fashion_mnist", write_idx), ("folder:photos", write_images)],
)
def test_from_training_to_the_surface(tmp_path, on_ranks, data, write):
    write(tmp_path)
    options = ["--model=resnet8", f"--data={data}", f"--data-dir={tmp_path}", "--device=cpu"]
    assert main([*options, "--epochs=2", f"--out={tmp_path}/a.pt", "--threads=1"]) == 0
    options += [f"--checkpoint={tmp_path}/a.pt", "--splits=train,test", "--x=0:1:2"]
    on_ranks(1, ["landscape_mpi.surface", *options, f"--out={tmp_path}/a.h5"], check=True)
    last = torch.load(tmp_path / "a.pt", weights_only=True)["history"][-1]
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["test_loss"][0, 0] == pytest.approx(last["test_loss"], rel=1e-4)
        assert file["test_error"][0, 0] == pytest.approx(last["test_error"])
        assert file["train_loss"][1, 0] > 0
