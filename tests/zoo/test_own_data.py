"""Data from the user's function, from the option to the file.

Oracle: the arrays the function was written with, torch's own losses over them, and the sentence
a user should read for each way in which a function does not return data.
"""

import sys

import h5py
import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi import train
from landscape_mpi.errors import InputError
from landscape_mpi.zoo.dataset import DataSet, Split
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.networks import build_network, check_network

MODULE = """
import numpy as np
import torch
from torch import nn
from torch.utils.data import Dataset

rng = np.random.default_rng(0)
floats = rng.normal(size=(24, 2, 5, 4)).astype(np.float32)  # channels first
bytes_ = rng.integers(0, 256, (24, 5, 4, 3), np.uint8)
classes = np.arange(24) % 3
row = rng.normal(size=(24, 6))
text = rng.integers(0, 7, (24, 9))

def images(): return {"train": (torch.from_numpy(floats), torch.from_numpy(classes))}
def pixels(): return {"train": (bytes_, classes), "test": (bytes_[:4], classes[:4])}
def table(): return {"train": (row, classes.astype(np.int32)), "test": (row[:3], classes[:3])}
def tokens(): return {"train": (torch.from_numpy(text)[:, :-1], torch.from_numpy(text)[:, 1:])}
def arrays(): return {"train": (row.reshape(24, 2, 3), row[:, 0])}
def halves(): return {"train": (torch.from_numpy(row).bfloat16(), classes > 0)}

class Rows(Dataset):
    def __len__(self): return 24
    def __getitem__(self, i): return torch.from_numpy(row[i]), int(classes[i])

def dataset(): return {"train": Rows()}
def pairs(): return {"train": [(row[0], 1), (row[1], 0)]}
def lists(): return {"train": (row.tolist(), classes.tolist())}
def multiple(): return {"train": (row, row[:, :2])}

def fails(): return {"train": open("none.csv")}
def not_a_dict(): return row, classes
def no_train(): return {"test": (row, classes)}
def validation(): return {"train": (row, classes), "tset": (row, classes)}
def lengths(): return {"train": (row, classes[:-1])}
def empty(): return {"train": (row[:0], classes[:0])}
def no_samples(): return {"train": []}
def no_pair(): return {"train": 7}
def nan():
    bad = row.copy(); bad[5, 2] = np.nan; bad[7] = np.inf
    return {"train": (bad, classes)}
def nan_targets(): return {"train": (row, np.full(24, np.nan))}
def ragged(): return {"train": ([[1.0, 2.0], [1.0]], [0, 1])}
def strings(): return {"train": (np.array([["a"], ["b"]]), [0, 1])}
def one_number(): return {"train": (row[:, 0], classes)}
def channels_first(): return {"train": (bytes_.transpose(0, 3, 1, 2).repeat(4, 3), classes)}
def whole_images(): return {"train": (bytes_.astype(np.int64), classes)}
def mask(): return {"train": (row > 0, classes)}
def symbols(): return {"train": (text - 1, classes)}
def deep(): return {"train": (row, row.reshape(24, 3, 2))}
def tagged(): return {"train": (text, text % 3)}
def no_places(): return {"train": (row, np.zeros((24, 0)))}
def other_test(): return {"train": (row, classes), "test": (row[:, :3], classes)}
def other_targets(): return {"train": (row, classes), "test": (row, row[:, 0])}
def huge(): return {"train": (row, classes * 10**7)}
def sparse(): return {"train": (torch.eye(24).to_sparse(), classes)}
def negative(): return {"train": (row, classes - 1)}

class Broken(Rows):
    def __getitem__(self, i): return {}[i] if i == 3 else (row[i], 0)
class Uneven(Rows):
    def __getitem__(self, i): return np.zeros(5 + (i == 4)), 0
class Single(Rows):
    def __getitem__(self, i): return row[i]
def broken(): return {"train": Broken()}
def uneven(): return {"train": Uneven()}
def single(): return {"train": Single()}

def linear():
    torch.manual_seed(0)
    return nn.Linear(6, 3)

def regressor():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(6, 1))

def convolution():
    torch.manual_seed(0)
    first = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU()
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(24, 3))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory, with a module of data that is forgotten after."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_data.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("own_data", None)


@pytest.fixture
def given(folder):
    """Return the names of the module."""
    namespace = {}
    exec(MODULE, namespace)
    return namespace


@pytest.mark.parametrize(
    ("name", "kind", "shape", "n_classes"),
    [
        ("images", "image", (2, 5, 4), 3),
        ("pixels", "image", (3, 5, 4), 3),
        ("table", "table", (6,), 3),
        ("dataset", "table", (6,), 3),
        ("lists", "table", (6,), 3),
        ("pairs", "table", (6,), 2),
        ("halves", "table", (6,), 2),
        ("tokens", "text", (8,), 7),
        ("arrays", "array", (2, 3), 1),
        ("multiple", "table", (6,), 2),
        ("deep", "table", (6,), 6),
        ("tagged", "text", (9,), 3),
    ],
)
def test_every_kind_of_samples(folder, name, kind, shape, n_classes):
    data = load_dataset(f"own_data:{name}")
    assert data.sample.kind == kind
    assert data.sample.shape == shape
    assert data.n_classes == n_classes
    assert data.sample.n_symbols == (7 if kind == "text" else 0)
    assert data.splits["train"].targets.dtype in {np.dtype("int64"), np.dtype("float32")}
    assert (data.mean == ()) == (name != "pixels")


def test_the_values_are_those_of_the_function(given):
    images = load_dataset("own_data:images").splits["train"]
    np.testing.assert_array_equal(images.inputs.transpose(0, 3, 1, 2), given["floats"])
    rows = load_dataset("own_data:dataset").splits["train"]
    np.testing.assert_array_equal(rows.inputs, given["row"].astype(np.float32))
    np.testing.assert_array_equal(rows.targets, given["classes"])
    text = load_dataset("own_data:tokens").splits["train"]
    np.testing.assert_array_equal(text.targets, given["text"][:, 1:])
    numbers = load_dataset("own_data:arrays").splits["train"]
    np.testing.assert_array_equal(numbers.targets, given["row"][:, 0].astype(np.float32))


RETURN = 'Return {"train": (inputs, targets), "test": (inputs, targets)}, test if there is one.'


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("fails", "--data: own_data:fails failed: FileNotFoundError: [Errno 2] No such file"),
        ("not_a_dict", f"--data own_data:not_a_dict: returned a tuple, not a dict. {RETURN}"),
        ("no_train", f"the split train is missing; it has test. {RETURN}"),
        ("validation", "split: 'tset' is not known. Did you mean test? Known: train, test."),
        ("lengths", "train: 24 inputs and 23 targets; each input needs its target."),
        ("empty", "train: is empty; there is nothing to take a mean over."),
        ("no_samples", "train: is empty; there is nothing to take a mean over."),
        ("no_pair", "train: is an int, neither a pair (inputs, targets) of arrays nor a Dataset"),
        ("nan", "train inputs: NaN or infinite in 2 of 24 samples, the first is sample 5. Every"),
        (
            "nan_targets",
            "train targets: NaN or infinite in 24 of 24 samples, the first is sample 0. Every "
            "loss would also be NaN or infinite. Leave these samples out or fill the values with ",
        ),
        ("ragged", "train inputs: cannot become an array of numbers ("),
        ("strings", "train inputs: is <U1, not numbers. Turn it into arrays of float32, uint8 or"),
        ("one_number", "train inputs: have the shape [24] but need one more dimension"),
        ("channels_first", "which looks like [n, channels, height, width]; channels come last"),
        ("whole_images", "train inputs: are int64 [24, 5, 4, 3]. Images are uint8 [n, height, wi"),
        ("mask", "train inputs: are bool [24, 6]. Images are uint8"),
        (
            "no_places",
            "train targets: have the shape [24, 0], so there are no targets. Targets must be",
        ),
        (
            "other_test",
            "inputs of train are float64 [n, 6], of test float64 [n, 3]. The same network",
        ),
        (
            "other_targets",
            "targets of train are int64 [n], of test float64 [n]. The same network and",
        ),
        ("huge", "targets contain 20000000, but class numbers must be from 0 to below 1,000,000"),
        ("sparse", "train inputs: cannot become an array of numbers"),
        ("broken", "train: sample 3 cannot be read: KeyError: 3 ("),
        ("uneven", "train inputs: sample 0 is float64 [5], sample 4 is float64 [6]. All samples"),
        ("single", "train: sample 0 is a ndarray, not a pair (input, target)."),
        ("imags", "has no function 'imags'. Did you mean images?"),
    ],
)
def test_a_function_that_returns_no_data(folder, name, words):
    with pytest.raises(InputError) as caught:
        load_dataset(f"own_data:{name}")
    assert words in str(caught.value)


def test_a_module_that_is_a_misspelt_data_set(folder):
    with pytest.raises(InputError, match=r"no module named foldr, .* Did you mean the data set fo"):
        load_dataset("foldr:DIR")


def test_floats_are_not_normalised_again(folder):
    with pytest.raises(
        InputError, match=r"--mean applies to the pixels of images, but .* has images of floats"
    ):
        load_dataset("own_data:images", mean=[0.5])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "negative",
            "targets of train contain -1, but class numbers count from 0. Pass --ignore-index -1 "
            "if these targets do not count, or number the classes from 0.",
        ),
        ("multiple", "targets of train are float32 [24, 2], and cross-entropy needs class numbers"),
    ],
)
def test_targets_that_are_no_classes(folder, name, words):
    data = load_dataset(f"own_data:{name}")
    with pytest.raises(InputError) as caught:
        check_network(nn.Linear(6, 3), name="m", data=data)
    assert words in str(caught.value)


def test_negative_symbols_are_for_networks_that_take_them(folder):
    data = load_dataset("own_data:symbols")

    class Shifted(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(7, 3)

        def forward(self, text):
            return self.embed(text + 1).mean(dim=1)

    check_network(Shifted(), name="a:b", data=data)
    with pytest.raises(InputError, match="--model: rnn7 cannot take .*: IndexError: index out of"):
        check_network(build_network("rnn7", sample=data.sample), name="rnn7", data=data)


def test_networks_of_the_zoo_take_images_of_floats(folder):
    data = load_dataset("own_data:images")
    check_network(build_network("resnet8", sample=data.sample), name="resnet8", data=data)
    arrays = DataSet(
        "a", {"train": Split(np.zeros((4, 2, 3), np.float32), np.zeros(4, int))}, (), (), 2, ""
    )
    with pytest.raises(InputError, match="takes images, but the data are arrays of 2 x 3 numbers"):
        build_network("resnet8", sample=arrays.sample)


def command(out, *options):
    return ["landscape_mpi.surface", "--x=0:1:2", "--out", str(out), *options]


@pytest.mark.parametrize("n_ranks", [1, 3])
def test_images_of_floats_on_ranks(n_ranks, given, folder, on_ranks):
    out = folder / "x.h5"
    options = ["--model=own_data:convolution", "--data=own_data:images", "--ranks-per-point=1"]
    done = on_ranks(n_ranks, command(out, *options, "--batch=5"), cwd=folder, check=True)
    assert "24 train images each" in done.stdout
    assert "pixels:" not in done.stdout
    logits = given["convolution"]().eval()(torch.from_numpy(given["floats"]))
    expected = nn.CrossEntropyLoss()(logits, torch.from_numpy(given["classes"])).item()
    with h5py.File(out) as file:
        assert file["train_loss"][0, 0] == pytest.approx(expected, rel=1e-5)


def test_numbers_to_predict_have_no_error_in_the_file(given, folder, on_ranks):
    out = folder / "x.h5"
    options = ["--model=own_data:regressor", "--data=own_data:arrays", "--loss=mse"]
    done = on_ranks(2, command(out, *options, "--ranks-per-point=2"), cwd=folder, check=True)
    assert "24 train arrays each" in done.stdout
    assert "loss: mse; no error beside it" in done.stdout
    inputs = torch.from_numpy(given["row"]).float().reshape(24, 2, 3)
    outputs = given["regressor"]()(inputs)[:, 0]
    expected = nn.MSELoss()(outputs, torch.from_numpy(given["row"][:, 0]).float()).item()
    with h5py.File(out) as file:
        assert "train_error" not in file
        assert file["train_loss"][0, 0] == pytest.approx(expected, rel=1e-5)
        assert file.attrs["error"] == "none"
        assert file["train_loss"].attrs["units"] == "1"


def test_train_takes_it_too(folder, capsys):
    argv = ["--model=resnet8", "--data=own_data:images", "--epochs=1", "--out=w.pt", "--device=cpu"]
    assert train.main([*argv, "--threads=1"]) == 0
    assert "own_data:images: 24 train images" in capsys.readouterr().out
    with pytest.raises(InputError, match="cross-entropy needs class numbers"):
        train.main(["--model=own_data:regressor", "--data=own_data:arrays", "--out=v.pt"])
