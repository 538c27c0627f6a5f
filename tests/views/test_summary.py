"""Oracle: surfaces of quadratics, whose numbers follow by hand, and what is wrong with others.

A summary is what a person reads, so whole lines are compared.
"""

import subprocess
import sys

import h5py
import numpy as np
import pytest
import surface_files
from surface_files import plane, surface_of, write_surface

from landscape_mpi.errors import InputError
from landscape_mpi.python.loss_surface import open_surface
from landscape_mpi.store.provenance import Provenance
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.canvas import title_of
from landscape_mpi.views.number_text import rounded_text
from landscape_mpi.views.report import tables
from landscape_mpi.views.summary import describe

AXIS = np.linspace(-1, 1, 21)


def lines(tmp_path, loss, *, alpha=AXIS, beta=AXIS, done=None, attributes=None, **values):
    path = tmp_path / "net.h5"
    given = {"train_loss": loss, **values}
    write_surface(path, alpha, beta, given, done=done, attributes=attributes)
    return [line.strip() for line in describe(read_surface(path))]


def bowl(a, b):
    return 0.2 + 2 * a * a + b * b


def test_a_bowl(tmp_path):
    found = lines(tmp_path, plane(AXIS, AXIS, bowl))[1:]
    *fit, rounding = found.pop(6).rsplit(" ", 2)[:2]
    assert fit == [
        "curvature 2 and 4 nat per unit squared; the fitted quadratic misses the points around "
        "the center by"
    ]
    assert float(rounding) < 1e-12
    assert found == [
        "train_loss",
        "smallest 0.2 at (0, 0), largest 3.2",
        "at the center 0.2",
        # at the corners: 0.03, 0.75 and 3 more, of 1.2
        "sharpness in the plane (Keskar et al. 2017): 2.5 % within 0.1, 62.5 % within 0.5, "
        "250 % within 1",
        # crossed between points, where the surface is linear: sqrt(0.1) = 0.316 and sqrt(0.2)
        "width up to twice that: 0.629 along alpha, 0.889 along beta",
        "width up to 0.1 more: 0.44 along alpha, 0.629 along beta",
        "not convex at 0 % of the inner points",
        "does it look right?",
        "the center is the minimum of the grid, as it should be",
    ]


def test_a_precision_that_changes_the_loss_is_named_in_summary_report_and_pictures(tmp_path):
    warning = "bf16 changes the loss by up to 173 %: at the center it is 0.2893, and 0.1058 in fp32"
    path = tmp_path / "net.h5"
    known = {"model": "resnet56", "data": "cifar10", "precision_warning": warning}
    write_surface(path, AXIS, AXIS, {"train_loss": plane(AXIS, AXIS, bowl)}, attributes=known)
    surface = read_surface(path)
    assert f"precision: {warning}" in describe(surface)
    assert f"<p>precision: {warning}</p>" in tables.numbers(surface)
    words = title_of(surface, surface.n_points).split("\n", 1)
    assert words[0] == "resnet56, cifar10"
    assert " ".join(words[1].split()) == "bf16 changes the loss by up to 173 %"


def test_large_numbers_are_written_without_powers_of_ten(tmp_path):
    """By hand: 100 (20 + 2) / (1 + 0.2) = 1,833 %, and 1e5 times as much of the loss itself."""
    loss = plane(AXIS, AXIS, lambda a, b: 0.2 + 11 * (a * a + b * b))
    (said,) = [line for line in lines(tmp_path, loss) if line.startswith("sharpness in the plane")]
    assert said.endswith("458 % within 0.5, 1,830 % within 1")
    found = lines(tmp_path, 1e5 * loss)
    assert any(line.endswith("largest 2,220,000") for line in found)
    path = tmp_path / "net.h5"
    write_surface(path, AXIS, AXIS, {"train_loss": 123456 + loss})
    told = tables.facts(read_surface(path), Provenance())
    assert "123,500 nat" in told


