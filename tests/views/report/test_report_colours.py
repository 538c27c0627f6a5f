"""Oracle: the colours that matplotlib draws for the same files in plot --compare.

The colours and contour lines of a page, read back from a real Chromium, where no task sets them.
"""

import numpy as np
import pytest
from open_page import choose, trace, words_of
from surface_files import plane, write_surface

from landscape_mpi import report
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.compare import draw_grid, make_shared_panels
from landscape_mpi.views.film import make_film
from landscape_mpi.views.levels import ScaleRequest

AXIS = np.linspace(-1, 1, 21)


def bowl(a, b):
    return 1 + 20 * (a**2 + b**2)


def steep(a, b):
    return 10.0 ** (1 + 2 * (a**2 + b**2))


def tilted(a, b):
    return np.sign(a) * 10.0 ** (6 * abs(a) - 3) + 0 * b


FAMILIES = {
    "alike": [bowl, lambda a, b: 3 * bowl(a, b)],
    "one far away": [bowl, lambda a, b: 2 * bowl(a, b), lambda a, b: 1e6 * bowl(a, b)],
    "one corner": [bowl, lambda a, b: np.where((a > 0.8) & (b > 0.8), 1e12, bowl(a, b))],
    "one deep corner": [
        lambda a, b: bowl(a, b) - 30,
        lambda a, b: np.where((a > 0.8) & (b > 0.8), -1e36, bowl(a, b) - 30),
    ],
    "decades": [steep, lambda a, b: 0.3 * steep(a, b)],
    "both signs": [tilted, lambda a, b: 2 * tilted(a, b)],
    "ten": [lambda a, b: 5 + a, lambda a, b: 6 + b],
}


def files_of(folder, family, name="hessian_min"):
    values = [plane(AXIS, AXIS, np.vectorize(function)) for function in FAMILIES[family]]
    return [
        write_surface(folder / f"{k}.h5", AXIS, AXIS, {name: each}, attributes={"model": f"n{k}"})
        for k, each in enumerate(values)
    ]


def drawn_by_plot(paths, kind=None):
    """Return ends of the colours and lines of each picture of a comparison, as values."""
    (panels,) = make_shared_panels([read_surface(path) for path in paths], None, ScaleRequest(kind))
    figure = draw_grid(panels, "contour")
    found = []
    for panel, axes in zip(panels, [a for a in figure.axes if a.get_title()], strict=True):
        (lines,) = [c for c in axes.collections if type(c).__name__.endswith("ContourSet")]
        ends = panel.scale.value(np.array([lines.norm.vmin, lines.norm.vmax]))
        found.append((ends, panel.scale.value(lines.levels)))
    return found


def drawn_by_page(page, n):
    """Return the same of a page."""
    code = (
        "(() => {{ const view = views[{0}]; const {{down}} = scales.flat;"
        "return [view.shown.flat.map(down), view.flat.data.filter((t) => t.contours).map((t) => "
        "heightsAt(t.contours).map(down))]; }})()"
    )
    drawn = [page.run(code.format(k)) for k in range(n)]
    return [(np.array(ends), np.sort(np.concatenate(lines))) for ends, lines in drawn]


def values_of(path):
    return read_surface(path).values["hessian_min"]


@pytest.mark.parametrize("family", FAMILIES)
def test_pages_and_pictures_have_the_same_colours_and_lines(browser, tmp_path, family):
    """Matplotlib has only the lines that lie between the values of their surface."""
    paths = files_of(tmp_path, family)
    out = tmp_path / "page.html"
    report.main([*map(str, paths), f"--out={out}"])
    browser.open(out, width=700, height=640)
    for kind in ("auto", "linear", "log", "symlog"):
        if kind != "auto":
            choose(browser, kind, "e.checked = true")
        expected = drawn_by_plot(paths, None if kind == "auto" else kind)
        found = drawn_by_page(browser, len(paths))
        for path, (ends, lines), (own_ends, own_lines) in zip(paths, expected, found, strict=True):
            np.testing.assert_allclose(own_ends, ends, rtol=1e-6, err_msg=f"{path.name} {kind}")
            values = values_of(path)
            if kind == "log":
                values = np.maximum(values, values[values > 0].min())
            rounding = 1e-6 * np.abs(own_lines)
            inside = (own_lines > values.min() + rounding) & (own_lines < values.max() - rounding)
            np.testing.assert_allclose(
                own_lines[inside], lines, rtol=1e-6, atol=1e-9, err_msg=f"{path.name} {kind}"
            )


def test_a_surface_far_from_the_others_has_colours_of_its_own_everywhere(browser, tmp_path):
    paths = files_of(tmp_path, "one far away")
    out = tmp_path / "page.html"
    report.main([*map(str, paths), f"--out={out}"])
    browser.open(out, width=700, height=640)
    ends = [
        (c["zmin"], c["zmax"]) for c in (trace(browser, f"flat-{k}", "contour") for k in range(3))
    ]
    assert ends[0] == ends[1] != ends[2]
    said = ["it has its own range" in words_of(browser, f"notes-{k}") for k in range(3)]
    assert said == [False, False, True]
    surfaces = [read_surface(path) for path in paths]
    film = make_film(surfaces, None, kind="heatmap", fps=2, words=["a", "b", "c"])
    colours = [film.draw(k).axes[0].collections[0].norm for k in range(3)]
    np.testing.assert_allclose([(norm.vmin, norm.vmax) for norm in colours], ends, rtol=1e-6)
    assert "range differs between frames" in film.draw(0).axes[0].get_title()


def test_the_bar_of_a_constant_has_round_values(browser, tmp_path):
    path = write_surface(tmp_path / "a.h5", AXIS, AXIS, {"hessian_min": np.full((21, 21), 1e36)})
    report.main([str(path), "--log"])
    browser.open(path.with_suffix(".html"), width=700, height=640)
    texts = trace(browser, "flat-0", "contour")["colorbar"]["ticktext"]
    assert len(texts) > 1
    assert all(text.split(" × ")[0] in {"10³⁶", *map(str, range(1, 10))} for text in texts)


def test_a_corner_of_minus_1e36_is_said_and_cut(browser, tmp_path):
    paths = files_of(tmp_path, "one deep corner")
    report.main([*map(str, paths), f"--out={tmp_path / 'page.html'}"])
    browser.open(tmp_path / "page.html", width=700, height=640)
    said = [words_of(browser, f"notes-{k}") for k in range(2)]
    assert "below" not in said[0]
    assert "0.91 % of the plane is below −29, down to −10³⁶: the colours begin there." in said[1]
    assert "Heights below −29 are cut off" in said[1]
    low, high = browser.run("document.getElementById('space-1').layout.scene.zaxis.range")
    assert (low, high) == pytest.approx((-29, 11), abs=2)
    picture = browser.picture("#space-1").reshape(-1, 3).astype(int)
    green = (picture[:, 1] > picture[:, 0] + 60) & (picture[:, 1] > picture[:, 2] + 20)
    assert green.mean() > 0.01  # the walls, which are not as dark as where all is pressed flat
