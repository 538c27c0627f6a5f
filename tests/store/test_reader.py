"""Oracle: closed forms on the grid, evaluated point by point; h5py and xarray for our file.

The reference implementation's order is rebuilt by walking its own flat index through
numpy.meshgrid and storing each point alone, not by any reshape the reader uses.
"""

import subprocess
import sys

import h5py
import numpy as np
import pytest
import surface_files

from landscape_mpi.errors import InputError, MissingInputError
from landscape_mpi.store.provenance import read_provenance
from landscape_mpi.store.reader import check_computed, read_surface

ALPHA = [-1.0, 0.0, 1.0, 2.0, 3.0]
BETA = [-0.5, 0.0, 0.5]


def tilted(a, b):
    return 10.0 * a + b


@pytest.fixture
def ours(tmp_path):
    values = {"train_loss": surface_files.plane(ALPHA, BETA, tilted)}
    return surface_files.write_surface(tmp_path / "ours.h5", ALPHA, BETA, values)


def test_rectangle_is_indexed_alpha_beta(ours):
    surface = read_surface(ours)
    assert surface.shape == (5, 3)
    assert surface.n_points == 15
    assert surface.values["train_loss"][3, 0] == tilted(2.0, -0.5)
    assert surface.units["train_loss"] == "nat"
    assert surface.long_names["alpha"] == "coordinate along the first direction"
    assert surface.attributes["model"] == "resnet56"
    assert surface.center == (1, 1)
    assert not surface.is_line


def test_points_without_their_flag_are_nan_and_nan_results_stay_done(tmp_path):
    values = surface_files.plane(ALPHA, BETA, tilted)
    values[0, 0], values[4, 2] = np.nan, np.inf
    done = np.ones((5, 3))
    done[2, 1] = 0
    path = tmp_path / "part.h5"
    surface_files.write_surface(path, ALPHA, BETA, {"train_loss": values}, done=done)
    surface = read_surface(path)
    assert np.isnan(surface.values["train_loss"][2, 1])
    assert not surface.done[2, 1]
    assert np.isnan(surface.values["train_loss"][0, 0])
    assert surface.values["train_loss"][4, 2] == np.inf
    assert surface.done.sum() == 14


def test_quantities_of_later_commands_bring_their_own_names_and_flags(ours):
    with h5py.File(ours, "r+") as file:
        file["hessian_max"] = np.full((5, 3), 7.0)
        file["hessian_max"].attrs.update({"units": "1", "long_name": "largest eigenvalue"})
        file["hessian_done"] = np.eye(5, 3, dtype="u1")
        file["hessian_seconds"] = np.ones((5, 3))
        file["spectrum"] = np.ones((5, 3, 10))
    surface = read_surface(ours)
    assert list(surface.values) == ["train_loss", "hessian_max"]
    assert surface.long_names["hessian_max"] == "largest eigenvalue"
    assert np.isfinite(surface.values["hessian_max"]).sum() == 3
    assert surface.done_of["train_loss"].all()


def test_quantities_come_in_the_order_of_the_schema(tmp_path):
    names = ["test_error", "test_loss", "train_error", "train_loss", "hessian_min"]
    values = {name: np.zeros((5, 3)) for name in names}
    surface = surface_files.surface_of(tmp_path / "all.h5", ALPHA, BETA, values)
    assert list(surface.values) == [
        *("train_loss", "train_error", "test_loss", "test_error", "hessian_min")
    ]


def test_a_line_has_one_beta(tmp_path):
    values = {"train_loss": np.arange(5.0)}
    surface = surface_files.surface_of(tmp_path / "l.h5", ALPHA, [0.0], values)
    assert surface.is_line
    assert surface.center == (1, 0)


@pytest.mark.parametrize("beta", [[0.5], [-1.0, 1.0]])
def test_center_is_none_where_it_is_no_grid_point(tmp_path, beta):
    values = {"train_loss": np.zeros((5, len(beta)))}
    surface = surface_files.surface_of(tmp_path / "o.h5", ALPHA, beta, values)
    assert surface.center is None


def test_center_allows_for_the_rounding_of_a_division(tmp_path):
    alpha = [-0.1, 1e-17, 0.1]
    values = {"train_loss": np.zeros(3)}
    surface = surface_files.surface_of(tmp_path / "o.h5", alpha, [0.0], values)
    assert surface.center == (1, 0)