def test_a_loss_below_0(tmp_path):
    """The bowl of above, lower by 2, without a unit: nothing is told over the center's loss."""
    path = tmp_path / "net.h5"
    loss = plane(AXIS, AXIS, bowl) - 2.2
    write_surface(path, AXIS, AXIS, {"train_loss": loss})
    with h5py.File(path, "r+") as file:
        file["train_loss"].attrs["units"] = "1"  # as of a loss of one's own
    found = [line.strip() for line in describe(read_surface(path))]
    level = -2 + (np.median(loss) + 2) / 10
    reach = [2 * np.interp(level, lift, AXIS[10:]) for lift in (loss[10:, 10], loss[10, 10:])]
    assert found[2:6] == [
        "smallest -2 at (0, 0), largest 1",
        "at the center -2",
        "largest rise in the plane: 0.03 within 0.1, 0.75 within 0.5, 3 within 1",
        f"width up to {level:.4g}, a tenth of the way from the center to the median loss (this "
        f"loss goes below 0, so twice its value has no meaning): {reach[0]:.3g} along alpha, "
        f"{reach[1]:.3g} along beta",
    ]
    assert found[6].startswith("curvature 2 and 4 per unit squared; the fitted quadratic misses")
    assert "nat" not in " ".join(found)
    assert "%" not in " ".join(found[:6])


def test_a_loss_that_goes_below_0_away_from_a_center_above_it(tmp_path):
    found = lines(tmp_path, 0.5 - plane(AXIS, AXIS, bowl))
    assert "at the center 0.3" in found
    assert any(line.startswith("sharpness in the plane (Keskar et al. 2017): ") for line in found)
    assert not any("twice that:" in line for line in found)


@pytest.mark.filterwarnings("error")
def test_a_loss_below_0_that_falls_from_the_center_has_no_width(tmp_path):
    found = lines(tmp_path, -plane(AXIS, AXIS, bowl))
    assert "no width: the loss at the center is above the median loss of the plane" in found
    assert not any(line.startswith("width") for line in found)
    assert not any("the basin below" in line or "is narrow" in line for line in found)
    assert any(line.startswith("the center is not the minimum: (-1, -1) is") for line in found)


def test_a_rise_that_rounding_hides_has_no_width(tmp_path):
    found = lines(tmp_path, 1e36 * plane(AXIS, AXIS, bowl))
    widths = [line for line in found if line.startswith("width")]
    assert widths == ["width up to twice that: 0.629 along alpha, 0.889 along beta"]


def test_where_it_stops_being_convex(tmp_path):
    """A bowl that bends down from a = 0.5 on, where it is 0.25 high; by hand, in steps of 0.1."""
    axis = np.linspace(-1, 1, 21)
    valley = np.where(axis > 0.5, 2 * axis - 0.75 - (axis - 0.5) ** 2 - axis + 0.5, axis**2)
    found = lines(tmp_path, np.add.outer(valley, axis**2))
    bends = np.diff(valley, 2) < -1e-9
    lowest = valley[1:-1][bends].min()
    share = f"not convex at {100 * bends.mean():.0f} % of the inner points, the lowest of them at "
    assert f"{share}{lowest:.4g}" in found
    line = lines(tmp_path, valley[:, None], alpha=axis, beta=np.zeros(1))
    assert f"{share}{lowest:.4g}" in line


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"batch_norm": "fixed", "preparation": "9 batch-norms folded"}, "the center's running"),
        ({"batch_norm": "reestimate", "preparation": "9 batch-norms kept"}, "measured again at"),
        ({"batch_norm": "fixed", "preparation": "1 batch-norm folded"}, "the center's running"),
        ({"batch_norm": "fixed", "preparation": "0 batch-norms folded, 2 fused"}, None),
        ({"batch_norm": "fixed", "running_statistics": 2}, "the center's running"),
        ({"batch_norm": "fixed", "running_statistics": 0}, None),
        ({}, None),
    ],
)
def test_which_statistics_batch_norm_had(attributes, words, tmp_path):
    values = {"train_loss": plane(AXIS, AXIS, bowl)}
    surface = surface_of(tmp_path / "net.h5", AXIS, AXIS, values, attributes=attributes)
    told = [line.strip() for line in describe(surface) if "batch-norm:" in line]
    assert len(told) == (words is not None)
    assert words is None or words in told[0]


