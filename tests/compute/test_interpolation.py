"""Planes through checkpoints.

Oracle for directions: vectors whose angles are known. Oracle for the command: the checkpoints
themselves, evaluated by a plain loop over the unmodified network, each with its own batch-norm
statistics, and torch.optim.swa_utils.update_bn for statistics that are measured again.
"""

import importlib
import shutil

import h5py
import numpy as np
import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from landscape_mpi.compute.interpolation import difference, place_in_plane, turned_orthogonal
from landscape_mpi.errors import InputError
from landscape_mpi.zoo.datasets import load_dataset
from landscape_mpi.zoo.networks import build_network

N_IMAGES = 300


def vector(*values):
    return {"w": np.array(values, np.float32)}


def test_the_difference_leaves_out_what_is_alike_or_stays():
    center = {"a": np.ones(2, np.float32), "b": np.ones(2, np.float32), "c": np.zeros(1)}
    other = {"a": np.full(2, 3, np.float32), "b": np.ones(2, np.float32), "c": np.ones(1)}
    found = difference(center, other, {"a", "b"})
    assert list(found) == ["a"]
    np.testing.assert_array_equal(found["a"], [2, 2])


def test_a_direction_turned_orthogonal():
    first, second = vector(2, 0, 0), vector(3, 4, 0)
    np.testing.assert_allclose(turned_orthogonal(second, first)["w"], [0, 4, 0], atol=1e-7)
    as_long = turned_orthogonal(second, first, length=2)
    np.testing.assert_allclose(as_long["w"], [0, 2, 0], atol=1e-7)
    assert place_in_plane(second, first, as_long) == pytest.approx((1.5, 2.0))
    with pytest.raises(InputError, match="parallel, so they span a line"):
        turned_orthogonal(vector(-1, 0, 0), first)


def test_directions_that_move_different_tensors():
    first, second = {"a": np.ones(2, np.float32)}, {"b": np.ones(1, np.float32)}
    assert turned_orthogonal(second, first).keys() == {"a", "b"}
    assert place_in_plane(second, first, second) == pytest.approx((0, 1))


def test_places_in_a_skew_plane():
    first, second = vector(1, 2, 3), vector(-1, 0.5, 2)
    point = {"w": 0.3 * first["w"] - 2 * second["w"]}
    assert place_in_plane(point, first, second) == pytest.approx((0.3, -2), abs=1e-6)


@pytest.fixture(scope="module")
def solutions(tmp_path_factory):
    """Three networks whose weights and statistics differ as those of trained ones do."""
    folder = tmp_path_factory.mktemp("solutions")
    images = normalised(load_dataset("digits"), "train")
    for number, name in enumerate(("one", "two", "three")):
        torch.manual_seed(number)
        network = build_network("resnet8", n_channels=1, n_classes=10)
        update_bn([images], network)
        with torch.no_grad():
            for module in network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.weight.uniform_(0.5, 1.5)
        state = network.state_dict()
        if name == "three":  # so that its variances and those of two add up to positive ones
            first = torch.load(folder / "one.pt", weights_only=True)
            for key in state:
                if key.endswith("running_var"):
                    state[key] = torch.maximum(state[key], first[key])
        torch.save(state, folder / f"{name}.pt")
    return folder


def normalised(data, split):
    images = torch.from_numpy(data.splits[split].inputs[:N_IMAGES]).permute(0, 3, 1, 2) / 255
    return (images - torch.tensor(data.mean)) / torch.tensor(data.std)


def plain_loss(network):
    data = load_dataset("digits")
    targets = torch.from_numpy(data.splits["train"].targets[:N_IMAGES])
    with torch.no_grad():
        logits = network.eval()(normalised(data, "train"))
        return float(nn.functional.cross_entropy(logits.double(), targets))


def loaded(path):
    network = build_network("resnet8", n_channels=1, n_classes=10)
    network.load_state_dict(torch.load(path, weights_only=True))
    return network


