"""Quantities beside loss and error: the norm of the gradient, of networks and of problems.

Oracle: torch's autograd on the mean loss over all samples, or all batches, of the network that the
user's function builds, moved by the vectors in the file; the bits of one rank and of a run that was
never stopped; the values of a run without them.
"""

from __future__ import annotations

import os
import signal
import textwrap

import h5py
import numpy as np
import pytest
import torch
from disturbance import ranks_that_write, wait_for_points
from folders import TESTS
from libraries import imported
from limits import LIMIT_S
from one_process import run_alone, said_by
from plain_loop import flat, move_to, read_plane
from problem_hessian import PlainHessian
from torch import nn

import landscape_mpi as lm
from landscape_mpi.errors import InputError
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.choice import choose_quantities
from landscape_mpi.zoo.datasets import load_dataset

PLANE = ("--x=-1:1:3", "--y=-1:1:3", "--save-directions")
PLACES = ((1, 1), (0, 1), (2, 0))
ALSO = "--also=gradient_norm"
NETWORK = """
    import os, time
    import torch
    from torch import nn

    @torch.fx.wrap  # called also where the network has been traced
    def lagging(x):
        time.sleep(float(os.environ.get("LAG", 0)))
        return x

    class Slow(nn.Flatten):
        def forward(self, x):
            return super().forward(lagging(x))

    def build():
        torch.manual_seed(0)
        norm = nn.BatchNorm2d(3)
        norm.running_var.uniform_(0.1, 0.5)
        layers = [nn.Conv2d(1, 3, 3, stride=2, bias=False), norm, nn.ReLU(), Slow()]
        return nn.Sequential(*layers, nn.Linear(27, 10)).eval()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the module of a network."""
    path = tmp_path_factory.mktemp("network")
    (path / "steep.py").write_text(textwrap.dedent(NETWORK))
    return path


def network_command(out, *options, splits="train,test"):
    words = ["landscape_mpi.surface", "--model=steep:build", "--data=digits", f"--splits={splits}"]
    return [*words, *PLANE, "--limit=200", "--subset=first", f"--out={out}", *options]


@pytest.fixture(scope="module")
def undisturbed(folder, on_ranks):
    """The surface of a network on one rank, and what it said."""
    out = folder / "undisturbed.h5"
    return out, on_ranks(1, network_command(out, ALSO), cwd=folder, check=True).stdout


def values_of(path):
    with h5py.File(path) as file:
        names = [name for name in file if name.startswith(("train_", "test_"))]
        return {name: file[name][()] for name in names}


def norm_of(losses, parameters):
    found = torch.autograd.grad(losses, parameters)
    return float(torch.cat([each.flatten() for each in found]).norm())


def moved_names(path):
    with h5py.File(path) as file:
        return {name for name, _ in flat(file["directions/alpha"])}


# Networks.


