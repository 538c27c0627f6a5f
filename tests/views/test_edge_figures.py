"""Oracle: pixels decoded by Pillow, the texts of the figures, meshes read by VTK and by hand.

Every kind of figure and of mesh on surfaces that are hard to draw: not blank, nothing cut, the axes
labelled, no text on another, and no complaint of the libraries. Kinds that test_pictures.py and
test_compare.py try on hard values are tried here for what those leave out: their orientation.
"""

import io
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import surface_files
from PIL import Image
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader

from landscape_mpi import vtp
from landscape_mpi.errors import InputError
from landscape_mpi.registry import PICTURES
from landscape_mpi.store.ensemble import EnsembleContent
from landscape_mpi.store.reader import read_surface
from landscape_mpi.store.spectrum import Spectrum
from landscape_mpi.store.weights import WeightHistory, WeightsFile
from landscape_mpi.views.canvas import write_figure
from landscape_mpi.views.ensemble import draw_ensemble
from landscape_mpi.views.page import page_for
from landscape_mpi.views.pictures import make_panels, plan_pictures
from landscape_mpi.views.spectrum import draw_spectrum
from landscape_mpi.views.weights import draw_weights

AXIS = np.linspace(-1, 1, 7)
DPI = 40
INCHES = {1: 3.35, 2: 6.9}
EXTRA = {"hessian_min": ("nat", "smallest"), "hessian_max": ("nat", "largest")}
EDGES = {
    "nan": lambda a, b: np.nan if a < b else 2 + a * b,
    "constant": lambda a, b: 2.5,
    "negative": lambda a, b: -3 - a - b * b,
    "wide": lambda a, b: 10.0 ** (6 * a + 6),
    "nothing finite": lambda a, b: np.inf,
}


def drawn(draw, tmp_path, *, columns=None):
    """Write a figure as the command does; return its pixels and the figure as it was written."""
    figures = []

    def keep():
        figures.append(draw())
        return figures[-1]

    path = tmp_path / "picture.png"
    write_figure(keep, path, dpi=DPI, page=page_for(columns))
    pixels = np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB"), float)
    return pixels, figures


def check(draw, tmp_path, *, columns=None):
    """Check what any figure is to be; return the last one that was drawn."""
    pixels, figures = drawn(draw, tmp_path, columns=columns)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all()
    assert pixels.std() > 5
    if columns:
        assert pixels.shape[1] / DPI == pytest.approx(INCHES[columns], abs=0.04)
        ink = np.flatnonzero((pixels < 200).any(axis=(0, 2)))
        assert np.ptp(ink) / DPI > 0.88 * INCHES[columns]
    for axes in shown_axes(figures[-1]):
        labels = {axes.get_xlabel(), axes.get_ylabel(), axes.get_title()}
        assert labels - {""}, "axes without a word"
    return figures[-1]


def shown_axes(figure):
    return [axes for axes in figure.axes if axes.get_visible()]


def texts_of(figure):
    """Return all texts that are to be seen, with their extents."""
    figure.draw_without_rendering()
    texts = list(figure.texts)
    for axes in shown_axes(figure):
        texts += [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
        texts += ticks_of(axes.xaxis) + ticks_of(axes.yaxis)
        texts += axes.get_legend().get_texts() if axes.get_legend() else []
    for legend in figure.legends:
        texts += [*legend.get_texts(), legend.get_title()]
    return [(t, t.get_window_extent()) for t in texts if t.get_visible() and t.get_text().strip()]


def ticks_of(axis):
    """Return the labels of an axis that are drawn: those within its limits."""
    low, high = sorted(axis.get_view_interval())
    labels = zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=False)
    return [label for place, label in labels if low <= place <= high]


def check_texts_are_apart(figure):
    """Check that no text lies on another."""
    boxes = texts_of(figure)
    for k, (first, one) in enumerate(boxes):
        for second, other in boxes[:k]:
            x = min(one.x1, other.x1) - max(one.x0, other.x0)
            y = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert min(x, y) < 2, (first.get_text(), second.get_text())


# Figures of surface files that are no single plane or line.


def planes_beside(function):
    values = surface_files.plane(AXIS, AXIS, function)
    eigenvalues = {"hessian_min": -abs(values), "hessian_max": abs(values) + 1}
    return AXIS, {"train_loss": values} | eigenvalues, {}


def lines_of(n, attributes):
    def make(function):
        values = surface_files.plane(AXIS, np.linspace(-1, 1, n), function)
        return (
            np.arange(float(n)),
            {"train_loss": values, "test_error": np.full_like(values, 10)},
            attributes,
        )

    return make


FIGURES = {
    "curvature": planes_beside,
    "repeats": lines_of(3, {"repeats": 3}),
    "curve": lines_of(2, {"curve": "bezier", "bends": 3}),
    "barriers": lines_of(3, {"solutions": ["a.pt", "b.pt", "c.pt"]}),
}


