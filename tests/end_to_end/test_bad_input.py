"""Bad input to the whole command: status 2, one message, nothing written.

Most cases run in this process as one rank, some on three real ranks.

Oracle: the sentence each user should read, and a listing of the folder before and after.
"""

import re

import h5py
import numpy as np
import pytest
import torch
from folders import ROOT

from landscape_mpi.zoo.networks import build_network

HOOKS = """
import torch

def raises():
    raise ValueError("no such depth")

def no_network():
    return 3

def wants_arguments(depth):
    return None

def three_outputs():
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 3))

class Dropped(torch.nn.Linear):
    def forward(self, images):
        return torch.nn.functional.dropout(super().forward(images.flatten(1)))

def dropped():
    return Dropped(64, 10)

class Exact(torch.nn.Linear):
    def forward(self, images):
        if torch.is_autocast_enabled("cpu") or float(images.sum()) < -1e30:
            raise RuntimeError("not implemented for BFloat16")
        return super().forward(images.flatten(1))

def exact():
    return Exact(64, 10)

class Branching(torch.nn.Linear):
    def forward(self, images):
        outputs = super().forward(images.flatten(1))
        return outputs if float(outputs.sum()) < 1e30 else 0 * outputs

def branching():
    return Branching(64, 10)

calls = []

def varying():
    calls.append(1)
    layers = [torch.nn.Flatten(), torch.nn.Linear(64, 10)]
    return torch.nn.Sequential(*layers, *[torch.nn.BatchNorm1d(10) for _ in calls])

class Complex(torch.nn.Linear):
    def forward(self, images):
        return super().forward(images.flatten(1).to(self.weight.dtype)).abs()

def complex_weights():
    return Complex(64, 10, dtype=torch.complex64)

def nan_weights():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    network[1].weight.data[0, 0] = float("nan")
    return network
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with good and bad files of every kind."""
    folder = tmp_path_factory.mktemp("inputs")
    torch.manual_seed(0)
    network = build_network("resnet8", n_channels=1, n_classes=10)
    state = network.state_dict()
    torch.save(state, folder / "good.pt")
    nan = {name: tensor.clone() for name, tensor in state.items()}
    nan["conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(nan, folder / "nan.pt")
    renamed = dict(state)
    renamed["linaer.weight"] = renamed.pop("linear.weight")
    torch.save(renamed, folder / "renamed.pt")
    torch.save(network, folder / "pickled.pt")
    (folder / "truncated.pt").write_bytes((folder / "good.pt").read_bytes()[:2000])
    (folder / "empty.pt").write_bytes(b"")
    images = np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), np.uint8)
    labels = np.arange(20) % 10
    np.savez(folder / "good.npz", images=images, labels=labels)
    np.savez(folder / "labels11.npz", images=images, labels=np.arange(20) % 11)
    np.savez(folder / "floats.npz", images=images / 255, labels=labels)
    np.savez(folder / "lengths.npz", images=images, labels=labels[:-1])
    np.savez(folder / "nameless.npz", pictures=images, labels=labels)
    np.savez(folder / "colour.npz", images=np.repeat(images, 3, axis=3), labels=labels)
    (folder / "text.h5").write_text("a note")
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = 1
    with h5py.File(folder / "short.h5", "w") as file:
        file["xdirection/0"] = np.zeros((3, 3))
    with h5py.File(folder / "names.h5", "w") as file:
        file["directions/alpha/conv9.weight"] = np.zeros((16, 1, 3, 3))
    for name, value in (("nan.h5", np.nan), ("line.h5", 1.0)):
        with h5py.File(folder / name, "w") as file:
            file["directions/alpha/conv1.weight"] = np.full((16, 1, 3, 3), value)
    with h5py.File(folder / "shapes.h5", "w") as file:
        for i, _ in enumerate(network.parameters()):
            file[f"xdirection/{i}"] = np.zeros(2)
    with h5py.File(folder / "variance.h5", "w") as file:
        for i, (name, tensor) in enumerate(network.state_dict().items()):
            file[f"xdirection/{i}"] = -tensor.numpy() * name.endswith("running_var")
    (folder / "hooks.py").write_text(HOOKS)
    (folder / "directory").mkdir()
    return folder


@pytest.fixture(scope="module")
def finished(folder, on_ranks):
    """A surface that is there already."""
    argv = ["landscape_mpi.surface", *good(out="--out=finished.h5").values()]
    on_ranks(1, argv, cwd=folder, check=True)
    return folder / "finished.h5"


def good(**changes):
    """Return the options of a run that works, but for the changes; None leaves one out."""
    options = {
        "model": "--model=resnet8",
        "checkpoint": "--checkpoint=good.pt",
        "data": "--data=digits",
        "limit": "--limit=20",
        "x": "--x=0:1:2",
        "out": "--out=new.h5",
    }
    options.update(changes)
    return {name: text for name, text in options.items() if text is not None}


