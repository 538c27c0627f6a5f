"""The whole command on real ranks.

Oracles: a dense SVD and a dense least squares in float64, of checkpoints read by torch alone;
points built inside a plane that was chosen by hand; the file of one rank, compared bit for bit.
"""

import re

import h5py
import numpy as np
import pytest
import torch
from refusals import message_of
from training_runs import (
    content_of,
    directions_of,
    make_plane,
    matrix_of,
    moving_names,
    small_network,
    weights_of,
    write_run,
)

from landscape_mpi.jobs.trajectory import sweep
from landscape_mpi.store.directions import read_directions, write_directions
from landscape_mpi.store.plane_path import path_of

COMMAND = "landscape_mpi.trajectory"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "sgd", 12, drop_at=8)


@pytest.fixture(scope="module")
def plane(run, tmp_path_factory, on_ranks):
    """The file of one rank."""
    out = tmp_path_factory.mktemp("plane") / "plane.h5"
    on_ranks(1, [COMMAND, run, "--out", out, "--components", "3"], check=True)
    return out


def test_the_shares_are_those_of_a_dense_svd(run, plane):
    singular = np.linalg.svd(matrix_of(run), compute_uv=False)
    expected = singular**2 / (singular**2).sum()
    found = path_of(plane).attributes["captured_by_component"]
    np.testing.assert_allclose(found, expected[:3], rtol=1e-6)


def test_the_directions_are_its_components(run, plane):
    _, _, right = np.linalg.svd(matrix_of(run), full_matrices=False)
    cosines = np.abs((directions_of(plane) * right[:2]).sum(axis=1))
    np.testing.assert_allclose(cosines, 1.0, atol=1e-6)


def test_every_checkpoint_lies_where_dense_least_squares_puts_it(run, plane):
    matrix, directions = matrix_of(run), directions_of(plane)
    expected, *_ = np.linalg.lstsq(directions.T, matrix.T)
    (path,) = path_of(plane).runs
    np.testing.assert_allclose(path["alpha"], expected[0], atol=1e-9)
    np.testing.assert_allclose(path["beta"], expected[1], atol=1e-9)
    rest = np.linalg.norm(matrix - expected.T @ directions, axis=1)
    left = rest[:-1] / np.linalg.norm(matrix[:-1], axis=1)
    np.testing.assert_allclose(path["residual"][:-1], left, rtol=1e-6)
    assert (path["alpha"][-1], path["beta"][-1], path["residual"][-1]) == (0, 0, 0)
    np.testing.assert_allclose(path.components[:, :2].T, expected, atol=1e-5)
    assert path["alpha"][0] > 0


def test_the_record_of_each_checkpoint_is_kept(run, plane):
    (path,) = path_of(plane).runs
    assert path.name == "sgd"
    np.testing.assert_array_equal(path["epoch"], np.arange(13))
    np.testing.assert_array_equal(path["lr"], [0.1] * 8 + [0.01] * 5)
    assert path.texts["file"][3].endswith("epoch_0003.pt")
    with h5py.File(plane) as file:
        assert file["trajectory"].attrs["label_alpha"].startswith("1st PCA component (captures ")
        assert file["provenance"].attrs["command"].endswith("--components 3")
        assert re.fullmatch("[0-9a-f]{64}", file["provenance"].attrs["center_file_sha256"])


@pytest.mark.parametrize("n_ranks", [2, 3])
def test_any_number_of_ranks_gives_the_same_bits(n_ranks, run, plane, tmp_path, on_ranks):
    out = tmp_path / "plane.h5"
    on_ranks(n_ranks, [COMMAND, run, "--out", out, "--components", "3"], check=True)
    assert content_of(out) == content_of(plane)


