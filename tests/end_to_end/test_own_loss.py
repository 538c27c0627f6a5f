"""Losses by name and by function, from the option to the file.

Oracle: torch's own losses over the whole split at weights moved tensor by tensor, and the
sentence a user should read for each way in which a function is not the loss of every sample.
"""

import runpy
import sys
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch
from torch import nn
from torch.func import functional_call

from landscape_mpi.compute.directions import random_direction
from landscape_mpi.compute.losses import CROSS_ENTROPY
from landscape_mpi.engine.loss_trials import choose_loss
from landscape_mpi.engine.losses import LossChoice
from landscape_mpi.engine.request import LossRequest
from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import read_surface
from landscape_mpi.zoo.dataset import DataSet, Split, find_ignored
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

def weighted(outputs, targets):
    weight = torch.tensor([1.0, 20.0, 0.5])
    return functional.cross_entropy(outputs, targets, weight=weight, reduction="none")

def with_weights(outputs, targets):
    return weighted(outputs, targets), torch.tensor([1.0, 20.0, 0.5])[targets]

def focal(outputs, targets):
    losses = functional.cross_entropy(outputs, targets, reduction="none")
    return (1 - torch.exp(-losses)) ** 2 * losses

def unweighted(outputs, targets):
    return void(outputs, targets), torch.tensor([1.0, 20.0, 0.5])[targets]

def flat(outputs, targets):
    return void(outputs.movedim(1, -1).flatten(0, 1), targets.flatten())

def other_weights(outputs, targets):
    return weighted(outputs, targets), torch.ones(2)

def no_weights(outputs, targets):
    return weighted(outputs, targets), 3

def padded(outputs, targets):
    return functional.cross_entropy(outputs, targets, ignore_index=1, reduction="none")

def void(outputs, targets):
    return functional.cross_entropy(outputs, targets, reduction="none")

def void_weights(outputs, targets):
    return void(outputs, targets), (targets >= 0).float()

def void_of_samples(outputs, targets):
    return void(outputs, targets).sum(dim=1)

def hinge(outputs, targets):
    return torch.relu(1 - outputs[:, 0] * targets)

def log_of(outputs, targets):
    if (outputs < 0).any():
        raise ValueError("no probabilities")
    return functional.nll_loss(torch.log(outputs), targets, reduction="none")

class Module(nn.Module):
    def __init__(self):
        super().__init__()
        self.noise = nn.Dropout(0.5)
    def forward(self, outputs, targets):
        return void(self.noise(outputs), targets)

module = Module()

def whole_row(outputs, targets):
    return (outputs - targets).abs().sum(1)

def build_double():
    torch.manual_seed(0)
    return nn.Linear(4, 3).double()

def rows():
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(50, 4, generator=draw, dtype=torch.float64)
    return {"train": (inputs, inputs[:, :3].argmax(1))}

def large(outputs, targets):
    return 1e39 * outputs.double().square().sum(1)

def tiny(outputs, targets):
    return (1e-30 * outputs.double()).square().sum(1)
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
    choice = choose_loss(LossRequest(name), linear(n_outputs), table(targets), model="m")
    assert choice == LossChoice(name, error, one_loss=name.endswith("whole_row"))
    assert choice.load().error == error
    assert choice.units == ("nat" if name in {"cross_entropy", "bce"} else "1")


def test_the_default_is_cross_entropy():
    assert LossChoice("cross_entropy", "largest output").load() == CROSS_ENTROPY


GIVEN = "outputs float32 [3, 3] and targets int64 [3]"
NEEDS = "The surface needs the loss of every sample, float [3], to add them up equally"


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
            "own_losses:one(outputs) takes other arguments, but is called with outputs, targets: "
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
        (
            "own_losses:Module",
            "--loss: own_losses:Module() takes other arguments, but is called with outputs, ta",
        ),
        (
            "torch.nn:CrossEntropyLoss",
            "--loss: torch.nn:CrossEntropyLoss is a class, but a loss is called with outputs and "
            "targets. Name an instance of it, such as criterion = "
            "CrossEntropyLoss(reduction='none'), or a fun",
        ),
        (
            "own_losses:other_weights",
            "own_losses:other_weights returned the weights float32 [2] and losses of shape [3] "
            f"for {GIVEN}. Each loss needs a weight: the mean is the sum of the losses divided by",
        ),
        ("own_losses:no_weights", "returned the weights an int and losses of shape [3]"),
    ],
)
def test_a_function_that_is_no_loss(folder, name, words):
    with pytest.raises(InputError) as caught:
        choose_loss(LossRequest(name), linear(3), CLASSES, model="m")
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
            "from 0 to 2, but it needs an output for each class: [3, 3]. For numbers to predict, "
            "let the data be float32.",
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
            "--loss bce: targets go from 0 to 2, but must be from 0 to 1, where 1 is the class "
            "whose logit the network returns. For several classes, use cross_entropy.",
        ),
        ("bce", 2, np.arange(12) % 2, "--loss bce: the network returns [3, 2] for 3 rows, whose"),
    ],
)
def test_a_loss_that_does_not_suit(name, n_outputs, targets, words):
    with pytest.raises(InputError) as caught:
        choose_loss(LossRequest(name), linear(n_outputs), table(targets), model="m")
    assert words in str(caught.value)