CASES = {
    "no axis": ({"x": "--x=1:1:0"}, "--x: '1:1:0' requests 0 points."),
    "falling axis": ({"x": "--x=1:-1:5"}, "an axis must rise: MIN must be below MAX."),
    "axis of words": ({"y": "--y=left:right:5"}, "--y: 'left:right:5' is not an axis."),
    "no --x": ({"x": None}, "the following arguments are required: --x"),
    "unknown option": ({"z": "--normalise=filter"}, "Did you mean --normalize?"),
    "unknown normalization": ({"z": "--normalize=cube"}, "invalid choice: 'cube'"),
    "unknown ignore": (
        {"z": "--ignore=biases"},
        "--ignore: 'biases' matches no parameter of the network. Did you mean bias? Its names are "
        "conv1.weight, bn1.weight,",
    ),
    "all of it ignored": ({"z": "--ignore=*"}, "but with --ignore * none of these would move."),
    "an empty pattern": ({"z": "--ignore=bias,"}, "--ignore: 'bias,' contains an empty name."),
    "a pattern of nothing": ({"z": "--only=fc.*"}, "--only: 'fc.*' matches no parameter of the"),
    "what trained, of a checkpoint": ({"z": "--only=trainable"}, "every parameter of the network"),
    "a choice in given directions": (
        {"z": "--directions=short.h5", "y": "--only=linear.*"},
        "--only: shapes directions that are gradient or random or to, but those of this plane "
        "are: short.h5. Leave it out.",
    ),
    "unknown split": ({"z": "--splits=trian"}, "'trian' is not one of train, test."),
    "negative seed": ({"z": "--seed=-1"}, "'-1' is not a whole number from 0"),
    "batch of none": ({"z": "--batch=0"}, "'0' is not a whole number from 1 to 10**9."),
    "round of no length": ({"z": "--round-seconds=0"}, "'0' is not above 0."),
    "unknown model": ({"model": "--model=resnet9"}, "'resnet9' is not known. Did you mean resnet"),
    "unknown model without weights": (
        {"model": "--model=resnet9", "checkpoint": None},
        "--model: 'resnet9' is not known. Did you mean resnet",
    ),
    "no such module": ({"model": "--model=nets:build"}, "no module named nets"),
    "no such function": ({"model": "--model=hooks:raise"}, "has no function 'raise'. Did you mean"),
    "a function that raises": ({"model": "--model=hooks:raises"}, "ValueError: no such depth"),
    "a function of arguments": ({"model": "--model=hooks:wants_arguments"}, "needs arguments"),
    "no network": ({"model": "--model=hooks:no_network"}, "returned an int, not a torch.nn.Module"),
    "too few outputs": (
        {"model": "--model=hooks:three_outputs", "checkpoint": None},
        "has 3 outputs, but digits has 10 classes",
    ),
    "a network of NaN": (
        {"model": "--model=hooks:nan_weights", "checkpoint": None},
        "hooks:nan_weights: NaN or infinite weights in 1.weight (1 of 640)",
    ),
    "no checkpoint": ({"checkpoint": None}, "--checkpoint: none is given"),
    "a checkpoint that is not there": (
        {"checkpoint": "--checkpoint=god.pt"},
        "god.pt: no such checkpoint. Did you mean good.pt?",
    ),
    "a directory for a checkpoint": ({"checkpoint": "--checkpoint=directory"}, "is a directory"),
    "an empty checkpoint": ({"checkpoint": "--checkpoint=empty.pt"}, "empty.pt: is empty"),
    "a truncated checkpoint": (
        {"checkpoint": "--checkpoint=truncated.pt"},
        "truncated.pt: is truncated or damaged",
    ),
    "a pickled network": ({"checkpoint": "--checkpoint=pickled.pt"}, "pass --trust-checkpoint"),
    "weights that are NaN": ({"checkpoint": "--checkpoint=nan.pt"}, "conv1.weight (1 of 144)"),
    "a renamed weight": (
        {"checkpoint": "--checkpoint=renamed.pt"},
        "missing from it: linear.weight (nearest: linaer.weight)",
    ),
    "another network's checkpoint": ({"model": "--model=resnet14"}, "good.pt: does not fit"),
    "unknown data": ({"data": "--data=cifar11"}, "'cifar11' is not known. Did you mean cifar10?"),
    "data that is not there": ({"data": "--data=npz:none.npz"}, "there is no file none.npz"),
    "CIFAR-10 without a place": ({"data": "--data=cifar10"}, "needs --data-dir"),
    "CIFAR-10 in another place": (
        {"data": "--data=cifar10", "z": "--data-dir=directory"},
        "Pass --download to fetch it there",
    ),
    "labels out of range": (
        {"data": "--data=npz:labels11.npz"},
        "has 10 outputs, but npz:labels11",
    ),
    "images of floats": ({"data": "--data=npz:floats.npz"}, "uint8"),
    "lengths that differ": ({"data": "--data=npz:lengths.npz"}, "20"),
    "arrays of other names": ({"data": "--data=npz:nameless.npz"}, "pictures"),
    "images of three channels": ({"data": "--data=npz:colour.npz"}, "good.pt: tensors differ"),
    "more samples than there are": (
        {"limit": "--limit=2000"},
        "has only 1438 training samples. Pass at",
    ),
    "no test split": (
        {"data": "--data=npz:good.npz", "limit": None, "z": "--splits=test"},
        "names test, but --data npz:good.npz has only train.",
    ),
    "a limit on no training samples": (
        {"z": "--splits=test"},
        "but --splits test has none of them. Leave",
    ),
    "a type of GPUs on the CPU": (
        {"z": "--precision=tf32", "device": "--device=cpu"},
        "--precision tf32 needs an NVIDIA GPU, Ampere or newer, but this run computes on the CPU",
    ),
    "a tolerance for fp32": (
        {"z": "--tolerance=0.01"},
        "--tolerance 0.01: limits the deviation of another --precision from fp32, but --precision "
        "is fp32. Leave out --tolerance, or pass --precision auto.",
    ),
    "more ranks a point than ranks": (
        {"z": "--ranks-per-point=9"},
        "--ranks-per-point 9: the run has only",
    ),
    "points at once on several ranks": (
        {"z": "--points-at-once=4", "y": "--ranks-per-point=2"},
        "--points-at-once 4: stacks the weights of several points on one rank, and cannot be "
        "combined with --ranks-per-point 2. Leave out one of the two.",
    ),
    "points at once along several directions": (
        {"z": "--points-at-once=4", "y": "--repeats=3"},
        "and cannot be combined with --repeats 3. Leave out one of the two.",
    ),
    "points at once with statistics of their own": (
        {"z": "--points-at-once=4", "y": "--batch-norm=reestimate"},
        "and cannot be combined with --batch-norm reestimate. Leave out one of the two.",
    ),
    "points at once of compiled code": (
        {"z": "--points-at-once=4", "y": "--compile=on"},
        "and cannot be combined with --compile on. Leave out one of the two.",
    ),
    "points at once of a network that decides by its values": (
        {"model": "--model=hooks:branching", "checkpoint": None, "z": "--points-at-once=4"},
        "--points-at-once 4: not possible with this network: it does not compute with stacked "
        "weights",
    ),
    "a network that cannot compute in the type": (
        {"model": "--model=hooks:exact", "checkpoint": None, "z": "--precision=bf16"},
        "--precision bf16: the network cannot compute in it: not implemented for BFloat16. Pass",
    ),
    "dropout that stays on": (
        {"model": "--model=hooks:dropped", "checkpoint": None},
        "the same samples give different outputs the second time",
    ),
    "another network on another call": (
        {"model": "--model=hooks:varying", "checkpoint": None},
        "building the network a second time gave other tensors",
    ),
    "weights of complex numbers": (
        {"model": "--model=hooks:complex_weights", "checkpoint": None},
        "is complex, but a plane needs real weights",
    ),
    "directions of another network": (
        {"z": "--directions=names.h5"},
        "moves conv9.weight, which this network does not have (it has conv1.weight)",
    ),
    "directions of NaN": ({"z": "--directions=nan.h5"}, "holds values that are not finite"),
    "a plane from one direction": (
        {"z": "--directions=line.h5", "y": "--y=-1:1:3"},
        "holds a direction for alpha only, but --y requests a plane",
    ),
    "the checkpoint for --out": (
        {"out": "--out=good.pt", "fresh": "--fresh"},
        "--out: good.pt is a file that this command reads.",
    ),
    "the data for --out": (
        {"data": "--data=npz:good.npz", "out": "--out=good.npz"},
        "--out: good.npz is a file that this command reads.",
    ),
    "a text to be replaced": (
        {"out": "--out=text.h5", "fresh": "--fresh"},
        "text.h5: lacks the mark of a surface file",
    ),
    "a batch beyond all counting": ({"z": "--batch=1" + 30 * "0"}, "from 1 to 10**9."),
    "a mean of 255": ({"z": "--mean=125"}, "255"),
    "two means for one channel": ({"z": "--mean=0.5,0.5"}, "--mean"),
    "a deviation of 0": ({"z": "--std=0"}, "--std"),
    "no GPU": ({"z": "--device=cuda"}, "--device cuda: torch sees no such GPU "),
    "directions that are not there": ({"z": "--directions=none.h5"}, "none.h5: does not exist"),
    "directions of text": ({"z": "--directions=text.h5"}, "cannot be read as HDF5"),
    "a file without directions": ({"z": "--directions=other.h5"}, "holds x, but neither"),
    "directions of another length": ({"z": "--directions=short.h5"}, "holds 1 tensors, but this"),
    "directions of other shapes": ({"z": "--directions=shapes.h5"}, "has shape (2,), but in this"),
    "a variance below zero": (
        {"z": "--directions=variance.h5", "x": "--x=0:2:3"},
        "alpha = 2, beta = 0 this running variance reaches 0 at alpha = 1, beta = 0",
    ),
    "a seed for given directions": (
        {"z": "--directions=short.h5", "seed": "--seed=3"},
        "--seed: shapes directions that are random, but those of this plane are: short.h5",
    ),
    "a directory for --out": ({"out": "--out=directory"}, "--out: directory is a directory."),
    "a folder that is not there": ({"out": "--out=runs/a.h5"}, "there is no directory runs"),
    "a text for --out": ({"out": "--out=text.h5"}, "text.h5: exists but is not a readable HDF5"),
    "another's HDF5 for --out": ({"out": "--out=other.h5"}, "without the mark of a surface file"),
}