def plain_norm(path, place, split):
    """Return the norm for a network of the module, by one backward pass in float64."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(3)
    norm.running_var.uniform_(0.1, 0.5)
    layers = [nn.Conv2d(1, 3, 3, stride=2, bias=False), norm, nn.ReLU(), nn.Flatten()]
    network = nn.Sequential(*layers, nn.Linear(27, 10)).double()
    move_to(network, place, read_plane(path))
    data = load_dataset("digits")
    taken = data.splits[split].first(200) if split == "train" else data.splits[split]
    images = torch.from_numpy(taken.inputs).permute(0, 3, 1, 2).double() / 255
    outputs = network.eval()((images - data.mean[0]) / data.std[0])
    loss = nn.functional.cross_entropy(outputs, torch.from_numpy(taken.targets))
    moved = moved_names(path)
    return norm_of(loss, [p for name, p in network.named_parameters() if name in moved])


def test_a_network_has_the_norm_of_a_plain_backward_pass(undisturbed):
    path, said = undisturbed
    with h5py.File(path) as file:
        for split in ("train", "test"):
            dataset = file[f"{split}_gradient_norm"]
            for place in PLACES:
                expected = plain_norm(path, place, split)
                assert dataset[place] == pytest.approx(expected, rel=1e-5)
            assert dataset.attrs["units"] == "nat"
            assert "norm of the gradient of the mean loss" in dataset.attrs["long_name"]
        assert file.attrs["also"] == "gradient_norm"
    assert "also: gradient_norm, the norm of the gradient" in said
    assert "train_gradient_norm: " in said
    assert "test_gradient_norm: " in said


def test_any_number_of_ranks_gives_the_same_bits(undisturbed, folder, tmp_path, on_ranks):
    """Four ranks for nine points would share points where nothing else is asked."""
    for n in (2, 4):
        out = tmp_path / f"{n}.h5"
        on_ranks(n, network_command(out, ALSO), cwd=folder, check=True)
        np.testing.assert_equal(values_of(out), values_of(undisturbed[0]))


def test_loss_and_error_are_those_without_it(undisturbed, folder, tmp_path, on_ranks):
    out = tmp_path / "without.h5"
    on_ranks(1, network_command(out), cwd=folder, check=True)
    plain, found = values_of(out), values_of(undisturbed[0])
    assert set(found) == {*plain, "train_gradient_norm", "test_gradient_norm"}
    for name, values in plain.items():
        np.testing.assert_array_equal(found[name], values)


def test_a_stopped_run_goes_on_to_the_same_bits(
    undisturbed, folder, tmp_path, on_ranks, start_mpiexec
):
    out = tmp_path / "stopped.h5"
    words = network_command(out, ALSO, "--round-seconds=0.1")
    process = start_mpiexec(2, words, env={"LAG": "0.05"}, cwd=folder)
    wait_for_points(process)
    for pid in ranks_that_write(out):
        os.kill(pid, signal.SIGTERM)
    log, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 75, log
    with h5py.File(out) as file:
        assert 0 < file["done"][()].sum() < 9
    on_ranks(1, words, cwd=folder, check=True)
    np.testing.assert_equal(values_of(out), values_of(undisturbed[0]))


def test_a_resumed_run_computes_the_same_quantities(undisturbed, folder, tmp_path, on_ranks):
    done = on_ranks(1, network_command(undisturbed[0]), cwd=folder)
    assert done.returncode == 2
    assert (
        "was computed with the further quantities gradient_norm, but this run requests the "
        "further quantities none. A resumed run must be the same run: pass --also gradient_norm"
    ) in done.stderr
    out = tmp_path / "without.h5"
    on_ranks(1, network_command(out, splits="train"), cwd=folder, check=True)
    done = on_ranks(1, network_command(out, ALSO, splits="train"), cwd=folder)
    assert "was computed with the further quantities none, but this run requests" in done.stderr


# Problems.


@pytest.mark.parametrize("name", ["heat_equation", "language_model"])
def test_a_problem_has_the_norm_of_a_plain_backward_pass(name, tmp_path, on_ranks):
    module, alone, together = imported(f"problems.{name}"), tmp_path / "1.h5", tmp_path / "2.h5"
    words = ["landscape_mpi.surface", f"--problem=problems.{name}:problem", *PLANE]
    for options in ((ALSO,), ()):
        ended = run_alone([*words, *options, f"--out={alone if options else tmp_path / '0.h5'}"])
        assert ended.status == 0, ended.words
    on_ranks(2, [*words, ALSO, f"--out={together}"], cwd=TESTS, check=True)
    np.testing.assert_equal(values_of(together), values_of(alone))
    found = values_of(alone)
    for place in PLACES:
        expected = PlainHessian(module, alone, place).gradient().detach().norm()
        assert found["train_gradient_norm"][place] == pytest.approx(float(expected), rel=1e-5)
    for other, values in values_of(tmp_path / "0.h5").items():
        np.testing.assert_array_equal(found[other], values)


def test_the_unit_is_that_of_the_loss_and_a_metric_of_the_name_is_refused():
    def loss(network, batch):
        return network(batch).square().sum(1)

    problem = lm.Problem(nn.Linear(3, 2), [torch.randn(9, 3)], loss, units="m2")
    surface = lm.compute_surface(problem, x=0.0, also=["gradient_norm"], progress=False)
    with h5py.File(surface.path) as file:
        assert file["train_gradient_norm"].attrs["units"] == "m2"
    twice = lm.Problem(nn.Linear(3, 2), [torch.ones(9, 3)], loss, metrics={"gradient_norm": loss})
    with pytest.raises(InputError, match="train_gradient_norm is also the name of a metric"):
        lm.compute_surface(twice, x=0.0, also=["gradient_norm"], progress=False)


def test_from_python():
    torch.manual_seed(0)
    network, (inputs, targets) = nn.Linear(4, 3), (torch.randn(30, 4), torch.arange(30) % 3)
    options = {"ignore": [], "also": ["gradient_norm"], "progress": False}
    surface = lm.compute_surface(network, (inputs, targets), x=(-1, 1, 3), **options)
    loss = nn.functional.cross_entropy(network(inputs), targets)
    expected = norm_of(loss, list(network.parameters()))
    assert surface.values["train_gradient_norm"][1, 0] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(InputError, match="also: 'gradient' is not known. .* gradient_norm"):
        lm.compute_surface(network, (inputs, targets), also=["gradient"])


# Messages and refusals.


def test_help_the_list_and_a_dry_run_name_it(folder, tmp_path, on_ranks):
    said = [said_by("landscape_mpi.surface", words) for words in ("--help", "--list=quantities")]
    assert "gradient_norm: norm of the gradient of the mean loss" in " ".join(said[0].split())
    assert said[1].startswith("gradient_norm           norm of the gradient of the mean loss")
    out = tmp_path / "none.h5"
    done = on_ranks(1, network_command(out, ALSO, "--dry-run"), cwd=folder, check=True)
    names = "train_loss, train_error, test_loss, test_error, train_gradient_norm, "
    assert f"for {names}test_gradient_norm" in done.stdout
    assert f"images, for {names}" in done.stdout.split("images/s per rank")[1]
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--also=gradient"], "'gradient' is not one of gradient_norm. Did you mean gradient_norm"),
        (
            [ALSO, "--ranks-per-point=2"],
            "cannot be combined with --ranks-per-point 2: each point is computed",
        ),
        ([ALSO, "--precision=bf16"], "cannot be combined with --precision bf16: they are"),
        ([ALSO, "--points-at-once=2"], "cannot be combined with --points-at-once 2"),
        ([ALSO, "--batch-norm=reestimate"], "cannot be combined with --batch-norm reestimate"),
    ],
)
def test_what_does_not_go_with_it_is_refused(options, words, folder, tmp_path, on_ranks):
    out = tmp_path / "none.h5"
    done = on_ranks(2, network_command(out, *options), cwd=folder)
    assert done.returncode == 2
    assert words in done.stderr
    assert not out.exists()


# Pictures, summaries and reports.


def test_pictures_summaries_and_reports_show_it(undisturbed, tmp_path):
    path, _ = undisturbed
    for words in (
        ["plot", path, "--quantity=train_gradient_norm", f"--out-dir={tmp_path}", "--dpi=40"],
        ["report", path, f"--out={tmp_path / 'page.html'}"],
        ["surface", f"--summary={path}"],
        ["surface", f"--status={path}"],
    ):
        said_by(f"landscape_mpi.{words[0]}", *words[1:])
    picture = tmp_path / "undisturbed_train_gradient_norm_contour.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "page.html").exists()
    assert (
        "train_gradient_norm" in choose_quantities(read_surface(path), None)[1]
    )  # as the page does
