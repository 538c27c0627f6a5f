"""train_curve and project_trajectory: live networks, in this process and under mpirun.

Oracle: the commands of the same problem, bit for bit; coordinates of a trajectory by least squares
of numpy.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from folders import TESTS
from libraries import imported
from matplotlib.figure import Figure
from matplotlib.text import Text
from one_process import run_alone

import landscape_mpi as lm
from landscape_mpi.errors import InputError

NAME = "problems.heat_equation"


def moved(seed):
    network = imported(NAME).network().double()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw).double())
    return network


@pytest.fixture(scope="module")
def command(tmp_path_factory):
    """The files of the command: a curve, and what it is along it."""
    folder = tmp_path_factory.mktemp("command")
    for seed in (1, 2):
        torch.save(moved(seed).state_dict(), folder / f"{seed}.pt")
    words = ["landscape_mpi.curve", "train", f"--problem={NAME}:problem", "--epochs=4"]
    words += ["--lr=0.002", f"--start={folder / '1.pt'}", f"--end={folder / '2.pt'}"]
    curve, along = folder / "curve.pt", folder / "along.h5"
    for asked in (
        [*words, f"--out={curve}"],
        ["landscape_mpi.curve", "evaluate", curve, "--points=5", f"--out={along}"],
    ):
        ended = run_alone(asked)
        assert ended.status == 0, ended.words
    return folder


def live(**options):
    ends = {"start": moved(1), "end": moved(2).state_dict()}
    settings = {"epochs": 4, "lr": 0.002, "progress": False} | options
    return lm.train_curve(imported(NAME).problem(), **ends, **settings)


def test_a_live_curve_has_the_bits_of_the_command(command):
    curve = live()
    expected = torch.load(command / "curve.pt")["points"]
    for found, known in zip(curve.points, expected, strict=True):
        assert found.keys() == known.keys()
        assert all(torch.equal(found[name], known[name]) for name in known)
    surface = curve.evaluate(points=5, progress=False)
    known = lm.open_surface(command / "along.h5")
    np.testing.assert_equal(dict(surface.values), dict(known.values))
    assert repr(curve) == "<LossCurve curve.pt: bezier of 3 points>"


def test_places_of_a_curve_are_weighted_sums(command):
    curve = live()
    points = curve.points
    for t, weights in ((0, (1, 0, 0)), (1, (0, 0, 1)), (0.25, (0.5625, 0.375, 0.0625))):
        state = curve.state_at(t)
        for name, values in state.items():
            expected = sum(w * point[name] for w, point in zip(weights, points, strict=True))
            torch.testing.assert_close(values, expected, rtol=1e-14, atol=1e-16)
    assert all(torch.equal(v, points[2][name]) for name, v in curve.state_at(1).items())


def test_the_plane_of_a_live_curve_fits_compute_surface(command):
    curve, problem = live(), imported(NAME).problem()
    plane = curve.plane()
    assert Path(plane).name == "plane.h5"
    with torch.no_grad():
        problem.network.double().load_state_dict(curve.state_at(0))
    surface = lm.compute_surface(problem, directions=plane, progress=False, **plane.grid(5))
    assert "curve_alpha" in surface.to_xarray()
    (places,) = plane.places
    assert places.shape == (121, 2)
    np.testing.assert_allclose(places[0], 0, atol=1e-12)
    alpha = surface.alpha
    assert alpha.min() < places[:, 0].min() < places[:, 0].max() < alpha.max()
    assert repr(plane) == "<WeightPlane plane.h5: plane of a curve>"


def test_a_curve_of_python_is_evaluated_by_the_command_with_the_name_of_its_problem(tmp_path):
    out = tmp_path / "live.pt"
    surface = live(out=out).evaluate(points=3, progress=False)
    words = ["landscape_mpi.curve", "evaluate", out, "--points=3", f"--out={tmp_path / 'e.h5'}"]
    ended = run_alone(words)
    assert ended.status == 2
    assert "is a curve of a problem in Python, which has no name. Pass --problem" in ended.words
    ended = run_alone([*words, f"--problem={NAME}:problem"])
    assert ended.status == 0, ended.words
    known = lm.open_surface(tmp_path / "e.h5")
    np.testing.assert_equal(dict(surface.values), dict(known.values))


def test_the_process_goes_on_as_it_was():
    problem = imported(NAME).problem()
    network = problem.network.eval()
    network[0].weight.requires_grad_(False)
    before = {name: t.clone() for name, t in network.state_dict().items()}
    memory = network[0].weight.data_ptr()
    threads = torch.get_num_threads()
    states = [moved(seed).state_dict() for seed in (1, 2)]
    for state in states:
        state["0.weight"] = before["0.weight"].double()
    drawn = torch.get_rng_state()
    curve = lm.train_curve(problem, start=states[0], end=states[1], epochs=1, progress=False)
    curve.evaluate(points=2, progress=False)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert torch.get_num_threads() == threads
    assert not network.training
    assert network[0].weight.data_ptr() == memory
    assert not network[0].weight.requires_grad
    assert network[2].weight.requires_grad
    assert all(torch.equal(t, before[name]) for name, t in network.state_dict().items())
    assert {t.dtype for t in network.parameters()} == {torch.float32}


def test_a_curve_goes_on_from_its_file(tmp_path):
    out = tmp_path / "curve.pt"
    live(out=out)
    again = live(out=out)
    assert len(again.history) == 4
    with pytest.raises(InputError, match="epochs"):
        live(out=out, epochs=5)


SCRIPT = f"""
    import sys
    import landscape_mpi as lm
    sys.path[:0] = {[str(Path(__file__).parent), str(TESTS)]!r}
    from test_train_curve import live, trajectory

    curve = live(epochs=2, batches_per_step=2)
    along = curve.evaluate(points=3, progress=False, out=sys.argv[1])
    plane = lm.project_trajectory(trajectory(), out=sys.argv[2])
    sys.stdout.write(str(float(along.values["train_loss"][0, 0])) + chr(10))
