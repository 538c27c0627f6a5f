"""Losses by name and by function, from the option to the file.

Oracle: torch's own losses over the whole split at weights moved tensor by tensor, and the
sentence a user should read for each way in which a function is not the loss of every sample.
"""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.losses import CROSS_ENTROPY
from landscape_mpi.errors import InputError
from landscape_mpi.job.losses import LossChoice, choose_loss
from landscape_mpi.store.reader import read_surface
from landscape_mpi.zoo.dataset import DataSet, Split
from landscape_mpi.zoo.datasets import load_dataset

MODULE = """
import torch
from torch import nn
from torch.nn import functional

def build():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

def smooth(outputs, targets):
    return functional.cross_entropy(outputs, targets, reduction="none", label_smoothing=0.1)

criterion = nn.CrossEntropyLoss(reduction="none")
number = 3

def scalar(outputs, targets):
    return functional.cross_entropy(outputs, targets)

def python(outputs, targets):
    return 3

def whole(outputs, targets):
    return outputs.argmax(1)

def pairs(outputs, targets):
    return outputs.sum(1, keepdim=True) - targets.float()

def elements(outputs, targets):
    return outputs**2

def squeezed(outputs, targets):
    return outputs.sum(1).squeeze()

def infinite(outputs, targets):
    return outputs[:, 0] / 0

def fails(outputs, targets):
    raise ValueError("weights for 9 classes")

def one(outputs):
    return outputs

def mixes(outputs, targets):
    return functional.cross_entropy(outputs, targets, reduction="none") / len(outputs)

def whole_row(outputs, targets):
    return (outputs - targets).abs().sum(1)
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory, with a module of losses that is forgotten after."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own_losses.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("own_losses", None)


def table(targets, inputs=None):
    """A data set of rows of two numbers."""
    targets = np.asarray(targets)
    if inputs is None:
        inputs = np.arange(2 * len(targets), dtype=np.float32).reshape(-1, 2)
    return DataSet("rows", {"train": Split(inputs, targets)}, (), (), 1, "")


def linear(n_outputs):
    torch.manual_seed(0)
    return nn.Linear(2, n_outputs).eval()


CLASSES = table(np.arange(12) % 3)


@pytest.mark.parametrize(
    ("name", "n_outputs", "targets", "error"),
    [
        ("cross_entropy", 3, np.arange(12) % 3, "largest output"),
        ("mse", 3, np.arange(12) % 3, "largest output"),
        ("mse", 1, np.ones(12, np.float32), None),
        ("mse", 2, np.ones((12, 2), np.float32), None),
        ("bce", 1, np.arange(12) % 2, "sign"),
        ("bce", 2, np.ones((12, 2), np.int64), "sign"),
        ("own_losses:smooth", 3, np.arange(12) % 3, "largest output"),
        ("own_losses:criterion", 3, np.arange(12) % 3, "largest output"),
        ("own_losses:whole_row", 2, np.ones((12, 2), np.float32), None),
        ("own_losses:infinite", 1, np.ones(12, np.float32), None),
    ],
)
def test_what_is_an_error_beside_a_loss(folder, name, n_outputs, targets, error):
    choice = choose_loss(name, linear(n_outputs), table(targets), model="m")
    assert choice == LossChoice(name, error, one_loss=name.endswith("whole_row"))
    assert choice.load().error == error
    assert choice.units == ("nat" if name in {"cross_entropy", "bce"} else "1")


def test_the_default_is_cross_entropy():
    assert LossChoice("cross_entropy", "largest output").load() == CROSS_ENTROPY


GIVEN = "outputs float32 [3, 3] and targets int64 [3]"
NEEDS = "The surface needs the loss of every sample, float [3], to add them up alike"


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "msee",
            "--loss: 'msee' is not known. Did you mean mse? Known: cross_entropy, mse, bce, pac",
        ),
        ("own_losse:smooth", "--loss: no module named own_losse"),
        ("own_losses:smoth", "has no function 'smoth'. Did you mean smooth?"),
        (
            "own_losses:number",
            "own_losses:number is an int, not a function. Write a function of outputs and targets "
            "that returns the loss of every sample.",
        ),
        (
            "own_losses:one",
            "own_losses:one(outputs) takes other arguments, and is called with outputs, targets: "
            "too many positional arguments.",
        ),
        (
            "own_losses:scalar",
            f"--loss: own_losses:scalar returned a single number, a mean or a sum for {GIVEN}. "
            f"{NEEDS} on any number of ranks: reduction='none'.",
        ),
        (
            "own_losses:python",
            f"own_losses:python returned an int, not a tensor for {GIVEN}. {NEEDS}",
        ),
        ("own_losses:whole", f"returned int64 [3], not floats for {GIVEN}"),
        ("own_losses:pairs", "returned the shape [3, 3] for outputs"),
        (
            "own_losses:pairs",
            "on any number of ranks: reshape one of the two, which were broadcast.",
        ),
        ("own_losses:squeezed", "a single number, a mean or a sum for outputs float32 [1, 3] and"),
        ("own_losses:fails", f"own_losses:fails failed on {GIVEN}: ValueError: weights for 9 clas"),
        ("own_losses:fails", "own_losses.py:38)"),
    ],
)
def test_a_function_that_is_no_loss(folder, name, words):
    with pytest.raises(InputError) as caught:
        choose_loss(name, linear(3), CLASSES, model="m")
    assert words in str(caught.value)


def test_other_shapes_later_are_an_error_too(folder):
    loss = LossChoice("own_losses:elements", None, one_loss=True).load()
    with pytest.raises(InputError, match=r"returned the shape \[2, 3\] for outputs"):
        loss.of_samples(torch.zeros(2, 3), torch.zeros(2))


@pytest.mark.parametrize(
    ("name", "n_outputs", "targets", "words"),
    [
        (
            "mse",
            1,
            np.arange(12) % 3,
            "--loss mse: the network returns [3, 1] for 3 rows, whose targets are class numbers "
            "from 0 to 2, and needs an output for each class: [3, 3]. For numbers to predict, let "
            "the data be float32.",
        ),
        (
            "mse",
            3,
            np.ones(12, np.float32),
            "--loss mse: the network returns [3, 3] for 3 rows, whose targets are float32 [3]; it "
            "needs an output for each of them: [3] or [3, 1].",
        ),
        (
            "bce",
            1,
            np.arange(12) % 3,
            "--loss bce: targets go from 0 to 2, and must be from 0 to 1: 1 is the class whose "
            "logit the network returns. For several classes take cross_entropy.",
        ),
        ("bce", 2, np.arange(12) % 2, "--loss bce: the network returns [3, 2] for 3 rows, whose"),
    ],
)
def test_a_loss_that_does_not_suit(name, n_outputs, targets, words):
    with pytest.raises(InputError) as caught:
        choose_loss(name, linear(n_outputs), table(targets), model="m")
    assert words in str(caught.value)


class Pair(nn.Module):
    def forward(self, rows):
        return rows, rows


def test_a_network_that_does_not_return_a_tensor_or_fails_on_the_data():
    with pytest.raises(InputError, match="--model: m returns a tuple, not a tensor. Wrap the net"):
        choose_loss("mse", Pair(), CLASSES, model="m")
    text = np.zeros((5, 4), np.int64)
    text[4, 2] = 9  # which is not among the first samples
    words = r"--model: m cannot take int64 \[3, 4\], sequences of rows: IndexError: index out"
    with pytest.raises(InputError, match=words):
        choose_loss("mse", nn.Embedding(9, 2), table(np.zeros((5, 4)), text), model="m")


def command(out, *options):
    return [
        *("landscape_mpi.surface", "--model", "own_losses:build", "--data", "digits"),
        *("--limit", "150", "--x=-1:1:3", "--y=0:1:2", "--out", str(out), *options),
    ]


def expected_losses(loss):
    """Evaluate at the grid's points by torch alone."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    center = network[1].weight.detach().clone()
    steps = [
        random_direction({"1.weight": center.numpy()}, seed=1, axis=a, normalize="filter")
        for a in ("alpha", "beta")
    ]
    data = load_dataset("digits")
    split = data.splits["train"].first(150)
    images = torch.from_numpy(split.inputs).permute(0, 3, 1, 2).float() / 255
    images = (images - data.mean[0]) / data.std[0]
    losses = np.empty((3, 2))
    for i, alpha in enumerate((-1, 0, 1)):
        for j, beta in enumerate((0, 1)):
            step = alpha * steps[0]["1.weight"] + beta * steps[1]["1.weight"]
            with torch.no_grad():
                network[1].weight.copy_(center + torch.from_numpy(step))
                losses[i, j] = loss(network(images), torch.from_numpy(split.targets))
    return losses