def test_the_angle_of_the_directions_beside_that_of_random_ones(tmp_path):
    path = write_surface(tmp_path / "net.h5", AXIS, AXIS, {"train_loss": plane(AXIS, AXIS, bowl)})
    with h5py.File(path, "r+") as file:
        file["directions"].attrs.update(cosine=-0.0123, random_cosine=0.0056)
    assert describe(read_surface(path))[1] == (
        "cosine of the two directions: -0.012; for random directions with entries of these sizes "
        "it is typically about -0.0056 or 0.0056"
    )
    with h5py.File(path, "r+") as file:  # as an older version wrote it
        del file["directions"].attrs["random_cosine"]
    assert describe(read_surface(path))[1] == "cosine of the two directions: -0.012"


def test_a_line_between_two_solutions(tmp_path):
    axis = np.linspace(-0.5, 1.5, 9)
    loss = [1.0 + a + 2 * (a == 0.5) for a in axis]
    found = lines(tmp_path, np.array(loss)[:, None], alpha=axis, beta=np.zeros(1))
    assert "barrier from 0 to 1: 2 nat above the straight line between the losses" in found
    assert any("(-0.5, 0) is lower by 0.5. Training ended on a slope" in line for line in found)


@pytest.mark.parametrize(
    ("function", "advice"),
    [
        (
            lambda a, b: 5 + 1e-3 * (a * a + b * b),
            "--x is narrow: along alpha the loss rises nowhere above 10; try --x=-2:2:21",
        ),
        (
            lambda a, b: 0.01 + 100 * a * a + 0.3 * b * b,
            "--x is wide: along alpha the basin below 0.11 is 0.2 steps across; "
            "try --x=-0.03:0.03:21",
        ),
    ],
)
def test_advice_on_the_range(function, advice, tmp_path):
    assert advice in lines(tmp_path, plane(AXIS, AXIS, function))


def test_a_surface_that_overflows_and_is_half_done(tmp_path):
    loss = plane(AXIS, AXIS, bowl)
    loss[0, 0], loss[-1, 3] = np.nan, np.inf
    done = np.ones((21, 21))
    done[5, 5] = 0
    found = lines(tmp_path, loss, done=done)
    assert "1 of 441 points are not computed yet" in found
    assert (
        "not finite at 2 points, the nearest 1.22 from the center: the network overflows there; "
        "use a smaller range" in found
    )


def test_a_desert(tmp_path):
    loss = plane(AXIS, AXIS, bowl)
    error = np.where(loss > 0.4, 89.5, 0.0)
    found = lines(tmp_path, loss, train_error=error)
    share = 100 * np.mean(loss > 0.4)
    assert (
        f"saturated: at {share:.0f} % of the points the error is about 90 %, that of guessing; a "
        "smaller range shows more of the basin" in found
    )


@pytest.mark.parametrize(("n_classes", "is_said"), [(2, True), (10, False), (None, True)])
def test_a_plateau_below_the_error_of_guessing_is_not_one_of_guessing(tmp_path, n_classes, is_said):
    """Two classes have 50 % of errors by guessing, ten have 90 %."""
    loss = plane(AXIS, AXIS, bowl)
    known = {"n_classes": n_classes} if n_classes else None
    error = np.where(loss > 0.4, 50.0, 0.0)
    found = lines(tmp_path, loss, train_error=error, attributes=known)
    assert any("that of guessing" in line for line in found) == is_said


def test_where_the_center_is_missing_or_broken(tmp_path):
    off = AXIS + 0.03
    found = lines(tmp_path, plane(off, off, bowl), alpha=off, beta=off)
    assert found[-1] == "the grid has no point at (0, 0), so the center cannot be checked"
    loss = plane(AXIS, AXIS, bowl)
    loss[10, 10] = np.nan
    assert "the loss at the center is not finite: wrong weights or wrong data" in lines(
        tmp_path, loss
    )
    assert "not finite at any point" in lines(tmp_path, np.full((21, 21), np.nan))