def test_weights_that_do_not_fit_into_memory_give_the_same_bits(
    run, plane, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(sweep, "SLAB_BYTES", 1)  # a chunk is then all that is read at once
    assert make_plane(run, "--out", tmp_path / "plane.h5", "--components", 3) == 0
    assert content_of(tmp_path / "plane.h5") == content_of(plane)
    assert "inner products: part 2 of" in capfd.readouterr().out


def test_about_the_mean_it_is_what_most_programs_take(run, tmp_path):
    assert make_plane(run, "--out", tmp_path / "p.h5", "--mean-centred") == 0
    matrix = matrix_of(run)[:-1]  # theta_0 to theta_(n-1)
    _, singular, right = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    found = path_of(tmp_path / "p.h5").attributes["captured_by_component"]
    np.testing.assert_allclose(found, (singular**2 / (singular**2).sum())[:2], rtol=1e-6)
    cosines = np.abs((directions_of(tmp_path / "p.h5") * right[:2]).sum(axis=1))
    np.testing.assert_allclose(cosines, 1.0, atol=1e-6)


def test_weights_that_are_ignored_stay_put(run, tmp_path):
    assert make_plane(run, "--out", tmp_path / "p.h5", "--ignore", "bias,bn") == 0
    with h5py.File(tmp_path / "p.h5") as file:
        moved = list(file["directions/alpha"])
    network = small_network()
    assert moved == [name for name in moving_names(network) if network.state_dict()[name].ndim > 1]
    vectors = matrix_of(run, names=moved)
    singular = np.linalg.svd(vectors, compute_uv=False)
    shares = path_of(tmp_path / "p.h5").attributes["captured_by_component"]
    np.testing.assert_allclose(shares, (singular**2 / (singular**2).sum())[:2], rtol=1e-6)


def test_states_move_too_where_they_are_asked_for(run, tmp_path):
    assert make_plane(run, "--out", tmp_path / "p.h5", "--states") == 0
    with h5py.File(tmp_path / "p.h5") as file:
        names = set(file["directions/alpha"])
    counters = {n for n in small_network().state_dict() if n.endswith("num_batches_tracked")}
    assert names == small_network().state_dict().keys() - counters


def test_several_runs_share_the_plane_of_the_first_one_s_end(run, tmp_path):
    other = write_run(tmp_path / "adam", 5, seed=1)
    out = tmp_path / "p.h5"
    assert make_plane(run, other, "--out", out) == 0
    sgd, adam = path_of(out).runs
    assert (sgd.name, adam.name) == ("sgd", "adam")
    center = run / "epoch_0012.pt"
    both = np.concatenate([matrix_of(run), matrix_of(other, center)])
    singular = np.linalg.svd(both, compute_uv=False)
    shares = path_of(out).attributes["captured_by_component"]
    np.testing.assert_allclose(shares, (singular**2 / (singular**2).sum())[:2], rtol=1e-6)
    expected, *_ = np.linalg.lstsq(directions_of(out).T, both.T)
    np.testing.assert_allclose(adam["beta"], expected[1, 13:], atol=1e-9)


def test_another_center_is_where_the_plane_goes_through(run, tmp_path):
    center = run / "epoch_0005.pt"
    assert make_plane(run, "--out", tmp_path / "p.h5", "--center", center) == 0
    (path,) = path_of(tmp_path / "p.h5").runs
    assert (path["alpha"][5], path["beta"][5]) == (0, 0)
    assert path["alpha"][12] != 0


def test_a_component_and_a_random_direction_mix(run, plane, tmp_path):
    out = tmp_path / "p.h5"
    assert make_plane(run, "--out", out, "--y-direction", "random", "--seed", 3) == 0
    mixed = directions_of(out)
    np.testing.assert_array_equal(mixed[0], directions_of(plane)[0])
    norm = np.linalg.norm(weights_of(run / "epoch_0012.pt"))
    assert np.linalg.norm(mixed[1]) == pytest.approx(norm, rel=1e-6)  # filter-normalised
    expected, *_ = np.linalg.lstsq(mixed.T, matrix_of(run).T)
    (path,) = path_of(out).runs
    np.testing.assert_allclose(path["beta"], expected[1], atol=1e-9)
    assert path_of(out).attributes["label_beta"] == "random direction, filter-normalised"


def test_two_random_directions_need_no_components(run, tmp_path):
    kinds = ("--x-direction", "random", "--y-direction", "random")
    assert make_plane(run, "--out", tmp_path / "p.h5", *kinds) == 0
    read = path_of(tmp_path / "p.h5")
    assert len(read.attributes["captured_by_component"]) == 0
    assert read.runs[0].components.shape == (13, 0)
    # Two random directions see next to nothing of a path: the paper's argument for components.
    assert read.attributes["captured_by_plane"] < 0.05


def test_a_random_direction_may_have_the_norm_1_in_each_tensor(run, tmp_path):
    how = ("--y-direction", "random", "--normalize", "dlayer")
    assert make_plane(run, "--out", tmp_path / "p.h5", *how) == 0
    found = read_directions(tmp_path / "p.h5")["beta"]
    norms = [np.linalg.norm(values) for values in found.values()]
    np.testing.assert_allclose(norms, np.ones(29), rtol=1e-6)
    label = path_of(tmp_path / "p.h5").attributes["label_beta"]
    assert label == "random direction, dlayer-normalised"


def write_inside(folder, directions, points):
    """Write checkpoints at points of a plane through the network's first weights."""
    folder.mkdir()
    network = small_network()
    floats = {n: t for n, t in network.state_dict().items() if t.is_floating_point()}
    center = {name: (tensor.double() * 512).round() / 512 for name, tensor in floats.items()}
    for number, point in enumerate([*points, (0.0, 0.0)]):
        state = {
            name: tensor + sum(c * d[name] for c, d in zip(point, directions, strict=True))
            if name in directions[0]
            else tensor
            for name, tensor in center.items()
        }
        torch.save(state, folder / f"w{number}.pth")


@pytest.mark.parametrize("how", ["by name", "as a list"])
def test_points_inside_a_given_plane_come_back(how, tmp_path):
    """Weights and steps are small dyadics, so that float32 holds every checkpoint exactly."""
    random = torch.Generator().manual_seed(5)
    shapes = {name: p.shape for name, p in small_network().named_parameters()}
    x = {n: torch.randint(-64, 65, s, generator=random).double() / 64 for n, s in shapes.items()}
    y = {
        n: 3 * x[n] + torch.randint(-8, 9, s, generator=random).double() / 512
        for n, s in shapes.items()
    }
    points = [(0.5, 0.25), (-1.0, 2.0), (0.0, -0.75)]
    write_inside(tmp_path / "run", (x, y), points)
    with h5py.File(tmp_path / "given.h5", "w") as file:
        given = {a: {n: t.float().numpy() for n, t in d.items()} for a, d in (("x", x), ("y", y))}
        if how == "by name":
            file.create_group("directions")
            write_directions(file, {"alpha": given["x"], "beta": given["y"]})
        else:
            for axis, tensors in given.items():
                for number, values in enumerate(tensors.values()):
                    file[f"{axis}direction/{number}"] = values
    out = tmp_path / "p.h5"
    assert make_plane(tmp_path / "run", "--out", out, "--directions", tmp_path / "given.h5") == 0
    (path,) = path_of(out).runs
    found = np.stack([path["alpha"], path["beta"]], axis=1)
    np.testing.assert_allclose(found[:3], points, atol=1e-6)
    assert path_of(out).attributes["label_beta"] == "direction beta of given.h5"
    assert path["residual"].max() < 1e-6


BAD = {
    "no run": (["none"], "none: does not exist."),
    "no center": (
        ["RUN", "--center", "none.pt"],
        "--center: none.pt: no such checkpoint. Name a file",
    ),
    "kind": (["RUN", "--x-direction", "pca0"], "'pca0' is not one of pca1, pca2, ..., random."),
    "same": (["RUN", "--y-direction", "pca1"], "pca1 is also the direction of x"),
    "components": (
        ["RUN", "--y-direction", "pca3", "--components", "2"],
        "--components 2: too few, because an axis is pca3.",
    ),
    "too many components": (
        ["RUN", "--components", "13"],
        "--components 13: the 12 checkpoints",
    ),
    "seed": (["RUN", "--seed", "1"], "--seed: applies to a direction of kind random, but the axes"),
    "centred": (
        ["RUN", "--mean-centred", "--x-direction=random", "--y-direction=random"],
        "--mean-centred: applies to a direction of kind pca1, but the axes are random and random.",
    ),
    "both": (
        ["RUN", "--directions", "plane.h5", "--ignore", "bn"],
        "--ignore: applies to directions that are made, but --directions plane.h5 reads them",
    ),
    "two networks": (["RUN", "OTHER"], "does not have conv1.weight"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_message_and_no_file(name, run, tmp_path, monkeypatch, capfd):
    argv, words = BAD[name]
    monkeypatch.chdir(tmp_path)
    torch.save({"other": torch.ones(3)}, "OTHER.pt")
    places = {"RUN": run, "OTHER": "OTHER.pt"}
    found = message_of(
        make_plane(*[places.get(word, word) for word in argv], "--out", "out.h5"),
        capfd.readouterr().err,
    )
    assert words in found
    assert [path.name for path in tmp_path.iterdir()] == ["OTHER.pt"]


def write_given(path, **axes):
    with h5py.File(path, "w") as file:
        file.create_group("directions")
        write_directions(file, axes)
    return path


GIVEN = {
    "one": ({"alpha": {"linear.bias": np.ones(10)}}, "beta: is missing, but a plane needs"),
    "unknown": ({"alpha": {"lineer.bias": np.ones(10)}}, "moves lineer.bias, which the"),
    "shape": (
        {"alpha": {"linear.bias": np.ones(7)}},
        "linear.bias has shape [7], but in the checkpoints it has [10].",
    ),
    "parallel": (
        {"alpha": {"linear.bias": np.ones(10)}, "beta": {"linear.bias": -np.ones(10)}},
        "are parallel, so they span no plane",
    ),
}


@pytest.mark.parametrize("name", GIVEN)
def test_directions_of_a_file_that_do_not_fit_are_refused(name, run, tmp_path, capfd):
    axes, words = GIVEN[name]
    given = write_given(tmp_path / "given.h5", **axes)
    assert words in message_of(
        make_plane(run, "--out", tmp_path / "o.h5", "--directions", given), capfd.readouterr().err
    )


def test_a_list_of_another_length_is_refused(run, tmp_path, capfd):
    with h5py.File(tmp_path / "given.h5", "w") as file:
        file["xdirection/0"] = np.ones(3)
    words = message_of(
        make_plane(run, "--out", tmp_path / "o.h5", "--directions", tmp_path / "given.h5"),
        capfd.readouterr().err,
    )
    assert "holds 1 tensors, but the checkpoints have" in words


def test_a_file_that_is_read_is_not_written_over(run, tmp_path, capfd):
    words = message_of(make_plane(run, "--out", run / "epoch_0003.pt"), capfd.readouterr().err)
    assert "is a file that this command reads" in words


def test_a_message_of_many_ranks_is_printed_once(run, tmp_path, on_ranks):
    weights = torch.load(run / "epoch_0003.pt", weights_only=True)["state_dict"]
    weights["linear.bias"][2] = torch.nan
    torch.save(weights, tmp_path / "nan.pt")
    files = [run / "epoch_0001.pt", tmp_path / "nan.pt", run / "epoch_0012.pt"]
    done = on_ranks(3, [COMMAND, *files, "--out", tmp_path / "o.h5"])
    assert done.returncode == 2
    assert done.stderr.count("linear.bias holds NaN or infinite weights") == 1
    assert not (tmp_path / "o.h5").exists()