def picture_of(figure, function, tmp_path, monkeypatch, *, done=None):
    monkeypatch.setattr(surface_files, "EXTRA", EXTRA)
    beta, values, attributes = FIGURES[figure](function)
    path = tmp_path / "net.h5"
    alpha = np.linspace(0, 1, 7) if figure in {"curve", "barriers"} else AXIS
    surface_files.write_surface(path, alpha, beta, values, done=done, attributes=attributes)
    panels = make_panels(read_surface(path), None)
    return plan_pictures(panels, kinds=[])[0].draw


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("figure", "edge"),
    [
        *(("curvature", edge) for edge in ("nan", "wide")),
        *(("repeats", edge) for edge in ("negative", "nothing finite")),
        *(("curve", edge) for edge in ("wide", "nothing finite")),
        *(("barriers", edge) for edge in ("nan", "constant")),
    ],
)
def test_figures_of_several_things_on_hard_values(tmp_path, monkeypatch, figure, edge):
    check(picture_of(figure, EDGES[edge], tmp_path, monkeypatch), tmp_path)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("figure", FIGURES)
def test_figures_of_several_things_that_are_partial(tmp_path, monkeypatch, figure):
    n = {"curvature": 7, "repeats": 3, "curve": 2, "barriers": 3}[figure]
    done = np.zeros((7, n))
    done[::3] = 1
    drawing = picture_of(figure, EDGES["negative"], tmp_path, monkeypatch, done=done)
    assert "points" in " ".join(t.get_text() for t, _ in texts_of(check(drawing, tmp_path)))


# The orientation.


@pytest.mark.parametrize("kind", ["filled", "surface"])
@pytest.mark.parametrize("turned", [False, True])
def test_alpha_goes_to_the_right(tmp_path, kind, turned):
    """High is yellow and low is violet: the mean columns of both tell left from right."""
    function = (lambda a, b: b) if turned else (lambda a, b: a)
    values = {"train_loss": surface_files.plane(AXIS, AXIS, function)}
    surface = surface_files.surface_of(tmp_path / "net.h5", AXIS, AXIS, values)
    (panel,) = make_panels(surface, None)
    pixels, _ = drawn(lambda: PICTURES[kind](panel), tmp_path)
    part = pixels[:, : int(0.75 * pixels.shape[1])]  # left of the colour bar
    green, blue = part[..., 1], part[..., 2]
    yellow = np.argwhere(green > blue + 60).mean(axis=0)
    violet = np.argwhere(blue > green + 40).mean(axis=0)
    size = min(part.shape[:2])
    along, across = (0, 1) if turned else (1, 0)
    apart = (yellow - violet) / size
    assert (-apart[0] if turned else apart[1]) > 0.2
    if kind != "surface":  # a surface in space is seen askew
        assert abs(apart[across]) < 0.05 < abs(apart[along])


# Weights, spectra, ensembles and barriers in print.


