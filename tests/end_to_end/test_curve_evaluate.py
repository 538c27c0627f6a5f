"""The evaluation of curves, in this process and on ranks.

Oracles: the surface command at each end and at a bend, which knows nothing of curves, compared bit
for bit; the file of one rank; sums written out by hand.
"""

import h5py
import numpy as np
import pytest
import torch
from curve_runs import digits, run, train_ends

from landscape_mpi import sharpness, vtp
from landscape_mpi.errors import InputError
from landscape_mpi.store.curve import along_paths
from landscape_mpi.store.reader import read_surface
from landscape_mpi.zoo.curve_file import read_curve

QUANTITIES = ("train_loss", "train_error", "test_loss", "test_error")


@pytest.fixture(scope="module", params=["resnet8", "cnn1"])
def curve(request, tmp_path_factory):
    """A polygon of five points, after an epoch, of a network with batch-norm and one without."""
    folder = train_ends(tmp_path_factory.mktemp("ends"), model=request.param)
    out = folder / "curve.pt"
    words = (*digits(folder, model=request.param), "--kind=polygon", "--bends=5", "--epochs=1")
    assert run("train", *words, "--out", out)[0] == 0
    return out


@pytest.fixture(scope="module")
def evaluated(curve):
    out = curve.with_name("curve.h5")
    status, text, err = run("evaluate", curve, "--points", 9, "--limit", 500, "--out", out)
    assert (status, err) == (0, "")
    assert "train_loss, straight line: ends " in text
    return out


def test_places_are_what_the_surface_command_says_of_those_checkpoints(
    curve, evaluated, tmp_path, alone
):
    points = read_curve(curve).content.points
    model = read_curve(curve).content.identity["model"]
    norms = "reestimate" if model == "resnet8" else "fixed"
    surface = read_surface(evaluated)
    # Point 1 lies at t = 1/4, which of nine places is the third.
    for place, checkpoint, point in (
        (0, curve.with_name("1.pt"), 0),
        (8, curve.with_name("2.pt"), 4),
        (2, tmp_path / "bend.pt", 1),
    ):
        torch.save(dict(points[1]), tmp_path / "bend.pt")
        out = tmp_path / f"{place}.h5"
        words = ["landscape_mpi.surface", "--model", model, "--checkpoint", checkpoint]
        words += ["--data=digits", "--limit=500", "--splits=train,test", "--x=0", "--out", out]
        alone([*words, "--batch-norm", norms], check=True)
        one = read_surface(out)
        for name in QUANTITIES:
            expected = one.values[name][0, 0]
            if model == "resnet8":
                assert surface.values[name][place, 0] == expected, (place, name)
            else:  # the surface fuses its convolutions, and rounds in another way
                assert surface.values[name][place, 0] == pytest.approx(expected, rel=1e-5)
        if point in {0, 4}:
            straight = [surface.values[name][place, 1] for name in QUANTITIES]
            assert straight == [surface.values[name][place, 0] for name in QUANTITIES]


def test_the_straight_line_is_that_of_the_surface_command(curve, evaluated, tmp_path, alone):
    if read_curve(curve).content.identity["model"] != "resnet8":
        pytest.skip("one network is enough")
    out = tmp_path / "line.h5"
    words = ["landscape_mpi.surface", "--model=resnet8", "--checkpoint", curve.with_name("1.pt")]
    words += ["--to", curve.with_name("2.pt"), "--data=digits", "--limit=500", "--x=0:1:9"]
    alone([*words, "--batch-norm=reestimate", "--splits=train,test", "--out", out], check=True)
    line, surface = read_surface(out), read_surface(evaluated)
    for name in ("train_loss", "test_loss"):
        np.testing.assert_allclose(
            surface.values[name][:, 1], line.values[name][:, 0], rtol=1e-4, err_msg=name
        )
    assert surface.values["train_loss"][4, 1] > 2 * surface.values["train_loss"][0, 1]