def test_a_network_that_fails_on_the_data():
    text = np.zeros((5, 4), np.int64)
    text[4, 2] = 9  # this value is not among the first samples
    words = (
        r"--model: m cannot take the sequences of rows, a batch of int64 \[3, 4\]: IndexError: i"
    )
    with pytest.raises(InputError, match=words):
        choose_loss(
            LossRequest("mse"), nn.Embedding(9, 2), table(np.zeros((5, 4)), text), model="m"
        )


VOID = np.array([0, -100, 2, -100, 1, 0])
SEQUENCES = np.arange(24).reshape(6, 4) % 3
PADDED = np.where(SEQUENCES == 1, -100, SEQUENCES)


def chosen(name, targets, n_outputs=3, network=None, **asked):
    network = network or linear(n_outputs)
    data = table(targets)
    data = replace(data, ignored=find_ignored(data.splits, asked.get("ignore_index")))
    return choose_loss(LossRequest(name, **asked), network, data, model="m:m")


class Second(nn.Module):
    """Classes second, as in torch's losses."""

    def __init__(self, n_classes, n_places):
        super().__init__()
        torch.manual_seed(0)
        self.linear, self.shape = nn.Linear(2, n_classes * n_places), (n_classes, n_places)

    def forward(self, rows):
        return self.linear(rows).unflatten(1, self.shape)


def test_targets_of_minus_100_do_not_count_where_the_loss_says_so():
    assert chosen("cross_entropy", VOID).ignored == -100
    words = "mean over the 4 of 6 train targets that are not -100: each counts once"
    assert chosen("cross_entropy", VOID).words == words
    assert chosen("cross_entropy", np.abs(VOID) % 3).ignored is None


@pytest.mark.parametrize("name", ["void", "void_weights"])
def test_a_loss_of_ones_own_leaves_out_what_it_gives_no_loss(folder, name):
    choice = chosen(f"own_losses:{name}", VOID)
    assert (choice.ignored, choice.error) == (-100, "largest output")
    assert choice.brings_weights == (name == "void_weights")
    assert "the 4 of 6 train targets that are not -100" in choice.words
    explicit = chosen("own_losses:padded", np.abs(VOID) % 3, ignore_index=1)
    assert explicit.ignored == 1
    # An explicit number is left out, whatever the loss is.
    assert chosen("own_losses:focal", np.arange(6) % 3, ignore_index=2).ignored == 2


def test_one_loss_for_several_targets_of_which_some_do_not_count(folder):
    choice = chosen("own_losses:void_of_samples", PADDED, network=Second(3, 4))
    assert (choice.ignored, choice.error, choice.class_axis) == (-100, "largest output", 1)
    assert choice.words.startswith("mean over the 6 train samples: each counts once")


def test_what_a_loss_is_silent_on_is_not_guessed(folder):
    with pytest.raises(InputError) as caught:
        chosen("own_losses:padded", np.arange(6) % 3)
    assert str(caught.value) == (
        "--loss: own_losses:padded gives targets of 1 a loss of 0 whatever the outputs are, as if "
        "they did not count; a mean over all targets would be too small. Pass --ignore-index 1 to "
        "leave them out of the mean, or --ignore-index none to count their losses of 0."
    )
    assert chosen("own_losses:padded", np.arange(6) % 3, ignore_index="none").ignored is None
    with pytest.raises(InputError, match=r"Let the function return \(losses, weights\), with wei"):
        chosen("own_losses:padded", np.arange(6) % 3, ignore_index=2)


def test_minus_100_may_be_a_number_like_any_other(folder):
    numbers = np.array([3, -100, -7, 4, -2, 0])
    assert chosen("own_losses:hinge", numbers, 1).ignored is None
    with pytest.raises(InputError) as caught:
        chosen("own_losses:hinge", VOID, 1)
    assert str(caught.value) == (
        "--loss: own_losses:hinge gives targets of -100 a loss, but torch's cross-entropy leaves "
        "such targets out. Pass --ignore-index -100 if they do not count, or --ignore-index none "
        "if they do."
    )
    assert chosen("own_losses:hinge", VOID, 1, ignore_index="none").ignored is None
    assert chosen("own_losses:hinge", VOID, 1, ignore_index=-100).ignored == -100