"""


def test_two_ranks(tmp_path, on_ranks):
    (tmp_path / "script.py").write_text(textwrap.dedent(SCRIPT))
    outs = [tmp_path / "along.h5", tmp_path / "plane.h5"]
    done = on_ranks(2, ["script.py", *outs], check=True, cwd=tmp_path)
    one, other = done.stdout.split()
    assert one == other
    alone = lm.project_trajectory(trajectory())
    together = lm.project_trajectory(trajectory(), out=tmp_path / "again.h5")
    np.testing.assert_array_equal(alone.places[0], together.places[0])


def test_what_does_not_suit_is_told():
    problem = imported(NAME).problem()
    with pytest.raises(InputError, match="train_curve: 'epoch' .*epochs"):
        lm.train_curve(problem, start=moved(1), end=moved(2), epoch=3)
    with pytest.raises(InputError, match="^train_curve: weights are of type int"):
        lm.train_curve(problem, start=3, end=moved(2), progress=False)
    with pytest.raises(InputError, match="has the same weights as"):
        lm.train_curve(problem, start=moved(1), end=moved(1), progress=False)
    with pytest.raises(InputError, match="bends"):
        live(bends=2)
    with pytest.raises(InputError, match="^project_trajectory: checkpoints are of type OrderedD"):
        lm.project_trajectory(moved(1).state_dict())
    with pytest.raises(InputError, match="project_trajectory: 'centre'"):
        lm.project_trajectory(trajectory(), centre="x.pt")


# Trajectories.


def trajectory():
    """Weights of six steps that mostly lie in a plane."""
    draw = np.random.default_rng(0)
    first, second, noise = draw.standard_normal((3, 12))
    times = np.linspace(1, 0, 6)
    rows = [
        t * first + (t - t**2) * second + 0.01 * t * np.roll(noise, k) for k, t in enumerate(times)
    ]
    return [{"weight": torch.tensor(row, dtype=torch.float32).view(3, 4)} for row in rows]


def test_a_live_trajectory_lies_where_least_squares_put_it(tmp_path):
    states = trajectory()
    plane = lm.project_trajectory(states)
    for number, state in enumerate(states):
        torch.save(state, tmp_path / f"epoch_{number}.pt")
    words = ["landscape_mpi.trajectory", tmp_path, f"--out={tmp_path / 'plane.h5'}"]
    ended = run_alone(words)
    assert ended.status == 0, ended.words
    from_files = lm.project_trajectory(tmp_path)
    rows = np.stack([state["weight"].double().numpy().ravel() for state in states])
    relative = rows - rows[-1]
    _, _, axes = np.linalg.svd(relative[:-1], full_matrices=False)
    expected = relative @ axes[:2].T
    (places,) = plane.places
    np.testing.assert_allclose(np.abs(places), np.abs(expected), atol=1e-5)
    np.testing.assert_array_equal(places, from_files.places[0])
    first, last, n = plane.grid(11)["x"]
    assert first < places[:, 0].min() < places[:, 0].max() < last
    assert n == 11
    assert repr(plane) == "<WeightPlane plane.h5: plane of a trajectory>"


def test_a_picture_does_not_name_the_temporary_folder_of_weights():
    network = torch.nn.Linear(4, 3, bias=False)
    network.load_state_dict(trajectory()[-1])
    data = torch.randn(20, 4), torch.arange(20) % 3
    plane = lm.project_trajectory(trajectory())
    surface = lm.compute_surface(network, data, directions=plane, progress=False, **plane.grid(3))
    axes = Figure(layout="constrained").subplots()
    surface.plot("contour", ax=axes)
    texts = axes.figure.findobj(Text)
    assert any(text.get_text().startswith("training: 6 checkpoints") for text in texts)