def test_one_point(tmp_path):
    assert lines(tmp_path, [[1.25]], alpha=[0.0], beta=[0.0]) == [
        f"{tmp_path / 'net.h5'}: resnet56 on cifar10, 1 point",
        "train_loss",
        "1.25 nat at (0, 0), the only point",
        "does it look right?",
        "a single point shows no shape; compare its loss with the log of the training; try "
        "--x=-1:1:51 and a new --out for a line",
    ]
    apart = lines(tmp_path, [[1.25]], alpha=[0.5], beta=[0.0])
    assert apart[-1].startswith("the grid has no point at (0, 0)")
    assert repr(open_surface(tmp_path / "net.h5")).endswith(
        "net.h5: resnet56 on cifar10, 1 point, computed; train_loss 1.25>"
    )


def test_the_first_point_of_many(tmp_path):
    done = np.zeros((21, 21))
    done[10, 10] = 1
    assert lines(tmp_path, np.where(done, 1.25, np.nan), done=done)[2:] == [
        "1.25 nat at (0, 0), the only one with a finite loss",
        "does it look right?",
        "440 of 441 points are not computed yet",
        "a single point shows no shape; compare its loss with the log of the training",
    ]


def test_nothing_is_computed_yet(tmp_path):
    with pytest.raises(InputError, match="0 of 441 points are computed"):
        lines(tmp_path, plane(AXIS, AXIS, bowl), done=np.zeros((21, 21)))


def test_the_command_needs_neither_mpi_nor_torch(tmp_path):
    path = tmp_path / "net.h5"
    write_surface(path, AXIS, AXIS, {"train_loss": plane(AXIS, AXIS, bowl)})
    code = surface_files.WITHOUT_TORCH_AND_MPI.split("from landscape_mpi")[0] + (
        "from landscape_mpi.surface import parse\nparse(sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--summary", str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{path}: resnet56 on cifar10, 21 x 21 points\ntrain_loss\n")
    missing = subprocess.run(
        [sys.executable, "-c", code, "--summary", str(tmp_path / "no.h5")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "no.h5: does not exist" in missing.stderr


@pytest.mark.parametrize("scale", [1e-9, 1e6])
def test_widths_and_advice_do_not_depend_on_the_scale_of_a_loss_without_a_unit(tmp_path, scale):
    """A rise of 0.1 is nothing for a loss of 1e6, and lies far above the plane for one of 1e-9."""
    loss = scale * (0.01 + plane(AXIS, AXIS, bowl) ** 2)
    path = write_surface(tmp_path / "net.h5", AXIS, AXIS, {"train_loss": loss})
    with h5py.File(path, "r+") as file:
        file["train_loss"].attrs["units"] = "1"
    found = [line.strip() for line in describe(read_surface(path))]
    level = loss[10, 10] + (np.median(loss) - loss[10, 10]) / 10
    words = f"width up to {rounded_text(level, 4)}, a tenth of the way from the center to the "
    (told,) = (line for line in found if line.startswith(words))
    reach = [2 * np.interp(level, lift, AXIS[10:]) for lift in (loss[10:, 10], loss[10, 10:])]
    assert told == f"{words}median loss: {reach[0]:.3g} along alpha, {reach[1]:.3g} along beta"
    assert not any("0.1 more" in line or "is narrow" in line for line in found)


def test_lines_whose_center_lies_above_their_median_have_no_width(tmp_path):
    loss = np.stack([1.0 - AXIS**2, 1.0 - AXIS**2 / 2], axis=1)
    path = write_surface(
        tmp_path / "lines.h5", AXIS, [0.0, 1.0], {"train_loss": loss}, attributes={"repeats": 2}
    )
    with h5py.File(path, "r+") as file:
        file["train_loss"].attrs["units"] = "1"
    told = "train_loss: no width: the loss at the center is above the median loss of the lines"
    assert told in describe(read_surface(path))