def command(solutions, out, *options):
    return [
        *("landscape_mpi.surface", "--model", "resnet8", "--data", "digits"),
        *("--checkpoint", str(solutions / "one.pt"), "--limit", str(N_IMAGES), "--subset", "first"),
        *("--out", str(out), "--to", str(solutions / "two.pt"), *options),
    ]


def losses(path):
    with h5py.File(path) as file:
        return file["train_loss"][...]


def test_the_ends_of_a_line_are_the_checkpoints(solutions, tmp_path, on_ranks):
    out = tmp_path / "line.h5"
    done = on_ranks(2, command(solutions, out, "--x=0:1:5"), check=True)
    found = losses(out).ravel()
    assert found[0] == pytest.approx(plain_loss(loaded(solutions / "one.pt")), rel=1e-5)
    assert found[-1] == pytest.approx(plain_loss(loaded(solutions / "two.pt")), rel=1e-5)
    assert "0 batch-norms folded, 9 left" in done.stdout
    with h5py.File(out) as file:
        assert file.attrs["batch_norm"] == "move"
        assert file["marks/name"].asstr()[...].tolist() == ["one", "two"]
        assert file["marks/alpha"][...].tolist() == [0, 1]
        assert file["directions"].attrs["source"] == f"to {solutions / 'two.pt'}"
    summary = on_ranks(1, ["landscape_mpi.surface", "--summary", str(out)], check=True)
    assert "barrier from 0 to 1: " in summary.stdout


def test_checkpoints_of_one_name_are_told_apart_by_their_folders(solutions, tmp_path, on_ranks):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        shutil.copy(solutions / f"{name}.pt", tmp_path / name / "net.pt")
    out = tmp_path / "line.h5"
    ends = ("--checkpoint", tmp_path / "one/net.pt", "--to", tmp_path / "two/net.pt")
    on_ranks(1, command(solutions, out, "--x=0", *ends), check=True)
    with h5py.File(out) as file:
        assert file["marks/name"].asstr()[...].tolist() == ["one/net", "two/net"]


def test_three_checkpoints_span_a_plane(solutions, tmp_path, on_ranks):
    out, third = tmp_path / "plane.h5", str(solutions / "three.pt")
    axes = ("--x=0:1:3", "--y=0:1:3", "--to-y", third)
    on_ranks(2, command(solutions, out, *axes), check=True)
    expected = [plain_loss(loaded(solutions / f"{n}.pt")) for n in ("one", "two", "three")]
    found = losses(out)
    assert [found[0, 0], found[2, 0], found[0, 2]] == pytest.approx(expected, rel=1e-5)
    square, again = tmp_path / "square.h5", tmp_path / "again.h5"
    near = ("--x=0:0.01:2", "--y=0:0.01:2", "--to-y", third)
    on_ranks(1, command(solutions, square, *near, "--orthogonal"), check=True)
    with h5py.File(square) as file:
        known = file["directions"].attrs
        assert abs(known["cosine"]) < 1e-6
        assert known["norm_beta"] == pytest.approx(known["norm_alpha"], rel=1e-6)
        place = file["marks/alpha"][2], file["marks/beta"][2]
    # The third checkpoint is where its mark says: a grid of that one point.
    here = (f"--x={float(place[0])!r}", f"--y={float(place[1])!r}", "--to-y", third)
    on_ranks(1, command(solutions, again, *here, "--orthogonal"), check=True)
    assert losses(again).item() == pytest.approx(expected[2], rel=1e-4)


def test_a_checkpoint_and_a_random_direction(solutions, tmp_path, on_ranks):
    paths = []
    for n_ranks in (1, 3):
        paths.append(tmp_path / f"{n_ranks}.h5")
        axes = ("--x=0:1:3", "--y=-0.5:0.5:3", "--orthogonal", "--seed=3")
        on_ranks(n_ranks, command(solutions, paths[-1], *axes), check=True)
    np.testing.assert_array_equal(losses(paths[0]), losses(paths[1]))
    with h5py.File(paths[0]) as file:
        known = file["directions"].attrs
        assert known["source"].endswith("two.pt; random, orthogonal")
        assert (known["seed"], known["ignore"]) == (3, "bias,bn")
        assert abs(known["cosine"]) < 1e-6