def run_of(path, *, n=6, weight_norm=None):
    epochs, bins = np.arange(n), np.linspace(-1, 1, 101)
    counts = np.rint(1e4 * np.exp(-((bins[:-1] / 0.2) ** 2))).astype(int)
    norm = 5 + np.sqrt(epochs) if weight_norm is None else np.full(n, weight_norm)
    history = WeightHistory(
        epoch=epochs,
        lr=np.where(epochs < n // 2, 0.1, 0.01),
        weight_norm=norm,
        total_norm=norm,
        parameter_norms=np.ones((n, 1)),
        histogram=np.tile(counts, (n, 1)),
        histogram_edges=np.tile(bins, (n, 1)),
        n_outside=np.zeros((n, 2), int),
    )
    return WeightsFile(path, history, ("w",), {})


def runs(*names, **how):
    return [run_of(path / "weights.h5", **how) for path in map(Path, names)]


def spectrum_of(**changes):
    place = np.linspace(-2, 60, 801)
    density = np.exp(-((place / 0.8) ** 2)) + 1e-5 * np.exp(-(((place - 50) / 0.5) ** 2))
    known = {"surface": "runs/resnet56_noshort.h5", "alpha": 0.5, "beta": -0.25, "trace": 321.5}
    known |= {"n_parameters": 853_018, "curvature_alpha": 0.0321, "curvature_beta": 0.0456}
    eigenvalue = np.array([50.0, 31.0, 12.0])
    content = {"eigenvalue": eigenvalue, "residual": 0 * eigenvalue, "place": place}
    return Spectrum(**(content | {"density": density, "attributes": known} | changes))


def ensemble_of(*, n=9, error=5.0):
    epoch = np.linspace(0, 8, n)
    trace = {"iteration": np.arange(n), "epoch": epoch, "lr": 0.05 * np.abs(1 - epoch % 2)}
    trace |= {"test_loss": np.full(n, 0.1), "test_error": error + np.cos(np.pi * epoch)}
    trace |= {"distance": np.sqrt(epoch), "collected": (np.arange(n) % 2).astype(int)}
    ends = np.array([2.0, 4.0, 6.0, 8.0])
    member = {"iteration": np.arange(4), "epoch": ends, "ensemble_test_error": error - ends / 9}
    names = ["one network", "SWA of its members", "independent ensemble"]
    comparison = {
        "name": np.array(names),
        "networks": np.array([1, 1, 5]),
        "epochs": np.full(3, 8.0),
        "test_loss": np.full(3, 0.1),
        "test_error": error + np.array([0.2, -0.3, -0.7]),
    }
    known = {"model": "preresnet164", "data": "cifar100", "cycle_iterations": 24}
    tables = {"trace": trace} | ({"member": member, "comparison": comparison} if n > 1 else {})
    return EnsembleContent(tables, known | {"iterations_per_epoch": 12})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("figure", "columns"),
    [
        *((figure, 1) for figure in ("weights", "spectrum", "ensemble", "barriers", "curve")),
        ("weights", 2),
    ],
)
def test_as_wide_as_its_columns_and_no_text_on_another(tmp_path, monkeypatch, figure, columns):
    draws = {
        "weights": partial(draw_weights, runs("a/batch128", "a/batch8192_decay0.0005")),
        "spectrum": partial(draw_spectrum, spectrum_of()),
        "ensemble": partial(draw_ensemble, ensemble_of()),
    }
    bowl = lambda a, b: 1 + a * a + b  # noqa: E731
    draw = draws.get(figure) or picture_of(figure, bowl, tmp_path, monkeypatch)
    found = check(draw, tmp_path, columns=columns)
    check_texts_are_apart(found)
    sizes = {round(text.get_fontsize(), 1) for text, _ in texts_of(found)}
    assert min(sizes) > 5.9
    assert 8.0 in sizes


@pytest.mark.filterwarnings("error")
def test_other_figures_on_hard_values(tmp_path):
    hard = [
        partial(draw_weights, runs("a/one", n=1)),
        partial(draw_weights, runs("a/nan", weight_norm=np.nan)),
        partial(draw_spectrum, spectrum_of(place=np.linspace(-9e11, -1, 801))),
        partial(draw_ensemble, ensemble_of(n=1)),
        partial(draw_ensemble, ensemble_of(error=np.nan)),
    ]
    for draw in hard:
        check(draw, tmp_path)


def test_barriers_of_many_solutions_have_a_bar_where_numbers_have_no_room(tmp_path, monkeypatch):
    n = 7
    pairs = n * (n - 1) // 2
    lines = lines_of(pairs, {"solutions": [f"run/{k}.pt" for k in range(n)]})
    monkeypatch.setitem(FIGURES, "barriers", lines)
    draw = picture_of("barriers", lambda a, b: 1 - a * a + b, tmp_path, monkeypatch)
    wide = draw()
    assert len(wide.axes) == 4  # with numbers in the cells
    narrow = check(draw, tmp_path, columns=1)
    assert len(narrow.axes) == 6
    check_texts_are_apart(narrow)


# Meshes.


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("shape", ["plane", "partial", "row"])
def test_meshes_of_hard_values(tmp_path, edge, shape):
    """Each point is over its place, and no point is where the surface is not finite."""
    beta = np.zeros(1) if shape == "row" else np.linspace(-1, 0.5, 5)
    done = np.ones((7, len(beta)))
    if shape == "partial":
        done[1::2] = 0
    values = surface_files.plane(AXIS, beta, EDGES[edge])
    path = tmp_path / "net.h5"
    surface_files.write_surface(path, AXIS, beta, {"train_loss": values}, done=done)
    there = np.isfinite(values) & (done == 1)
    if not there.any():
        with pytest.raises(InputError, match="none of the .* points of train_loss is finite"):
            vtp.main([str(path)])
        assert not path.with_suffix(".vtp").exists()
        return
    vtp.main([str(path), "--linear", "--scale=1"])
    reader = vtkXMLPolyDataReader()
    reader.SetFileName(str(path.with_suffix(".vtp")))
    reader.Update()
    mesh = reader.GetOutput()
    x, y, z = vtk_to_numpy(mesh.GetPoints().GetData()).T
    wanted = {(a, b): v for (a, b), v in zip(np.argwhere(there), values[there], strict=True)}
    found = {
        (AXIS.searchsorted(a), beta.searchsorted(b)): h for a, b, h in zip(x, y, z, strict=True)
    }
    assert found == wanted
    assert mesh.GetNumberOfCells() > 0
    assert (vtk_to_numpy(mesh.GetPointData().GetArray("train_loss")) == z).all()
