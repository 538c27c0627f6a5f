"""Oracle: the picture's own lines, and files that are none."""

import h5py
import numpy as np
import pytest

from landscape_mpi.errors import InputError
from landscape_mpi.plot import main
from landscape_mpi.store.spectrum import (
    Spectrum,
    check_is_spectrum,
    read_spectrum,
    write_spectrum,
)
from landscape_mpi.views.spectrum import draw_spectrum

ATTRIBUTES = {
    **{"surface": "runs/net_1.h5", "alpha": 0.0, "beta": -0.5, "n_parameters": 12_000},
    **{"trace": 321.0, "curvature_alpha": 0.03, "curvature_beta": 0.04},
}


def spectrum(**changes):
    place = np.linspace(-1, 10, 1001)
    density = np.exp(-((place / 0.2) ** 2)) + 1e-4 * np.exp(-(((place - 9) / 0.1) ** 2))
    known = {"eigenvalue": np.array([9.0, 4.0]), "residual": np.zeros(2), "place": place}
    return Spectrum(**{**known, "density": density, "attributes": ATTRIBUTES, **changes})


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "s.h5"
    vectors = [{"w": np.full(3, k, np.float32)} for k in range(3)]
    write_spectrum(path, spectrum(), vectors)
    found = read_spectrum(path)
    np.testing.assert_array_equal(found.density, spectrum().density)
    assert found.attributes["trace"] == 321
    with h5py.File(path) as file:
        stored = [file[f"directions/{name}/w"][0] for name in ("alpha", "beta", "2")]
        assert stored == [0, 1, 2]
        assert file["eigenvalue"].attrs["units"] == "nat"


@pytest.mark.parametrize("name", ["residual", "density"])
@pytest.mark.parametrize("shape", [(1,), (1, 2), ()])
def test_datasets_of_other_shapes_are_refused(tmp_path, name, shape):
    path = tmp_path / "s.h5"
    write_spectrum(path, spectrum(), [])
    with h5py.File(path, "r+") as file:
        del file[name]
        file[name] = np.zeros(shape)
    with pytest.raises(InputError, match=rf"{name} has shape"):
        read_spectrum(path)


def test_the_picture_shows_density_leading_values_and_the_plane():
    figure = draw_spectrum(spectrum())
    (axes,) = figure.axes
    assert axes.get_title() == "net_1 at alpha = 0, beta = -0.5: 12,000 eigenvalues, trace 321"
    assert axes.get_yscale() == "log"
    density, leading, *_ = axes.lines
    assert density.get_ydata().max() == pytest.approx(1, abs=1e-3)
    assert leading.get_xdata().tolist() == [9, 4]
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels[0] == "the 2 largest eigenvalues"
    assert labels[1:] == ["curvature along alpha: 0.03", "curvature along beta: 0.04"]
    one = spectrum(eigenvalue=np.array([1.0]), attributes={**ATTRIBUTES, "alpha": 1.0})
    texts = draw_spectrum(one).axes[0].get_legend().get_texts()
    assert texts[0].get_text() == "the largest eigenvalue"


@pytest.mark.parametrize(
    ("units", "stored", "words"),
    [
        ("nat", ["nat", "1/nat"], [" (nat)", "nat"]),
        ("J/mol", ["J/mol", "1/(J/mol)"], [" (J/mol)", "J/mol"]),
        ("1", ["1", "1"], ["", "unit"]),
    ],
)
def test_units_are_those_of_the_loss(units, stored, words, tmp_path):
    path = tmp_path / "s.h5"
    write_spectrum(path, spectrum(attributes={**ATTRIBUTES, "loss_units": units}), [])
    with h5py.File(path) as file:
        assert [file[name].attrs["units"] for name in ("eigenvalue", "density")] == stored
    (axes,) = draw_spectrum(read_spectrum(path)).axes
    assert axes.get_xlabel() == f"eigenvalue of the Hessian{words[0]}"
    assert axes.get_ylabel() == f"share of all eigenvalues per {words[1]}"


def test_the_command(tmp_path, capsys):
    path = tmp_path / "s.h5"
    write_spectrum(path, spectrum(), [])
    assert main(["--spectrum", str(path), "--dpi=60"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "s.png")
    assert (tmp_path / "s.png").stat().st_size > 3000


def test_files_that_are_none(tmp_path):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file.attrs["format"] = "something"
    for path, words in (
        (tmp_path / "none.h5", "does not exist. Name a file of hessian --spectrum"),
        (other, "is an HDF5 file, but not one of landscape_mpi.hessian --spectrum"),
        (tmp_path, "is not a spectrum file, or is damaged"),
    ):
        with pytest.raises(InputError, match=words):
            read_spectrum(path)
    with pytest.raises(
        InputError, match="exists and is not a spectrum file, so it is not replaced"
    ):
        check_is_spectrum(other)
    with pytest.raises(InputError, match="surfaces and --spectrum are both named"):
        main([str(other), "--spectrum", str(other)])