def test_statistics_that_are_measured_again(solutions, tmp_path, on_ranks):
    """Half way: torch's own re-estimation, batch by batch as the run does it."""
    out = tmp_path / "again.h5"
    options = ("--x=0:1:3", "--batch-norm=reestimate", "--batch=100")
    done = on_ranks(2, command(solutions, out, *options), check=True)
    assert "9 batch-norms kept, the statistics of 9 measured again" in done.stdout
    one, two = (loaded(solutions / f"{name}.pt") for name in ("one", "two"))
    with torch.no_grad():
        for first, second in zip(one.parameters(), two.parameters(), strict=True):
            first.add_(second).div_(2)
    update_bn(normalised(load_dataset("digits"), "train").split(100), one)
    assert losses(out).ravel()[1] == pytest.approx(plain_loss(one), rel=1e-4)
    alone = tmp_path / "alone.h5"
    on_ranks(1, command(solutions, alone, *options), check=True)
    np.testing.assert_array_equal(losses(out), losses(alone))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            ["--x=-9:1:3"],
            "this running variance reaches 0 at alpha = -",
        ),
        (["--x=0:1:3", "--to-y", "{three}"], "--to-y {three}: lies at beta = 1, but without --y"),
        (["--x=0:1:3", "--to", "{one}"], "--to {one}: holds the weights of --checkpoint itself"),
        (["--x=0:1:3", "--orthogonal"], "--orthogonal changes the direction of beta"),
        (
            ["--x=0:1:3", "--y=0:1:3", "--to-y", "{two}", "--orthogonal"],
            "--orthogonal: the two directions are parallel",
        ),
        (
            ["--x=0:1:3", "--batch-norm=reestimate", "--splits=test"],
            "measures on the training set, but --splits test leaves it out",
        ),
        (
            ["--x=0:1:3", "--batch-norm=reestimate", "--compile=on"],
            "changes how the layers compute, which is impossible in compiled code",
        ),
        (
            ["--x=0:1:3", "--batch-norm=reestimate", "--ranks-per-point=2"],
            "needs the whole training set on one rank, but --ranks-per-point 2 divides it",
        ),
        (
            ["--x=0:1:3", "--directions", "{one}"],
            "--to: defines a direction of the plane, and so does --directions {one}",
        ),
        (["--x=0:1:3", "--to", "{out}"], "nothing.pt: no such checkpoint"),
    ],
)
def test_bad_input(options, words, solutions, tmp_path, alone):
    names = {name: str(solutions / f"{name}.pt") for name in ("one", "two", "three")}
    names["out"] = str(tmp_path / "nothing.pt")
    out = tmp_path / "bad.h5"
    argv = command(solutions, out, *(word.format(**names) for word in options))
    done = alone(argv, cwd=tmp_path)
    assert done.returncode == 2
    assert words.format(**names) in " ".join(done.stderr.split())
    assert not out.exists()


def test_options_that_need_another_checkpoint(solutions, tmp_path, alone):
    out = tmp_path / "bad.h5"
    argv = command(solutions, out, "--x=0:1:3")
    place = argv.index("--to")
    for options, words in [
        (["--batch-norm=move"], "--batch-norm move: moves the running statistics to those of"),
        (["--to-y", "x.pt", "--y=0:1:2"], "names the second solution, but --to names no"),
    ]:
        done = alone([*argv[:place], *argv[place + 2 :], *options], cwd=tmp_path)
        assert done.returncode == 2
        assert words in " ".join(done.stderr.split())