def test_signs_and_probabilities_count_although_their_loss_can_be_zero(folder):
    sure = nn.Linear(2, 1)
    sure.weight.data[:], sure.bias.data[:] = 100.0, 1000.0
    choice = chosen("own_losses:hinge", np.arange(12) % 2 * 2 - 1, network=sure)
    assert (choice.ignored, choice.error) == (None, None)
    certain = nn.Sequential(nn.Linear(2, 3), nn.Softmax(dim=1))
    certain[0].bias.data[:] = torch.tensor([1e4, 0.0, 0.0])
    assert chosen("own_losses:log_of", np.arange(12) % 3, network=certain).ignored is None


@pytest.mark.parametrize("name", ["mse", "bce"])
def test_other_losses_of_torch_do_not_leave_minus_100_out(name):
    with pytest.raises(InputError) as caught:
        chosen(name, VOID)
    assert str(caught.value) == (
        f"--loss {name}: some targets are -100. torch's cross-entropy leaves such targets out, "
        f"but torch's {name} does not. Pass --ignore-index -100 if they do not count, or "
        "--ignore-index none if they do."
    )
    targets = np.where(VOID > 1, 1, VOID)
    choice = chosen(name, targets, 1 if name == "bce" else 3, ignore_index=-100)
    assert choice.ignored == -100
    with pytest.raises(
        InputError, match="--loss bce: targets go from -1 .* Pass --ignore-index -1"
    ):
        chosen("bce", np.arange(-1, 5) % 2 - (np.arange(6) == 0) * 2, 1)


def test_weights_of_classes_are_seen_in_a_loss_of_ones_own(folder):
    plain = "mean over the 12 train samples: each counts once"
    choice = chosen("own_losses:weighted", np.arange(12) % 3)
    assert choice.words == (
        f"{plain}, although they are the cross-entropy times weights from 0.5 to 20. torch's "
        "CrossEntropyLoss(weight) divides by the sum of the weights, as --loss cross_entropy with "
        "--class-weights does, and a --loss that returns (losses, weights)"
    )
    for name in ("focal", "smooth", "module", "criterion"):
        assert chosen(f"own_losses:{name}", np.arange(12) % 3).words == plain
    brings = chosen("own_losses:with_weights", np.arange(12) % 3)
    assert brings.brings_weights
    assert brings.words == (
        "mean over the 12 train samples: the sum of the losses divided by the sum of the weights "
        "it returns"
    )


def test_weights_that_are_not_in_the_losses_are_refused(folder):
    with pytest.raises(InputError) as caught:
        chosen("own_losses:unweighted", np.arange(12) % 3)
    assert str(caught.value) == (
        "--loss: own_losses:unweighted returns weights from 0.5 to 20, but its losses are not "
        "multiplied by them. The mean is the sum of the losses divided by the sum of the weights: "
        "return (losses * weights, weights)."
    )


def test_losses_in_one_row_are_to_be_given_the_shape_of_the_targets(folder):
    with pytest.raises(
        InputError, match=r"returned the shape \[12\] .*: losses.view_as\(targets\)"
    ):
        chosen("own_losses:flat", SEQUENCES, network=Second(3, 4))


@pytest.mark.parametrize("name", ["mse", "bce"])
def test_a_number_each_may_have_an_axis_of_its_own(name):
    targets = np.arange(24, dtype=np.float32).reshape(6, 4) % 2
    for shape in ((1, 4), (4, 1), (4,)):
        network = nn.Sequential(linear(4), nn.Unflatten(1, shape))
        choice = chosen(name, targets, network=network)
        losses, _ = choice.load().weighted(network(torch.ones(6, 2)), torch.from_numpy(targets))
        assert losses.shape == targets.shape


def test_class_weights_are_checked():
    assert chosen("cross_entropy", VOID, class_weights=(1.0, 2.0, 0.0)).class_weights == (1, 2, 0)
    for name, weights, words in (
        (
            "cross_entropy",
            (1.0, 2.0),
            "2 are given, but the network has 3 classes. Pass one weight for",
        ),
        (
            "mse",
            (1.0, 2.0, 3.0),
            "applies only to cross_entropy, but --loss is mse. Leave",
        ),
    ):
        with pytest.raises(InputError, match=f"--class-weights:? {words}"):
            chosen(name, np.arange(6) % 3, class_weights=weights)
    with pytest.raises(InputError, match="those of all classes in train are 0, so there is nothi"):
        chosen("cross_entropy", np.zeros(6, np.int64), class_weights=(0.0, 1.0, 1.0))


