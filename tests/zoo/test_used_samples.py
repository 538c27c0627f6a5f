"""A run reads only the samples that it uses.

Oracles: a Dataset that notes the number of each sample it is asked for; the same samples as arrays
in memory, whose surface has the same bits; files that cannot be read, where nobody must read them.
"""

import sys
from functools import partial

import h5py
import numpy as np
import pytest
import torch
from libraries import imported
from one_process import run_alone
from PIL import Image

from landscape_mpi import sharpness, train
from landscape_mpi.errors import InputError
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.subset import rows_of
from landscape_mpi.zoo.used_samples import UsedSamples

N, N_TEST = 10_000, 300
MODULE = f"""
import random
import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

draw = np.random.default_rng(0)
rows = draw.normal(size=({N}, 6)).astype(np.float32)
classes = draw.integers(0, 3, {N})
pixels = draw.integers(0, 256, (200, 4, 4, 3), np.uint8)

class Noted(Dataset):
    def __init__(self, name, n):
        self.name, self.n = name, n
    def __len__(self): return self.n
    def note(self, i):
        with open("reads.txt", "a") as file:
            file.write(f"{{self.name}} {{i}}\\n")
    def __getitem__(self, i):
        self.note(i)
        return rows[i], classes[i]

class Pixels(Noted):
    def __getitem__(self, i):
        self.note(i)
        return pixels[i], classes[i]

class Shaken(Noted):
    def __getitem__(self, i):
        self.note(i)
        shake = torch.rand(6) + np.random.rand() + random.random()
        return rows[i] + shake.numpy().astype(np.float32), classes[i]

class Bad(Noted):
    def __getitem__(self, i):
        return np.full(6, np.nan if i == 7 else 0.0), classes[i]

def noted(): return {{"train": Noted("train", {N}), "test": Noted("test", {N_TEST})}}
def arrays(): return {{"train": (rows, classes), "test": (rows[:{N_TEST}], classes[:{N_TEST}])}}
def exact(): return {{"train": (rows[:90].astype(np.float64), classes[:90])}}
def images(): return {{"train": Pixels("train", 200)}}
def shaken(): return {{"train": Shaken("train", 200), "test": Shaken("test", 20)}}
def bad(): return {{"train": Bad("train", 60)}}

def network():
    torch.manual_seed(0)
    return nn.Linear(6, 3)
"""
load_few = partial(load_dataset, digest_of_all=False)
FEW = UsedSamples(("train",), 50, "random:0")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The module, in the current directory."""
    monkeypatch.setattr(sys, "path", [str(tmp_path), *(entry for entry in sys.path if entry)])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "noted_data.py").write_text(MODULE)
    return imported("noted_data")


def read_since(folder):
    """Return the samples that were read since the last call, as (split, number)."""
    path = folder / "reads.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [(line.split()[0], int(line.split()[1])) for line in lines]


def of_train(rows):
    return [("train", row) for row in rows]


def words_for(data, out, *options):
    words = ["landscape_mpi.surface", "--model=noted_data:network", f"--data=noted_data:{data}"]
    return [*words, "--x=-1:1:3", "--limit=50", f"--out={out}", *options]


TRAINING = ("--epochs=1", "--device=cpu", "--threads=1")
CASES = {
    "random:0": rows_of("random:0", 50, N),
    "random:5": rows_of("random:5", 50, N),
    "first": np.arange(50),
}


@pytest.mark.parametrize("n_ranks", [1, 2])
@pytest.mark.parametrize("subset", CASES)
def test_a_limit_reads_its_samples_alone(module, tmp_path, on_ranks, subset, n_ranks):
    options = [] if subset == "random:0" else [f"--subset={subset}"]
    on_ranks(n_ranks, words_for("noted", "few.h5", *options), cwd=tmp_path, check=True)
    assert read_since(tmp_path) == of_train(CASES[subset])
    on_ranks(n_ranks, words_for("arrays", "all.h5", *options), cwd=tmp_path, check=True)
    with h5py.File(tmp_path / "few.h5") as few, h5py.File(tmp_path / "all.h5") as known:
        for name in ("train_loss", "train_error"):
            assert few[name][...].tobytes() == known[name][...].tobytes()
        for name in ("data_sha256", "trivial_error_train"):
            assert few["provenance"].attrs[name] == known["provenance"].attrs[name]
        for name in ("limit", "subset", "ignore_index"):
            assert few.attrs[name] == known.attrs[name]


def test_the_test_split_is_read_where_it_is_evaluated(module, tmp_path, on_ranks):
    command = words_for("noted", "both.h5", "--splits=train,test")
    on_ranks(2, command, cwd=tmp_path, check=True)
    known = of_train(CASES["random:0"]) + [("test", row) for row in range(N_TEST)]
    assert read_since(tmp_path) == known
    on_ranks(2, command, cwd=tmp_path, check=True)  # nothing is left to compute
    assert read_since(tmp_path) == known


def test_what_reads_a_surface_again_reads_its_samples(module, tmp_path, on_ranks):
    on_ranks(1, words_for("noted", "few.h5", "--y=-1:1:2"), cwd=tmp_path, check=True)
    known = read_since(tmp_path)
    words = ["few.h5", "--device=cpu", "--limit=20"]
    # The digest in the file is that of all 50, and tells whether the data are still the same.
    assert run_alone(["landscape_mpi.hessian", *words, "--stride=2"]).status == 0
    assert read_since(tmp_path) == known
    assert sharpness.main([*words, "--radius=0.1", "--iterations=1", "--fresh-networks=1"]) == 0
    assert read_since(tmp_path) == known


def train_curve(data):
    for seed in (1, 2):
        torch.manual_seed(seed)
        torch.save(torch.nn.Linear(6, 3).state_dict(), f"{seed}.pt")
    words = ["--model=noted_data:network", f"--data=noted_data:{data}", "--out=c.pt"]
    ends = ["--start=1.pt", "--end=2.pt"]
    assert run_alone(["landscape_mpi.curve", "train", *words, *ends, *TRAINING]).status == 0


def test_a_curve_compares_all_samples_with_those_of_its_training(module, tmp_path):
    train_curve("noted")
    known = of_train(range(N)) + [("test", row) for row in range(N_TEST)]
    assert read_since(tmp_path) == known
    words = ["evaluate", "c.pt", "--points=3", "--limit=50", "--splits=train", "--out=c.h5"]
    assert run_alone(["landscape_mpi.curve", *words]).status == 0
    assert sorted(read_since(tmp_path)) == sorted(known)  # each of them once


def test_a_curve_knows_the_numbers_in_float64_that_it_was_trained_on(module):
    train_curve("exact")
    words = ["evaluate", "c.pt", "--points=3", "--splits=train", "--out=c.h5"]
    ended = run_alone(["landscape_mpi.curve", *words])
    assert ended.status == 0, ended.words


def test_training_reads_every_sample_once(module, tmp_path):
    words = ["--model=noted_data:network", "--data=noted_data:noted", "--out=w.pt"]
    assert train.main([*words, *TRAINING]) == 0
    read = read_since(tmp_path)
    assert read == of_train(range(N)) + [("test", row) for row in range(N_TEST)]


def test_bytes_are_read_in_full_until_their_mean_and_deviation_are_known(module, tmp_path):
    rows = rows_of("random:0", 50, 200)
    data = load_few("noted_data:images", used=FEW)
    assert sorted(read_since(tmp_path)) == of_train(range(200))
    everything = load_dataset("noted_data:images")
    assert (data.mean, data.std) == (everything.mean, everything.std)
    np.testing.assert_array_equal(data.splits["train"].inputs, module.pixels[rows])
    read_since(tmp_path)
    data = load_few("noted_data:images", used=FEW, mean=[0.5], std=[0.25])
    assert read_since(tmp_path) == of_train(rows)
    assert (data.mean, data.std) == ((0.5,) * 3, (0.25,) * 3)
    np.testing.assert_array_equal(data.splits["train"].inputs, module.pixels[rows])


def test_a_dataset_that_draws_gives_what_it_gives_in_its_own_order(module, tmp_path):
    def load(used):
        torch.manual_seed(3)
        np.random.seed(3)
        module.random.seed(3)
        return load_few("noted_data:shaken", used=used)

    everything, rows = load(UsedSamples()), rows_of("random:0", 50, 200)
    read_since(tmp_path)
    few = load(UsedSamples(("train", "test"), 50, "random:0"))
    assert few.splits["train"].inputs.tobytes() == everything.splits["train"].inputs[rows].tobytes()
    assert few.splits["test"].inputs.tobytes() == everything.splits["test"].inputs.tobytes()


def test_messages_name_samples_by_their_number_in_the_data(module, tmp_path):
    used = UsedSamples(("train",), 50, "random:0")
    rows = rows_of("random:0", 50, 60)
    assert 7 in rows
    assert rows.tolist().index(7) != 7
    with pytest.raises(InputError) as caught:
        load_few("noted_data:bad", used=used)
    words = "train inputs: NaN or infinite in 1 of 50 samples, the first is sample 7. Every loss"
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("used", "words"),
    [
        (
            UsedSamples(("train", "val")),
            "--splits names val, but --data noted_data:noted has only train, test. Leave it out, "
            "or pass data that has it.",
        ),
        (
            UsedSamples(("train",), N + 1),
            f"--limit {N + 1}: --data noted_data:noted has only {N} training samples. Pass at "
            f"most {N}, or leave out --limit to use all of them.",
        ),
        (
            UsedSamples(("test",), 5),
            "--limit 5: limits the training samples, but --splits test has none of them. Leave "
            "out --limit, or add train to --splits.",
        ),
    ],
)
def test_samples_that_are_not_there_are_refused_before_one_is_read(module, tmp_path, used, words):
    with pytest.raises(InputError) as caught:
        load_few("noted_data:noted", used=used)
    assert str(caught.value) == words
    assert read_since(tmp_path) == []


def test_images_in_a_folder_are_read_where_they_are_used(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 30, 30), dtype=np.uint8)
    paths = [tmp_path / "ab"[i % 2] / f"{i:02}.png" for i in range(len(images))]
    for path, image in zip(paths, images, strict=True):
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    listed = sorted(paths)
    rows = rows_of("random:0", 10, len(paths))
    for row in set(range(len(paths))) - set(rows):  # their sizes can still be read
        content = listed[row].read_bytes()
        listed[row].write_bytes(content[: int(0.7 * len(content))])
    spec, used = f"folder:{tmp_path}", UsedSamples(("train",), 10, "random:0")
    with pytest.raises(InputError, match="is not an image, or is damaged"):
        load_few(spec, used=used)
    split = load_few(spec, used=used, mean=[0.5], std=[0.25]).splits["train"]
    known = [images[int(listed[row].stem)] for row in rows]
    np.testing.assert_array_equal(split.inputs[..., 0], known)
    assert split.targets.tolist() == ["ab".index(listed[row].parent.name) for row in rows]