def test_another_treatment_of_the_statistics_is_not_resumed(solutions, tmp_path, on_ranks):
    out = tmp_path / "line.h5"
    on_ranks(1, command(solutions, out, "--x=0:1:2"), check=True)
    done = on_ranks(1, command(solutions, out, "--x=0:1:2", "--batch-norm=reestimate"))
    assert (
        "with batch-norm statistics move, but this run requests batch-norm statistics"
        in done.stderr
    )


FROZEN = """
import torch
from torch import nn

class FrozenBatchNorm(nn.Module):
    def __init__(self, n):
        super().__init__()
        for name, start in (("weight", 1), ("bias", 0), ("running_mean", 0), ("running_var", 1)):
            self.register_buffer(name, torch.full((n,), float(start)))
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, x):
        scale = self.weight * (self.running_var + 1e-5).rsqrt()
        return x * scale[:, None, None] + (self.bias - self.running_mean * scale)[:, None, None]

def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), FrozenBatchNorm(4), nn.ReLU(), nn.Flatten(),
                         nn.Linear(144, 10))
"""


def test_buffers_of_a_frozen_batch_norm_lead_to_the_other_solution(tmp_path, on_ranks, monkeypatch):
    (tmp_path / "frozen_net.py").write_text(FROZEN)
    monkeypatch.syspath_prepend(tmp_path)
    network = importlib.import_module("frozen_net").network()
    ends = []
    for number, name in enumerate(("one", "two")):
        with torch.no_grad():
            for values in (*network.parameters(), *network.buffers()):
                draw = torch.rand(values.shape, generator=torch.Generator().manual_seed(number))
                values.copy_(draw - 0.3 if values.ndim > 1 else draw + 0.5 + number)
        torch.save(network.state_dict(), tmp_path / f"{name}.pt")
        ends.append(plain_loss(network))
    out = tmp_path / "line.h5"
    argv = [
        *("landscape_mpi.surface", "--model=frozen_net:network", "--data=digits", "--x=0:1:2"),
        *("--checkpoint=one.pt", "--to=two.pt", f"--limit={N_IMAGES}", "--subset=first"),
        *("--out", out),
    ]
    done = on_ranks(1, argv, cwd=tmp_path, check=True)
    assert losses(out).ravel() == pytest.approx(ends, rel=1e-5)
    assert "1.steps: these whole numbers differ between the two solutions" in done.stdout
    again = on_ranks(1, [*argv, "--fresh", "--batch-norm=reestimate"], cwd=tmp_path, check=True)
    assert "statistics of 1 measured again, 1 of them frozen in training (FrozenBat" in again.stdout
    said = on_ranks(1, ["landscape_mpi.surface", "--summary", out], check=True).stdout
    assert "batch-norm: running statistics measured again at every point" in said


MASKED = """
import torch
from torch import nn
class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)
        self.register_buffer("mask", torch.arange(64) % 2 == 0)

    def forward(self, x):
        return self.layer(x.flatten(1) * self.mask)

def network():
    torch.manual_seed(0)
    return Masked()
"""


def test_a_mask_that_differs_is_refused(tmp_path, on_ranks):
    (tmp_path / "masked_net.py").write_text(MASKED)
    state = {"layer.weight": torch.ones(10, 64), "layer.bias": torch.ones(10)}
    for name, remainder in (("one", 0), ("two", 1)):
        torch.save(state | {"mask": torch.arange(64) % 2 == remainder}, tmp_path / f"{name}.pt")
    argv = [
        *("landscape_mpi.surface", "--model=masked_net:network", "--data=digits", "--x=0:1:2"),
        *("--checkpoint=one.pt", "--to=two.pt", "--out=line.h5"),
    ]
    done = on_ranks(1, argv, cwd=tmp_path)
    assert done.returncode == 2
    assert "--to two.pt: mask: these whole numbers (a pruning mask, for example)" in done.stderr
    assert not (tmp_path / "line.h5").exists()