def test_the_file_says_what_it_is_of(curve, evaluated):
    surface = read_surface(evaluated)
    assert surface.is_curve
    assert surface.done.all()
    assert surface.alpha.tolist() == np.linspace(0, 1, 9).tolist()
    points = read_curve(curve).content
    flat = [
        np.concatenate([point[name].numpy().astype(float).ravel() for name in points.trained])
        for point in points.points
    ]
    lengths = surface.values["arc_length"]
    assert lengths[0].tolist() == [0, 0]
    assert lengths[-1, 1] == pytest.approx(np.linalg.norm(flat[-1] - flat[0]), rel=1e-9)
    # A polygon of five points, cut at nine places: the corners are among them.
    sides = sum(np.linalg.norm(b - a) for a, b in zip(flat[:-1], flat[1:], strict=True))  # noqa: RUF007
    assert lengths[-1, 0] == pytest.approx(sides, rel=1e-9)
    with h5py.File(evaluated) as file:
        assert file.attrs["curve"] == "polygon"
        assert file.attrs["bends"] == 5
        assert file["beta"].attrs["long_name"] == "path: 0 the curve, 1 the straight line"
        assert "curve evaluate" not in file["provenance"].attrs["start"]
        for dataset in file.values():
            if isinstance(dataset, h5py.Dataset):
                assert dataset.attrs["long_name"]


def test_numbers_along_a_path_are_those_of_sums_by_hand(evaluated):
    surface = read_surface(evaluated)
    for number, found in enumerate(along_paths(surface, "test_error")):
        values, t = surface.values["test_error"][:, number], surface.alpha
        lengths = surface.values["arc_length"][:, number]
        assert (found.least, found.greatest) == (min(values), max(values))
        assert values[t == found.t_greatest] == found.greatest
        assert found.ends == (values[0], values[-1])
        by_t = sum((values[k] + values[k + 1]) / 2 * (t[k + 1] - t[k]) for k in range(8))
        assert found.mean == pytest.approx(by_t, rel=1e-12)
        steps = lengths[1:] - lengths[:-1]
        by_length = sum((values[k] + values[k + 1]) / 2 * steps[k] for k in range(8)) / sum(steps)
        assert found.mean_length == pytest.approx(by_length, rel=1e-12)


def test_the_same_command_again_computes_nothing_and_another_is_refused(curve, evaluated):
    words = ("evaluate", curve, "--limit", 500, "--out", evaluated)
    before = evaluated.read_bytes()
    status, out, _ = run(*words, "--points", 9)
    assert status == 0
    assert "all 18 points are done, nothing is left" in out
    for changed, told in (
        (["--points", 5], "has 9 places, but --points asks for 5"),
        (["--points", 9, "--limit", 400], "was computed with training samples limited to 500"),
        (["--points", 1], "--points 1: the ends are two of them"),
        (["--points", 9, "--splits", "test"], "--splits test: batch-norm's statistics"),
    ):
        status, _, err = run(*words, *changed)
        assert status == 2
        assert told in err
    assert evaluated.read_bytes() == before


def test_other_commands_do_not_take_it_for_a_surface(evaluated, tmp_path):
    with pytest.raises(InputError, match="lines along separate directions"):
        vtp.main([str(evaluated)])
    with pytest.raises(InputError, match="holds the losses along a curve"):
        sharpness.main([str(evaluated)])


@pytest.mark.parametrize("word", ["evaluate"])
def test_a_checkpoint_is_no_curve(curve, tmp_path, word):
    status, _, err = run(word, curve.with_name("1.pt"), "--out", tmp_path / "out.h5")
    assert status == 2
    assert "is a checkpoint, not a curve between two checkpoints" in err
    assert list(tmp_path.iterdir()) == []


def test_one_and_four_ranks_give_the_same_bits(curve, evaluated, tmp_path, on_ranks):
    if read_curve(curve).content.identity["model"] != "resnet8":
        pytest.skip("one network is enough")
    out = tmp_path / "four.h5"
    words = ["landscape_mpi.curve", "evaluate", curve, "--points=9", "--limit=500", "--out", out]
    on_ranks(4, words, check=True)
    one, four = read_surface(evaluated), read_surface(out)
    for name in (*QUANTITIES, "arc_length"):
        assert one.values[name].tobytes() == four.values[name].tobytes()
    with h5py.File(out) as file:
        assert len(set(file["rank"][...].ravel())) == 4
