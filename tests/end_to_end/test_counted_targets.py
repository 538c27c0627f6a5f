"""Targets that do not count, classes along axis 1 or -1, and weights, from option to file.

Oracle: torch's own losses with the mean over the whole split, at weights moved tensor by tensor.
"""

import sys

import h5py
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from landscape_mpi import ensemble, sharpness, train
from landscape_mpi.errors import InputError
from landscape_mpi.store.directions import read_directions
from landscape_mpi.zoo.checkpoint import read_checkpoint

MODULE = """
import torch
from torch import nn
from torch.nn import functional

WEIGHT = torch.tensor([1.0, 20.0, 0.0, 0.5])

def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))

def masks():
    images, classes = drawn(23, 2, 5, 6), drawn(23, 5, 6).mul(2).long().clamp(0, 3)
    classes[drawn(23, 5, 6) > 0.5] = 255
    classes[8:16] = 255  # whole batches in which nothing counts
    return {"train": (images, classes), "test": (images[:9] + 1, classes[:9])}

def unmasked():
    return {part: (images, classes % 255) for part, (images, classes) in masks().items()}

def torchs_own():
    return {
        part: (images, torch.where(classes == 255, -100, classes))
        for part, (images, classes) in masks().items()
    }

def square():
    return {"train": (drawn(11, 4, 3), torch.arange(44).reshape(11, 4) % 4)}

def nothing():
    images, classes = masks()["train"]
    return {"train": (images, classes), "test": (images, torch.full_like(classes, 255))}

class Square(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, rows):
        return self.linear(rows)  # as many places as classes

def square_network():
    torch.manual_seed(0)
    return Square()

def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 1)
    return nn.Sequential(*layers)

def void(outputs, targets):
    return functional.cross_entropy(outputs, targets, ignore_index=255, reduction="none")

def with_weights(outputs, targets):
    losses = functional.cross_entropy(
        outputs, targets, weight=WEIGHT, ignore_index=255, reduction="none"
    )
    counted = targets != 255
    return losses, torch.where(counted, WEIGHT[targets.where(counted, 0)], 0)
"""
WEIGHT = torch.tensor([1.0, 20.0, 0.0, 0.5])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current directory, with a module that is forgotten after."""
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "voids.py").write_text(MODULE)
    yield tmp_path
    sys.modules.pop("voids", None)


@pytest.fixture
def given(folder):
    """Return the names of the module."""
    namespace = {}
    exec(MODULE, namespace)
    return namespace


def command(out, *options, network="network"):
    names = ["--model", f"voids:{network}", "--x=0:1:2", "--batch=4", "--save-directions"]
    return ["landscape_mpi.surface", *names, "--out", str(out), *options]


def expected(network, directions, inputs, loss):
    """Return a mean loss at both points of a line, by torch alone."""
    losses = []
    for alpha in (0.0, 1.0):
        state = {
            name: tensor + alpha * torch.from_numpy(directions[name])
            if name in directions
            else tensor
            for name, tensor in network.state_dict().items()
        }
        with torch.no_grad():
            losses.append(float(loss(torch.func.functional_call(network, state, (inputs,)))))
    return losses


VOID, TORCH, PLAIN = ("--data=voids:masks",), ("--data=voids:torchs_own",), "--data=voids:unmasked"
IGNORE = "--ignore-index=255"


@pytest.mark.parametrize(
    ("options", "weight", "words"),
    [
        ((*VOID, IGNORE), None, "that are not 255: each counts once"),
        (TORCH, None, "that are not -100: each counts once"),
        ((*VOID, IGNORE, "--class-weights=1,20,0,0.5"), WEIGHT, "by the sum of the class weights"),
        ((*VOID, IGNORE, "--loss=voids:void"), None, "that are not 255: each counts once"),
        ((*VOID, IGNORE, "--loss=voids:with_weights"), WEIGHT, "by the sum of the weights it ret"),
    ],
)
def test_the_mean_is_over_what_counts(options, weight, words, given, folder, on_ranks):
    out = folder / "x.h5"
    done = on_ranks(1, command(out, *options, "--splits=train,test"), cwd=folder, check=True)
    assert words in done.stdout
    assert "train targets" in done.stdout
    network = given["network"]().eval()
    along = read_directions(out)["alpha"]
    of_torch = nn.CrossEntropyLoss(weight=weight, ignore_index=255)
    with h5py.File(out) as file:
        for part, (inputs, targets) in given["masks"]().items():
            counted = targets != 255
            wrong = float((network(inputs).argmax(1) != targets)[counted].float().mean())
            assert file[f"{part}_error"][0, 0] == pytest.approx(100 * wrong, 1e-5)
            found = expected(network, along, inputs, lambda o, t=targets: of_torch(o, t))
            np.testing.assert_allclose(file[f"{part}_loss"][:, 0], found, 1e-5)
        assert file.attrs["class_axis"] == 1
    assert f"{len(targets[counted]):,} of {targets.numel():,} test targets" in done.stdout


SMOOTH = "--label-smoothing=0.1"


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_label_smoothing_from_the_option_to_the_file(weight, given, folder, on_ranks):
    out = folder / "x.h5"
    options = [*VOID, IGNORE, SMOOTH]
    if weight is not None:
        options.append("--class-weights=1,20,0,0.5")
    done = on_ranks(2, command(out, *options), cwd=folder, check=True)
    assert "label smoothing 0.1" in done.stdout
    of_torch = nn.CrossEntropyLoss(weight=weight, ignore_index=255, label_smoothing=0.1)
    inputs, targets = given["masks"]()["train"]
    along = read_directions(out)["alpha"]
    found = expected(given["network"]().eval(), along, inputs, lambda o: of_torch(o, targets))
    with h5py.File(out) as file:
        np.testing.assert_allclose(file["train_loss"][:, 0], found, 1e-5)
        assert file.attrs["label_smoothing"] == 0.1
    stacked = folder / "stacked.h5"
    on_ranks(1, command(stacked, *options, "--points-at-once=2"), cwd=folder, check=True)
    with h5py.File(stacked) as file:
        np.testing.assert_allclose(file["train_loss"][:, 0], found, 1e-5)


@pytest.mark.parametrize("gauss_newton", [False, True])
def test_the_hessian_of_smoothed_labels(gauss_newton, given, folder, on_ranks):
    """All second derivatives by torch; the head is linear, so that both matrices are one."""
    out = folder / "x.h5"
    options = [*VOID, IGNORE, SMOOTH, "--class-weights=1,20,0,0.5", "--y=0", "--only=3.*"]
    on_ranks(1, command(out, *options), cwd=folder, check=True)
    words = ["landscape_mpi.hessian", str(out), "--tolerance=1e-5", "--batch=4"]
    on_ranks(2, [*words, *["--gauss-newton"] * gauss_newton], cwd=folder, check=True)
    network = given["network"]().eval()
    inputs, targets = given["masks"]()["train"]
    of_torch = nn.CrossEntropyLoss(WEIGHT, ignore_index=255, label_smoothing=0.1)

    def loss(weight):
        outputs = torch.func.functional_call(network, {"3.weight": weight}, (inputs,))
        return of_torch(outputs, targets)

    weight = network.get_parameter("3.weight").detach()
    dense = torch.autograd.functional.hessian(loss, weight).reshape(weight.numel(), -1)
    with h5py.File(out) as file:
        found = file["hessian_max"][0, 0]
    assert found == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-3)


def test_sharpness_begins_at_the_smoothed_loss(given, folder, on_ranks, capsys):
    out = folder / "x.h5"
    on_ranks(1, command(out, *VOID, IGNORE, SMOOTH), cwd=folder, check=True)
    options = ["--iterations=1", "--radius=0.001", "--fresh-networks=1", "--device=cpu"]
    assert sharpness.main([str(out), *options]) == 0
    inputs, targets = given["masks"]()["train"]
    of_torch = nn.CrossEntropyLoss(ignore_index=255, label_smoothing=0.1)
    center = of_torch(given["network"]().eval()(inputs), targets).item()
    assert f"at the center {center:.6g}" in capsys.readouterr().out


def test_label_smoothing_is_of_cross_entropy(folder, on_ranks):
    words = command(folder / "x.h5", *VOID, IGNORE, SMOOTH, "--loss=voids:void")
    done = on_ranks(1, words, cwd=folder)
    assert done.returncode == 2
    assert (
        "--label-smoothing 0.1: applies only to cross_entropy, but --loss is voids:void"
        in done.stderr
    )


def test_ranks_threads_and_stacks_do_not_show(folder, on_ranks):
    options = [*VOID, IGNORE, "--splits=train,test", "--loss=voids:with_weights"]
    files = [folder / f"{name}.h5" for name in ("one", "three", "stack")]
    on_ranks(1, command(files[0], *options), cwd=folder, check=True)
    on_ranks(3, command(files[1], *options, "--ranks-per-point=3"), cwd=folder, check=True)
    on_ranks(2, command(files[2], *options, "--points-at-once=2"), cwd=folder, check=True)
    with h5py.File(files[0]) as one, h5py.File(files[1]) as three, h5py.File(files[2]) as stack:
        for name in ("train_loss", "train_error", "test_loss", "test_error"):
            np.testing.assert_array_equal(three[name], one[name])
            np.testing.assert_allclose(stack[name], one[name], 1e-5)


def test_places_that_are_as_many_as_classes(given, folder, on_ranks):
    out = folder / "x.h5"
    options = ["--data=voids:square"]
    done = on_ranks(2, command(out, *options, network="square_network"), cwd=folder)
    assert done.returncode == 2
    assert "pass --class-axis 1 or --class-axis -1." in done.stderr
    assert not out.exists()
    inputs, targets = given["square"]()["train"]
    outputs = given["square_network"]()(inputs)
    for axis in (1, -1):
        name = folder / f"{axis}.h5"
        told = [*options, f"--class-axis={axis}"]
        on_ranks(1, command(name, *told, network="square_network"), cwd=folder, check=True)
        loss = functional.cross_entropy(outputs.movedim(axis, 1), targets).item()
        with h5py.File(name) as file:
            assert file["train_loss"][0, 0] == pytest.approx(loss, rel=1e-5)
            wrong = (outputs.argmax(axis) != targets).float().mean()
            assert file["train_error"][0, 0] == pytest.approx(100 * float(wrong), rel=1e-5)
    again = on_ranks(
        1, command(name, *options, "--class-axis=1", network="square_network"), cwd=folder
    )
    assert again.returncode == 2
    assert (
        "was computed with classes along axis -1, but this run requests classes along axis 1"
        in (again.stderr)
    )


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((*VOID, "--ignore-index=none"), "has 4 outputs, but voids:masks has 256 classes"),
        (
            (*VOID, IGNORE, "--class-weights=1,1,2,3"),
            "was computed with class weights none, but this run requests class weights "
            "1.0,1.0,2.0,3.0",
        ),
        (
            (*VOID, IGNORE, "--label-smoothing=0.1"),
            "was computed with label smoothing 0.0, but this run requests label smoothing 0.1",
        ),
        (
            (*TORCH,),
            "was computed with targets of 255 left out, but this run requests targets of -100",
        ),
    ],
)
def test_another_reading_does_not_resume(options, words, folder, on_ranks):
    out = folder / "x.h5"
    on_ranks(1, command(out, *VOID, IGNORE), cwd=folder, check=True)
    on_ranks(1, command(out, *VOID, IGNORE), cwd=folder, check=True)
    done = on_ranks(1, command(out, *options), cwd=folder)
    assert done.returncode == 2
    assert words in done.stderr


def test_a_split_in_which_nothing_counts_is_refused(folder, on_ranks):
    out = folder / "x.h5"
    options = ["--data=voids:nothing", IGNORE]
    done = on_ranks(2, command(out, *options, "--splits=train,test"), cwd=folder)
    assert done.returncode == 2
    assert "none of the 690 targets of test counts" in done.stderr
    assert not out.exists()
    on_ranks(1, command(out, *options), cwd=folder, check=True)  # test is not asked for


def mean_loss(network, given, part="train", weight=None):
    inputs, targets = given["masks"]()[part]
    return functional.cross_entropy(network(inputs), targets, weight=weight, ignore_index=255)


def test_the_hessian_of_the_mean_over_what_counts(given, folder, on_ranks):
    """All second derivatives by torch, of which the ends of the spectrum are taken."""
    out = folder / "x.h5"
    options = [*VOID, IGNORE, "--class-weights=1,20,0,0.5", "--y=0", "--only=3.*"]
    on_ranks(1, command(out, *options), cwd=folder, check=True)
    words = ["landscape_mpi.hessian", str(out), "--tolerance=1e-5", "--batch=4"]
    on_ranks(2, words, cwd=folder, check=True)
    network = given["network"]().eval()

    def loss(weight):
        return nn.CrossEntropyLoss(WEIGHT, ignore_index=255)(
            torch.func.functional_call(network, {"3.weight": weight}, (inputs,)), targets
        )

    inputs, targets = given["masks"]()["train"]
    weight = network.get_parameter("3.weight").detach()
    dense = torch.autograd.functional.hessian(loss, weight).reshape(weight.numel(), -1)
    ends = torch.linalg.eigvalsh(dense)
    with h5py.File(out) as file:
        assert file["hessian_max"][0, 0] == pytest.approx(float(ends[-1]), rel=1e-3)


def test_sharpness_begins_at_the_mean_over_what_counts(given, folder, on_ranks, capsys):
    out = folder / "x.h5"
    on_ranks(1, command(out, *VOID, IGNORE), cwd=folder, check=True)
    options = ["--iterations=1", "--radius=0.001", "--fresh-networks=1", "--device=cpu"]
    assert sharpness.main([str(out), *options]) == 0
    told = capsys.readouterr().out
    center = mean_loss(given["network"]().eval(), given).item()
    assert f"at the center {center:.6g}" in told
    sys.modules.pop("voids")
    (folder / "voids.py").write_text(MODULE.replace("classes[8:16]", "classes[:2]"))
    on_ranks(1, command(folder / "y.h5", *VOID, IGNORE), cwd=folder, check=True)
    with pytest.raises(InputError, match="none of the 60 targets of train counts"):
        sharpness.main([str(folder / "y.h5"), *options, "--limit=2", "--subset=first"])


def trained(given, rows_of):
    """Return a network trained for two epochs by plain torch, and its losses by the way."""
    network = given["network"]()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    inputs, targets = given["masks"]()["train"]
    for rows in rows_of:
        network.train()
        counted = targets[rows] != 255
        if counted.any():
            loss = functional.cross_entropy(network(inputs[rows]), targets[rows], ignore_index=255)
        else:
            loss = 0 * network(inputs[rows]).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def recipe(*options):
    plain = ["--momentum=0", "--no-nesterov", "--weight-decay=0", "--device=cpu", "--threads=1"]
    names = ["--model=voids:network", *VOID, IGNORE, "--batch-size=23", "--lr=0.1", "--epochs=2"]
    plain += ["--lr-drops=none"]
    return [*names, *plain, *options]


def test_training_is_that_of_a_plain_loop(given, folder, capsys):
    assert train.main(recipe("--out=w.pt")) == 0
    found = read_checkpoint(folder / "w.pt").state
    network = trained(given, [slice(None)] * 2)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-4, atol=1e-5)
    inputs, targets = given["masks"]()["test"]
    loss = mean_loss(network, given, "test")
    wrong = (network(inputs).argmax(1) != targets)[targets != 255].float().mean()
    told = capsys.readouterr().out
    assert f"test loss {loss:.4f} error {100 * wrong:.2f} %" in told
    assert "23 train and 9 test images (targets of 255 do not count); CPU" in told


def test_ranks_train_as_one_where_their_parts_count_differently(folder, on_ranks):
    """Without batch-norm, whose statistics are those of rank 0's part."""
    text = MODULE.replace(", nn.BatchNorm2d(6)", "")
    (folder / "voids.py").write_text(text)
    states = []
    for n in (1, 2):
        words = ["landscape_mpi.train", *recipe(f"--out={n}.pt", "--batch-size=10", "--seed=3")]
        on_ranks(n, words, cwd=folder, check=True)
        states.append(read_checkpoint(folder / f"{n}.pt").state)
    for name, tensor in states[0].items():
        torch.testing.assert_close(states[1][name], tensor, rtol=1e-4, atol=1e-6)