def test_nothing_that_counts_is_refused(folder):
    for name in ("cross_entropy", "own_losses:void"):
        with pytest.raises(InputError, match="none of the 6 targets of train counts, so there is"):
            chosen(name, np.full(6, -100), ignore_index=-100)


@pytest.mark.parametrize("name", ["mse", "own_losses:void"])
def test_the_error_is_counted_along_the_axis_of_the_classes(folder, name):
    assert chosen(name, SEQUENCES, network=Second(3, 4)).class_axis == 1
    assert chosen(name, SEQUENCES, network=Second(3, 4)).error == "largest output"


def test_no_error_is_counted_along_an_axis_that_is_a_guess(folder):
    targets, network = np.arange(24).reshape(6, 4) % 4, Second(4, 4)
    choice = chosen("own_losses:void", targets, network=network)
    assert choice.error is None
    assert choice.words.startswith("its classes may lie along axis 1 or -1, so pass --class-axis")
    for axis in (1, -1):
        told = chosen("own_losses:void", targets, network=network, class_axis=axis)
        assert (told.error, told.class_axis) == ("largest output", axis)
    for name in ("mse", "cross_entropy"):
        with pytest.raises(InputError, match=r"--class-axis: m:m returns \[3, 4, 4\] for targets"):
            chosen(name, targets, network=network)


def test_a_module_is_a_loss_in_evaluation_mode(folder):
    loss = chosen("own_losses:module", np.arange(12) % 3).load()
    outputs, targets = torch.eye(3), torch.arange(3)
    expected = nn.CrossEntropyLoss(reduction="none")(outputs, targets)
    assert torch.equal(loss.of_samples(outputs, targets), expected)


def command(out, *options):
    return [
        *("landscape_mpi.surface", "--model", "own_losses:build", "--data", "digits"),
        *("--limit", "150", "--subset", "first", "--x=-1:1:3", "--y=0:1:2"),
        *("--out", str(out), *options),
    ]


def expected_losses(loss):
    """Evaluate at the grid's points by torch alone."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    center = network[1].weight.detach().clone()
    names = ["1.weight", "1.bias"]
    steps = [
        random_direction(
            {"1.weight": center.numpy()}, seed=1, axis=a, normalize="filter", among=names
        )
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
    "own_losses:large": lambda outputs, _: 1e39 * outputs.double().square().sum(1).mean(),
    "own_losses:tiny": lambda outputs, _: (1e-30 * outputs.double()).square().sum(1).mean(),
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


@pytest.mark.parametrize("name", ["cross_entropy", "mse", "own_losses:smooth"])
def test_losses_in_float64_keep_their_digits(name, folder, on_ranks):
    """Near a minimum, float32 would show its steps in place of the surface."""
    given = ["--model=own_losses:build_double", "--data=own_losses:rows", f"--loss={name}"]
    words = ["landscape_mpi.surface", *given, "--x=-1:1:3", "--save-directions", "--out=out.h5"]
    on_ranks(1, words, cwd=folder, check=True)
    own = runpy.run_path("own_losses.py")
    inputs, targets = own["rows"]()["train"]
    network = own["build_double"]()
    with h5py.File("out.h5") as file:
        found = file["train_loss"][:, 0]
        step = torch.from_numpy(file["directions/alpha/weight"][()])
    for alpha, loss in zip((-1, 0, 1), found, strict=True):
        moved = {"weight": network.weight + alpha * step}
        outputs = functional_call(network, moved, inputs)
        expected = {
            "cross_entropy": nn.CrossEntropyLoss(),
            "mse": lambda outputs, targets: nn.MSELoss()(outputs, torch.eye(3).double()[targets]),
            "own_losses:smooth": nn.CrossEntropyLoss(label_smoothing=0.1),
        }[name](outputs, targets)
        assert loss == pytest.approx(float(expected), rel=1e-13)


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
        "was computed with loss mse, but this run requests loss cross_entropy. A resumed run must "
        "be"
    )
    assert words in done.stderr
    assert "pass --loss mse, or a new --out" in done.stderr


def test_a_loss_that_mixes_samples_is_found_on_every_rank(folder, on_ranks):
    done = on_ranks(2, command(folder / "x.h5", "--loss=own_losses:mixes"), cwd=folder)
    assert done.returncode == 2
    assert "or a --loss that mixes samples" in done.stderr
    assert not (folder / "x.h5").exists()