def listing(folder):
    return {
        entry.relative_to(folder): entry.read_bytes() if entry.is_file() else None
        for entry in folder.rglob("*")
        if "__pycache__" not in entry.parts
    }


def assert_refused(done, words, before, folder):
    text = " ".join(done.stderr.split())
    assert words in text
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("error: ") == 1
    assert not re.search(r'File ".*/landscape_mpi/', done.stderr)  # a traceback is the user's
    assert listing(folder) == before


def test_the_page_says_how_many_these_are():
    page = (ROOT / "docs/explanation/exactness.md").read_text()
    assert f"Each of {len(CASES)} bad inputs" in page


@pytest.mark.parametrize("case", CASES)
def test_one_message_and_nothing_written(case, folder, alone):
    changes, words = CASES[case]
    if case == "no GPU" and torch.cuda.is_available():
        pytest.skip("a GPU is here")
    before = listing(folder)
    done = alone(["landscape_mpi.surface", *good(**changes).values()], cwd=folder)
    assert_refused(done, words, before, folder)


OTHER_RUNS = {
    "another grid": (
        {"x": "--x=0:1:3"},
        "axis alpha has 2 points from 0.0 to 1.0, but --x requests 3",
    ),
    "another seed": ({"z": "--seed=2"}, "with seed 1, but this run requests seed 2."),
    "another choice of parameters": (
        {"z": "--only=linear.*"},
        "with only none moved, but this run requests only linear.* moved. A resumed run must be "
        "the same run: pass --only none, or a new --out",
    ),
    "others ignored": (
        {"z": "--ignore=bn,l*"},
        "ignored parameters bias,bn, but this run requests",
    ),
    "other data": ({"limit": "--limit=30"}, "limited to 20, but this run requests"),
    "other splits": ({"z": "--splits=train,test"}, "with splits train, but this run requests"),
    "another batch": ({"z": "--batch=7"}, "with batch 64, but this run requests batch 7."),
    "another precision": ({"z": "--precision=bf16"}, "precision fp32, but this run requests"),
    "other weights": (
        {
            "model": "--model=hooks:three_outputs",
            "checkpoint": None,
            "data": "--data=npz:3.npz",
        },
        "with model resnet8, but this run requests model hooks:three_outputs.",
    ),
}


@pytest.mark.parametrize("case", OTHER_RUNS)
def test_another_run_in_the_same_file(case, folder, finished, alone):
    changes, words = OTHER_RUNS[case]
    np.savez(
        folder / "3.npz",
        images=np.arange(20 * 64, dtype=np.uint8).reshape(20, 8, 8, 1),
        labels=np.arange(20) % 3,
    )
    before = listing(folder)
    argv = ["landscape_mpi.surface", *good(out=f"--out={finished.name}", **changes).values()]
    assert_refused(alone(argv, cwd=folder), words, before, folder)


@pytest.mark.parametrize(
    "case",
    [
        "unknown option",
        "an empty checkpoint",
        "no GPU",
        "directions of text",
        "dropout that stays on",
        "a text for --out",
    ],
)
def test_many_ranks_print_one_message(case, folder, on_ranks):
    changes, words = CASES[case]
    before = listing(folder)
    done = on_ranks(3, ["landscape_mpi.surface", *good(**changes).values()], cwd=folder)
    assert_refused(done, words, before, folder)