@pytest.mark.parametrize("y", [[-1.0, 1.0], [-2.0, -1.0, 0.0]], ids=["rectangle", "square"])
def test_reference_file_is_unscrambled(tmp_path, y):
    x = [-1.0, 0.0, 1.0]
    path = surface_files.write_reference(
        tmp_path / "reference.h5", x, y, lambda a, b: (10 * a + b + 20, 50 + a - 10 * b)
    )
    surface = read_surface(path)
    expected = surface_files.plane(x, y, lambda a, b: 10 * a + b + 20)
    np.testing.assert_array_equal(surface.values["train_loss"], expected)
    error = surface_files.plane(x, y, lambda a, b: 50 - a + 10 * b)
    np.testing.assert_allclose(surface.values["train_error"], error)
    assert list(surface.alpha) == x
    assert list(surface.beta) == y
    assert surface.units["train_error"] == "percent"


def test_reference_file_zero_is_a_result_and_minus_one_is_not(tmp_path):
    x, y = [0.0, 1.0, 2.0], [0.0, 1.0]
    path = surface_files.write_reference(
        tmp_path / "reference.h5", x, y, lambda a, b: (a + b, 100.0), missing=[4]
    )
    surface = read_surface(path)
    assert surface.values["train_loss"][0, 0] == 0.0
    assert surface.done[0, 0]
    # flat position 4 of a 3 x 2 grid is the point (x[1], y[1])
    assert not surface.done[1, 1]
    assert np.isnan(surface.values["train_error"][1, 1])
    assert surface.done.sum() == 5


def test_reference_line(tmp_path):
    path = surface_files.write_reference(
        tmp_path / "reference.h5", [-1.0, 0.0, 1.0], None, lambda a, b: (a * a, 90.0)
    )
    surface = read_surface(path)
    assert surface.shape == (3, 1)
    assert surface.values["train_error"][:, 0].tolist() == [10.0, 10.0, 10.0]
    assert surface.values["train_loss"][:, 0].tolist() == [1.0, 0.0, 1.0]


def test_reads_while_another_process_holds_the_file_open_for_writing(ours):
    holder = (
        "import sys, h5py; file = h5py.File(sys.argv[1], 'r+'); print('open', flush=True);"
        " sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(ours)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"open\n"
        assert read_surface(ours).done.all()
        process.communicate()


def test_reads_while_this_process_has_the_file_open_as_xarray_opens_it(ours):
    with h5py.File(ours, "r"):
        assert read_surface(ours).done.all()
        assert read_provenance(ours).runs == ()


@pytest.mark.parametrize("table", [np.zeros(3), np.float64(1), np.zeros((2, 2), "S5"), np.zeros(0)])
def test_something_else_in_the_place_of_the_runs_is_refused(ours, table):
    path = ours
    with h5py.File(path, "r+") as file:
        file.pop("provenance/runs", None)
        file["provenance/runs"] = table
    with pytest.raises(InputError, match="provenance/runs is not the table of runs"):
        read_provenance(path)


def test_times_that_no_point_can_take_are_unknown(ours):
    with h5py.File(ours, "r+") as file:
        file["seconds"][...] = 1e308
        file["seconds"][0, 0] = 2.0
    assert read_provenance(ours).point_seconds == 2.0


@pytest.mark.parametrize("name", ["train_loss_standard_error", "train_n_samples"])
def test_numbers_of_samples_of_another_shape_are_refused(ours, name):
    with h5py.File(ours, "r+") as file:
        file[name] = np.zeros((0, 5))
    with pytest.raises(InputError, match=rf"{name} has shape \(0, 5\), but the axes give"):
        read_surface(ours)


def test_missing_file_and_directory(tmp_path):
    with pytest.raises(MissingInputError, match=r"gone.h5: does not exist"):
        read_surface(tmp_path / "gone.h5")
    with pytest.raises(InputError, match="is a directory"):
        read_surface(tmp_path)


def test_not_hdf5(tmp_path):
    path = tmp_path / "text.h5"
    path.write_text("alpha, beta, loss")
    with pytest.raises(InputError, match="is not an HDF5 file"):
        read_surface(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="is not an HDF5 file"):
        read_surface(path)


def test_truncated(ours):
    content = ours.read_bytes()
    ours.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=rf"is truncated: {len(content) // 2} bytes exist"):
        read_surface(ours)