def test_a_training_is_not_resumed_with_another_reading(folder):
    words = [PLAIN if word in VOID else word for word in recipe("--run=run")]
    assert train.main(words) == 0
    with pytest.raises(InputError, match="--ignore-index 255, but this command has --ignore-index"):
        train.main([*words, "--ignore-index=3"])


def test_labels_that_stand_for_no_class_are_not_replaced(folder):
    with pytest.raises(InputError) as caught:
        train.main(recipe("--out=w.pt", "--label-noise=0.1"))
    assert str(caught.value) == (
        "--label-noise 0.1: replaces labels by other classes, but targets of 255 do not count and "
        "stand for no class. Leave out --label-noise."
    )


def test_curves_and_barriers_read_targets_alike(given, folder, on_ranks):
    for name, lr in (("a", 0.1), ("b", 0.2)):
        assert train.main(recipe(f"--out={name}.pt", f"--lr={lr}")) == 0
    words = ["--model=voids:network", *VOID, IGNORE, "--device=cpu"]
    joined = ["landscape_mpi.curve", "train", *words, "--start=a.pt", "--end=b.pt", "--out=c.pt"]
    on_ranks(1, [*joined, "--epochs=1", "--bends=3", "--threads=1"], cwd=folder, check=True)
    along = ["landscape_mpi.curve", "evaluate", "c.pt", "--points=3", "--out=c.h5"]
    on_ranks(1, [*along, "--device=cpu"], cwd=folder, check=True)
    lines = ["landscape_mpi.curve", "barriers", "a.pt", "b.pt", *words, "--points=3"]
    on_ranks(1, [*lines, "--out=l.h5"], cwd=folder, check=True)
    network = given["network"]()
    network.load_state_dict(read_checkpoint(folder / "a.pt").state)
    inputs, _ = given["masks"]()["train"]
    norm = network[1]
    norm.momentum = None
    norm.reset_running_stats()
    network.train()(inputs)  # statistics are measured again at every place
    loss = mean_loss(network.eval(), given).item()
    for name in ("c.h5", "l.h5"):
        with h5py.File(folder / name) as file:
            assert file["train_loss"][0, 0] == pytest.approx(loss, rel=1e-3)
            assert file.attrs["ignore_index"] == 255
            assert file.attrs["class_axis"] == 1


def test_ensembles_score_what_counts(given, folder, capsys):
    assert train.main(recipe("--out=a.pt")) == 0
    plain = ["--device=cpu", "--threads=1", "--batch-size=23", "--epochs=2", "--cycle=2"]
    names = ["--model=voids:network", *VOID, IGNORE, "--start=a.pt", "--single=a.pt", "--run=run"]
    assert ensemble.main([*names, *plain]) == 0
    network = given["network"]()
    network.load_state_dict(read_checkpoint(folder / "a.pt").state)
    inputs, targets = given["masks"]()["test"]
    loss = mean_loss(network.eval(), given, "test").item()
    wrong = (network(inputs).argmax(1) != targets)[targets != 255].float().mean()
    rows = (folder / "run" / "comparison.csv").read_text().splitlines()
    single = next(row.split(",") for row in rows if row.startswith("one network"))
    assert float(single[3]) == pytest.approx(loss, rel=1e-5)
    assert float(single[4]) == pytest.approx(100 * float(wrong), rel=1e-5)