ORACLES = {
    "own_losses:smooth": nn.CrossEntropyLoss(label_smoothing=0.1),
    "mse": lambda outputs, targets: nn.MSELoss()(outputs, torch.eye(10)[targets]),
}


@pytest.mark.parametrize("name", ORACLES)
def test_the_surface_of_a_loss_on_ranks(name, folder, on_ranks):
    numbers_of_ranks = (1, 2, 3) if name == "mse" else (2,)
    files = [folder / f"{n}.h5" for n in numbers_of_ranks]
    for n, out in zip(numbers_of_ranks, files, strict=True):
        options = ["--loss", name, "--batch", "16"]
        done = on_ranks(n, command(out, *options, f"--ranks-per-point={n}"), cwd=folder, check=True)
        assert f"loss: {name}; error: another output is the largest" in done.stdout
    surfaces = [read_surface(path) for path in files]
    np.testing.assert_allclose(
        surfaces[0].values["train_loss"], expected_losses(ORACLES[name]), 1e-5
    )
    for surface in surfaces[1:]:
        for quantity, values in surface.values.items():
            np.testing.assert_array_equal(values, surfaces[0].values[quantity])
    assert surfaces[0].units["train_loss"] == "1"
    assert surfaces[0].attributes["loss"] == name
    assert surfaces[0].attributes["error"] == "largest output"


def test_precision_auto_measures_the_loss_that_is_asked_for(folder, on_ranks):
    out = folder / "auto.h5"
    options = ["--loss=own_losses:smooth", "--precision=auto", "--tolerance=0.5", "--compile=off"]
    on_ranks(2, command(out, *options), cwd=folder, check=True)
    found = read_surface(out).values["train_loss"]
    np.testing.assert_allclose(found, expected_losses(ORACLES["own_losses:smooth"]), 0.05)


def test_another_loss_does_not_resume(folder, on_ranks):
    out = folder / "one.h5"
    on_ranks(1, command(out, "--loss=mse"), cwd=folder, check=True)
    done = on_ranks(2, command(out), cwd=folder)
    assert done.returncode == 2
    words = (
        "was computed with loss mse, this run asks for loss cross_entropy. A resumed run must be"
    )
    assert words in done.stderr
    assert "pass --loss mse, or a new --out" in done.stderr


def test_a_loss_that_mixes_samples_is_found_on_every_rank(folder, on_ranks):
    done = on_ranks(2, command(folder / "x.h5", "--loss=own_losses:mixes"), cwd=folder)
    assert done.returncode == 2
    assert "or a --loss that mixes samples" in done.stderr
    assert not (folder / "x.h5").exists()