def test_unreadable_for_other_reasons(tmp_path, ours, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError("Unable to open file")

    monkeypatch.setattr(h5py, "File", refuse)  # the tests may run as root, who may read all
    with pytest.raises(InputError, match="you may not read this file"):
        read_surface(ours)

    def fail(*arguments, **options):
        raise OSError("bad heap")

    monkeypatch.setattr(h5py, "File", fail)
    with pytest.raises(InputError, match="HDF5 cannot read it: bad heap"):
        read_surface(ours)


def test_hdf5_of_neither_kind(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["weights"] = np.zeros(3)
    with pytest.raises(InputError, match=r"not a surface file\. It holds weights;.*xcoordinates"):
        read_surface(tmp_path / "other.h5")


def test_newer_version_and_other_axis_order(ours):
    with h5py.File(ours, "r+") as file:
        file.attrs["axis_labels"] = ["beta", "alpha"]
    with pytest.raises(InputError, match="axis_labels beta, alpha; .* indexed alpha, beta"):
        read_surface(ours)
    with h5py.File(ours, "r+") as file:
        file.attrs["format_version"] = 9
    with pytest.raises(InputError, match="format_version 9, but this release reads only up to 4"):
        read_surface(ours)


def test_missing_axis_and_flags(ours):
    with h5py.File(ours, "r+") as file:
        del file["done"]
    with pytest.raises(InputError, match="holds no dataset 'done'"):
        read_surface(ours)
    with h5py.File(ours, "r+") as file:
        del file["beta"]
    with pytest.raises(InputError, match="holds no dataset 'beta'"):
        read_surface(ours)


@pytest.mark.parametrize(
    ("axis", "text"),
    [
        (np.zeros((2, 2)), r"alpha has shape \(2, 2\)"),
        (np.zeros(0), r"alpha has shape \(0,\)"),
        (np.array([0.0, np.nan, 1.0]), "alpha is 0, nan, 1, but"),
        (np.array([0, 1, 1, 2, 3, 4.0]), r"alpha is 0, 1, 1, 2, 3, \.\.\., but"),
    ],
)
def test_axes_that_are_none(ours, axis, text):
    with h5py.File(ours, "r+") as file:
        del file["alpha"]
        file["alpha"] = axis
    with pytest.raises(InputError, match=text):
        read_surface(ours)


def test_shapes_that_do_not_fit(ours, tmp_path):
    with h5py.File(ours, "r+") as file:
        del file["train_loss"]
        file["train_loss"] = np.zeros((3, 5))
    with pytest.raises(
        InputError, match=r"train_loss has shape \(3, 5\), but the axes give \(5, 3\)"
    ):
        read_surface(ours)
    path = surface_files.write_reference(tmp_path / "r.h5", [0.0, 1.0], None, lambda a, b: (a, a))
    with h5py.File(path, "r+") as file:
        file["ycoordinates"] = np.arange(4.0)
    with pytest.raises(
        InputError, match=r"train_loss has shape \(2,\), but the axes give \(2, 4\)"
    ):
        read_surface(path)


def test_no_quantities(tmp_path, ours):
    with h5py.File(ours, "r+") as file:
        del file["train_loss"]
    with pytest.raises(InputError, match=r"no quantity of the grid's shape \(5, 3\)"):
        read_surface(ours)
    with h5py.File(tmp_path / "r.h5", "w") as file:
        file["xcoordinates"] = np.arange(3.0)
    with pytest.raises(InputError, match="no quantity among train_loss, train_acc"):
        read_surface(tmp_path / "r.h5")


def test_nothing_computed_yet_is_for_the_commands(tmp_path):
    values = {"train_loss": np.full((5, 3), np.nan)}
    path = surface_files.write_surface(
        tmp_path / "new.h5", ALPHA, BETA, values, done=np.zeros((5, 3))
    )
    surface = read_surface(path)
    with pytest.raises(InputError, match=r"0 of 15 points are computed.*first round"):
        check_computed(surface)


def test_reading_leaves_the_surface_unchangeable(ours):
    with pytest.raises(AttributeError):
        read_surface(ours).alpha = np.zeros(5)


def test_the_ratio_of_the_eigenvalues_where_they_are_computed(tmp_path, monkeypatch):
    least, greatest = [[-1.0, 0.0], [-3.0, np.nan]], [[4.0, 2.0], [3.0, np.nan]]
    values = {"train_loss": np.ones((2, 2)), "hessian_min": least}
    monkeypatch.setitem(surface_files.EXTRA, "hessian_max", ("nat", "largest eigenvalue"))
    write_surface = surface_files.write_surface
    path = write_surface(tmp_path / "s.h5", [0, 1], [0, 1], values | {"hessian_max": greatest})
    with h5py.File(path, "r+") as file:
        file["hessian_done"] = np.array([[1, 1], [1, 0]], np.uint8)
    surface = read_surface(path)
    np.testing.assert_array_equal(surface.values["hessian_ratio"], [[0.25, 0], [1, np.nan]])
    assert surface.done_of["hessian_ratio"].tolist() == [[True, True], [True, False]]
    assert (
        "hessian_ratio"
        not in surface_files.surface_of(tmp_path / "one.h5", [0, 1], [0, 1], values).values
    )
