"""Oracle: a real Chromium, which draws the page: its pixels, and closed forms of the surfaces.

Low is dark violet and high is yellow in the colours of the page, so that a picture that is blank,
mirrored or transposed has the wrong colours in its corners. One page is opened once for all that is
done to it; each test sets what it depends on.
"""

import json
import os
import urllib.parse

import h5py
import numpy as np
import pytest
from chromium import Chromium, find_chromium
from surface_files import plane, write_surface

from landscape_mpi import report
from landscape_mpi.store.trajectory import RunPath, Trajectory, write_trajectory

ALPHA, BETA = np.linspace(-1, 1, 13), np.linspace(-1, 1.5, 11)
OTHER = np.linspace(-1, 1, 9)
# What Chromium says, without a GPU, of any page with pictures in space.
NO_COMPLAINT = ("Canvas2D: Multiple readback", "GPU stall due to ReadPixels")
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "0": 48, "Tab": 9}


def slope(a, b):
    """Low on the left, high on the right, higher above than below; over more than a decade."""
    return 10.0 ** (a + 0.25 * b)


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    program = find_chromium()
    if program is None:
        message = "no chromium on PATH: apt-get install chromium"
        if os.environ.get("LANDSCAPE_EXPECT_CHROMIUM") == "1":
            pytest.fail(f"{message}; LANDSCAPE_EXPECT_CHROMIUM=1 says it is expected")
        pytest.skip(message)
    started = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield started
    started.close()


def complaints(browser):
    return [words for words in browser.complaints if not any(x in words for x in NO_COMPLAINT)]


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    """Two surfaces, the first with a path, the second with a hole."""
    folder = tmp_path_factory.mktemp("page")
    loss = plane(ALPHA, BETA, slope)
    values = {"train_loss": loss, "train_error": 3 * loss}
    first = write_surface(folder / "first.h5", ALPHA, BETA, values)
    t = np.linspace(0, 1, 5)
    columns = {"alpha": t - 0.9, "beta": 0 * t, "residual": 0 * t, "epoch": t}
    columns["lr"] = np.array([0.1, 0.1, 0.01, 0.01, 0.01])
    texts = {"file": ("x",) * 5, "file_sha256": ("x",) * 5}
    path = Trajectory((RunPath("run", columns, texts, np.zeros((5, 2))),), {"center": "x"})
    with h5py.File(first, "r+") as file:
        write_trajectory(file, path)
    broken = plane(OTHER, OTHER, slope)
    broken[0, 0] = np.nan
    second = write_surface(folder / "second.h5", OTHER, OTHER, {"train_loss": broken})
    out = folder / "page.html"
    report.main([str(first), str(second), f"--out={out}", "--linear"])
    browser.open(out, width=900, height=640)
    return browser


def redrawn(browser, action):
    before = browser.run("Number(document.documentElement.dataset.drawn)")
    action()
    browser.wait(f"document.documentElement.dataset.drawn > {before}")


def moved(browser, action):
    before = browser.run("Number(document.documentElement.dataset.moved ?? 0)")
    action()
    browser.wait(f"document.documentElement.dataset.moved > {before}")


def choose(browser, element, change, event="change"):
    """Change an element as its user does, and wait for the pictures."""
    code = (
        f"(() => {{ const e = document.getElementById('{element}'); {change};"
        f"e.dispatchEvent(new Event('{event}', {{bubbles: true}})); }})()"
    )
    redrawn(browser, lambda: browser.run(code))


def plain(browser, *, log=False):
    """Bring the page back to how it began, or to the logarithmic scale."""
    name = "log" if log else "linear"
    if browser.run("document.getElementById('clip').value") != "1000":
        choose(browser, "clip", "e.value = 1000", "input")
    if not browser.run(f"document.getElementById('{name}').checked"):
        choose(browser, name, "e.checked = true")
    browser.run("document.getElementById('reset').click()")


def trace(browser, plot, name):
    found = f"document.getElementById('{plot}').data.find((trace) => trace.name === '{name}')"
    return json.loads(browser.run(f"JSON.stringify({found})"))


def heights(browser, plot, name):
    """Return what is drawn, indexed [alpha, beta]; NaN where there is a hole."""
    return np.array(trace(browser, plot, name)["z"], dtype=float).T


def words_of(browser, element):
    return browser.run(f"document.getElementById('{element}').textContent").replace("\xa0", " ")


def brightness(picture, left, top):
    """Return green less blue around a place, given as shares: yellow is high, violet is low."""
    rows, columns, _ = picture.shape
    row, column = int(top * rows), int(left * columns)
    part = picture[row - 3 : row + 4, column - 3 : column + 4].astype(int)
    return float((part[..., 1] - part[..., 2]).mean())


def test_it_opens_without_a_complaint_and_asks_the_network_for_nothing(page):
    assert complaints(page) == []
    elsewhere = [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))]
    assert elsewhere == []
    assert sum(url.startswith("file:") for url in page.requests) == 1


def test_no_button_sends_the_numbers_away(page):
    titles = page.run("[...document.querySelectorAll('.modebar-btn')].map((e) => e.dataset.title)")
    assert set(titles) == {"Download plot as a PNG", "Zoom", "Pan", "Reset axes"}


def test_the_contour_shows_the_values_where_they_are(page):
    plain(page)
    np.testing.assert_allclose(heights(page, "flat-0", "contour"), plane(ALPHA, BETA, slope))


def test_the_logarithm(page):
    plain(page, log=True)
    expected = plane(ALPHA, BETA, lambda a, b: a + 0.25 * b)
    for plot, name in (("flat-0", "contour"), ("space-0", "surface")):
        np.testing.assert_allclose(heights(page, plot, name), expected, atol=1e-12)
    axis = page.run("document.getElementById('space-0').layout.scene.zaxis")
    ticks = dict(zip(axis["ticktext"], axis["tickvals"], strict=True))
    assert abs(ticks["10"] - 1.0) < 1e-12
    assert abs(ticks["0.1"] + 1.0) < 1e-12


def test_the_colours_of_the_contour(page):
    plain(page, log=True)  # in which the slope is even
    picture = page.picture("#flat-0 .nsewdrag")
    assert brightness(picture, 0.05, 0.95) < -60
    assert brightness(picture, 0.96, 0.06) > 100
    # A quarter of the slope goes upward: transposed, this would be the other way round.
    assert brightness(picture, 0.95, 0.95) > brightness(picture, 0.05, 0.05) + 50
    assert page.run("document.querySelectorAll('#flat-0 .contourlevel path').length") > 5


def labels_of(browser, plot):
    """Return the texts on the contour lines, and the place of each as shares of the axes."""
    code = (
        f"(() => {{ const axes = document.querySelector('#{plot} .nsewdrag');"
        "const box = axes.getBoundingClientRect();"
        f"return [...document.querySelectorAll('#{plot} .contourlabels text')].map((e) => {{"
        "const r = e.getBoundingClientRect();"
        "return [e.textContent, (r.left + r.width / 2 - box.left) / box.width,"
        "(r.top + r.height / 2 - box.top) / box.height, r.width]; }); })()"
    )
    return browser.run(code)


@pytest.mark.parametrize("log", [True, False], ids=["log", "linear"])
def test_the_contours_lines_are_labelled_with_their_values(page, log):
    """Each label lies where the surface has, within a quarter of a level, the value it says."""
    plain(page, log=log)
    found = labels_of(page, "flat-0")
    assert len({text for text, *_ in found}) >= 4
    height = np.log10 if log else float
    step = page.run("document.getElementById('flat-0').data[0].contours.size")
    for text, x, y, width in found:
        a, b = -1 + 2 * x, 1.5 - 2.5 * y
        assert height(slope(a, b)) == pytest.approx(height(float(text)), abs=0.25 * step), text
        assert 5 < width < 40
    bar = page.run("document.getElementById('flat-0').data[0].colorbar.ticktext")
    assert {text for text, *_ in found} <= set(bar)


def test_the_labels_can_be_read_on_any_colour(page):
    """White letters around which it is dark, also on yellow, the brightest of the colours."""
    plain(page, log=True)
    width, height = page.box("#flat-0 .nsewdrag")[2:]
    brightest = max(labels_of(page, "flat-0"), key=lambda label: label[1])
    picture = page.picture("#flat-0 .nsewdrag").astype(int)
    column, row = round(brightest[1] * width), round(brightest[2] * height)
    around = picture[row - 6 : row + 7, column - 9 : column + 10].sum(axis=2)
    assert around.max() > 600
    assert around.min() < 330


def test_the_surface_is_drawn_in_space(page):
    plain(page, log=True)
    page.run("document.getElementById('above').click()")
    picture = page.picture("#space-0").astype(int)
    colored = np.ptp(picture, axis=2) > 40
    assert colored.mean() > 0.15
    rows, columns = np.nonzero(colored)
    tilt = (picture[..., 1] - picture[..., 2])[rows, columns]
    left = tilt[columns < np.quantile(columns, 0.2)].mean()
    right = tilt[columns > np.quantile(columns, 0.8)].mean()
    assert left < 0 < right - 50
    page.run("document.getElementById('reset').click()")
    assert np.abs(page.picture("#space-0").astype(int) - picture).mean() > 2


def test_pointing_at_the_contour_tells_the_values_and_marks_the_point_in_all(page):
    plain(page)
    left, top, width, height = page.box("#flat-0 .nsewdrag")
    page.mouse("mouseMoved", left + 0.5 * width, top + 0.5 * height)
    moved(page, lambda: page.mouse("mouseMoved", left + 0.75 * width, top + 0.8 * height))
    a, b = 0.5, -0.5  # the shares, on the axes
    value = slope(a, b)
    told = f"α 0.5   β −0.5   train loss {value:.5g} nat   train error {3 * value:.5g} %"
    assert words_of(page, "readout-0") == told
    assert words_of(page, "readout-1").startswith("α 0.5   β −0.5   train loss ")
    assert words_of(page, "tip").startswith("α 0.5β −0.5train loss ")
    assert not page.run("document.getElementById('tip').hidden")
    for number in (0, 1):
        spot = trace(page, f"space-{number}", "spot")
        assert (spot["x"], spot["y"]) == ([a, a], [b, b])
        shapes = page.run(f"document.getElementById('flat-{number}').layout.shapes")
        assert (shapes[0]["x0"], shapes[1]["y0"]) == (a, b)


def test_leaving_a_picture_takes_the_mark_away(page):
    left, top, width, height = page.box("#flat-0 .nsewdrag")
    moved(page, lambda: page.mouse("mouseMoved", left + 0.3 * width, top + 0.3 * height))
    moved(page, lambda: page.mouse("mouseMoved", 2, 2))
    assert page.run("document.getElementById('flat-0').layout.shapes.length") == 0
    assert words_of(page, "readout-0") == "Point at a picture to read its values."
    assert page.run("document.getElementById('tip').hidden")


def test_pointing_at_the_surface_marks_the_contour(page):
    plain(page)
    page.run("document.getElementById('above').click()")
    left, top, width, height = page.box("#space-0")
    page.mouse("mouseMoved", left + 0.55 * width, top + 0.45 * height)
    x, y = left + 0.62 * width, top + 0.4 * height
    shapes = "document.getElementById('flat-0').layout.shapes"
    # Its own frame after, plotly.js finds what the pointer is on: a resting hand moves a little.
    for nudge in range(100):
        page.mouse("mouseMoved", x + nudge % 2, y)
        page.run("new Promise((done) => setTimeout(done, 50))")
        a, b = page.run(f"{shapes}.length ? [{shapes}[0].x0, {shapes}[1].y0] : [-1, -1]")
        if (a, b) != (-1, -1) and nudge > 1:
            break
    assert 0 < a < 1
    assert 0.25 < b < 1.5
    shown = f"train loss {slope(a, b):.5g} nat"
    assert shown in words_of(page, "readout-0")
    moved(page, lambda: page.mouse("mouseMoved", 2, 2))


def test_the_slider_clips_all_surfaces_at_one_value(page):
    plain(page)
    choose(page, "clip", "e.value = 250", "input")
    low, high = slope(-1, -1), slope(1, 1.5)
    top = low + 0.25 * (high - low)
    assert words_of(page, "clipped") == f"{top:.3g} nat"
    for number in (0, 1):
        for plot, name in ((f"flat-{number}", "contour"), (f"space-{number}", "surface")):
            shown = heights(page, plot, name)
            assert np.nanmax(shown) == pytest.approx(top)
            assert np.nanmin(shown) < 0.1 * top
    choose(page, "log", "e.checked = true")  # the value stays what it was
    assert words_of(page, "clipped") == f"{top:.3g} nat"
    assert np.nanmax(heights(page, "flat-0", "contour")) == pytest.approx(np.log10(top))


def test_ranges_are_shared_until_they_are_not(page):
    plain(page)
    ends = [trace(page, f"flat-{number}", "contour")["zmax"] for number in (0, 1)]
    assert ends == pytest.approx([slope(1, 1.5)] * 2)
    choose(page, "shared", "e.checked = false")
    assert trace(page, "flat-1", "contour")["zmax"] == pytest.approx(slope(1, 1))
    choose(page, "shared", "e.checked = true")


def test_another_quantity_and_a_surface_that_has_none(page):
    choose(page, "quantity", "e.value = 'train_error'")
    assert np.nanmax(heights(page, "flat-0", "contour")) == pytest.approx(3 * slope(1, 1.5))
    assert "this file has no train_error" in words_of(page, "flat-1")
    choose(page, "quantity", "e.value = 'train_loss'")


def eyes(browser):
    return [
        browser.run(f"document.getElementById('space-{number}')._fullLayout.scene.camera.eye")
        for number in (0, 1)
    ]


def test_dragging_turns_all_surfaces(page):
    plain(page)
    before = eyes(page)[0]
    left, top, width, height = page.box("#space-1")
    x, y = left + 0.5 * width, top + 0.85 * height
    page.mouse("mousePressed", x, y, button="left", buttons=1)
    for part in (20, 40, 60):
        page.mouse("mouseMoved", x + part, y, button="left", buttons=1)
        page.run("new Promise(requestAnimationFrame)")
    page.mouse("mouseReleased", x + 60, y, button="left")
    page.wait(
        "JSON.stringify(document.getElementById('space-0')._fullLayout.scene.camera.eye) === "
        "JSON.stringify(document.getElementById('space-1')._fullLayout.scene.camera.eye)"
    )
    first, second = eyes(page)
    assert first == second
    assert abs(first["x"] - before["x"]) > 0.05


def test_keys_turn_the_surface_and_move_the_point(page):
    plain(page)
    before = eyes(page)[0]
    page.run("document.getElementById('space-0').focus()")
    page.press("ArrowRight", code=KEYS["ArrowRight"])
    turned, other = eyes(page)
    assert turned == other
    angle = np.arctan2(turned["y"], turned["x"]) - np.arctan2(before["y"], before["x"])
    assert angle == pytest.approx(np.pi / 30)
    page.press("0", code=KEYS["0"])
    assert eyes(page)[0] == pytest.approx(before)
    page.run("document.getElementById('flat-0').focus()")
    for key in ("ArrowRight", "ArrowUp"):  # from the point that is nearest to the center
        moved(page, lambda key=key: page.press(key, code=KEYS[key]))
    pink = np.array([230, 57, 155])
    near = np.abs(page.picture("#space-0").astype(int) - pink).sum(axis=2) < 60
    assert near.sum() > 15
    a, b = ALPHA[7], BETA[5]
    told = f"α {a:.4g}   β {b:.4g}   train loss {slope(a, b):.5g} nat"
    assert told in words_of(page, "readout-0")
    moved(page, lambda: page.press("Escape", code=27))
    assert page.run("document.getElementById('flat-0').layout.shapes.length") == 0


def test_every_control_is_reached_by_the_tab_key(page):
    page.run("document.getElementById('quantity').focus()")
    seen = []
    while "flat-0" not in seen and len(seen) < 12:
        page.press("Tab", code=KEYS["Tab"])
        seen.append(page.run("document.activeElement.id"))
    scale = "log" if page.run("document.getElementById('log').checked") else "linear"
    wanted = [scale, "clip", "shared", "paths", "reset", "above", "space-0", "flat-0"]
    assert [name for name in seen if name in wanted] == wanted


def test_the_path_is_drawn_where_it_ran_and_can_be_left_out(page):
    plain(page)
    path = "document.getElementById('space-0').data.find((t) => t.name === 'run' && t.z)"
    z = np.array(page.run(f"{path}.z"), dtype=float)
    x = np.array(page.run(f"{path}.x"), dtype=float)
    on_surface = np.interp(x, ALPHA, plane(ALPHA, [0.0], slope)[:, 0])
    assert np.abs(z - on_surface).max() < 0.02 * np.ptp(plane(ALPHA, BETA, slope))
    assert trace(page, "flat-0", "learning rate dropped")["x"] == [pytest.approx(-0.4)]
    choose(page, "paths", "e.checked = false")
    names = page.run("document.getElementById('flat-0').data.map((t) => t.name)")
    assert "run" not in names
    choose(page, "paths", "e.checked = true")


def test_holes_are_left_open_and_told(page):
    assert np.isnan(heights(page, "flat-1", "contour")[0, 0])
    assert "1 point is not finite: nothing is drawn there, and × marks it" in words_of(
        page, "notes-1"
    )


def test_a_phone_in_the_dark(page):
    """Nothing is wider than the window, and the paper of the pictures is dark too."""
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.resize(390, 844)
    redrawn(page, lambda: page.call("Emulation.setEmulatedMedia", features=dark))
    page.wait("document.querySelector('#flat-0 .main-svg').clientWidth < 390")
    assert page.run("document.documentElement.scrollWidth") <= 390
    for element in ("#controls", "#flat-0", "#space-0"):
        corner = page.picture(element)[:12, :12]
        assert corner.mean() < 60, element
    box = "document.getElementById('clip').getBoundingClientRect()"
    assert page.run(f"{box}.width") > 100
    light = [{"name": "prefers-color-scheme", "value": "light"}]
    redrawn(page, lambda: page.call("Emulation.setEmulatedMedia", features=light))
    assert page.picture("#flat-0")[:12, :12].mean() > 240
    page.resize(900, 640)
    assert complaints(page) == []


@pytest.fixture(scope="module")
def hard_cases(browser, tmp_path_factory):
    """Surfaces that are hard to draw, each with a range of its own."""
    folder = tmp_path_factory.mktemp("cases")
    loss = plane(OTHER, OTHER, slope)
    done = np.zeros((9, 9))
    done[::4, ::4] = 1
    alone = np.zeros((9, 9))
    alone[4, 4] = 1
    cases = {
        "partial": ({"train_loss": plane(OTHER, OTHER, lambda a, b: a - b)}, done),
        "point": ({"train_loss": loss}, alone),
        "constant": ({"train_loss": np.full((9, 9), 2.5)}, None),
        "negative": ({"train_loss": -loss}, None),
        "wide": ({"train_loss": loss**6}, None),
        "broken": ({"train_loss": np.full((9, 9), np.nan)}, None),
    }
    paths = [
        write_surface(folder / f"{name}.h5", OTHER, OTHER, values, done=flags)
        for name, (values, flags) in cases.items()
    ]
    row = {"train_loss": OTHER**2 + 1, "test_loss": OTHER**2 + 2}
    paths.append(write_surface(folder / "row.h5", OTHER, [0.0], row))
    out = folder / "page.html"
    report.main([*map(str, paths), f"--out={out}"])
    # As a page that is watched opens itself again.
    as_it_was = urllib.parse.quote('{"quantity": "train_loss", "shared": false}')
    browser.open(out, width=480, height=640, fragment=f"#{as_it_was}")
    return browser, {path.stem: number for number, path in enumerate(paths)}


def test_hard_surfaces_are_drawn_without_a_complaint(hard_cases):
    browser, numbers = hard_cases
    assert complaints(browser) == []
    for name, words in {
        "partial": "9 of 81 points are computed",
        "point": "1 of 81 points are computed",
        "constant": "The same everywhere: 2.5 nat",
        "broken": "No point is finite",
    }.items():
        assert words in words_of(browser, f"notes-{numbers[name]}"), name


def test_a_partial_surface_is_joined_between_its_points(hard_cases):
    browser, numbers = hard_cases
    shown = heights(browser, f"flat-{numbers['partial']}", "contour")
    np.testing.assert_allclose(shown, plane(OTHER, OTHER, lambda a, b: a - b), atol=1e-12)


def test_hard_surfaces_have_their_colours(hard_cases):
    browser, numbers = hard_cases
    for name, sign in {"partial": 1, "negative": -1}.items():
        picture = browser.picture(f"#flat-{numbers[name]} .nsewdrag")
        assert sign * (brightness(picture, 0.95, 0.9) - brightness(picture, 0.05, 0.1)) > 100, name
    wide = trace(browser, f"flat-{numbers['wide']}", "contour")
    assert (wide["zmin"], wide["zmax"]) == pytest.approx((10**-7.5, 10**7.5))
    assert "10⁶" in "".join(wide["colorbar"]["ticktext"])
    one = browser.picture(f"#flat-{numbers['constant']} .nsewdrag").reshape(-1, 3).astype(int)
    assert np.median(np.ptp(one, axis=1)) > 40


def test_a_line_is_a_curve_training_solid_and_test_dashed(hard_cases):
    browser, numbers = hard_cases
    plot = f"flat-{numbers['row']}"
    train, test = trace(browser, plot, "train loss"), trace(browser, plot, "test loss")
    assert train["y"] == pytest.approx(list(OTHER**2 + 1))
    assert (train["line"]["dash"], test["line"]["dash"]) == ("solid", "dash")
    assert browser.run(f"document.getElementById('space-{numbers['row']}').offsetHeight") == 0


def test_a_page_that_is_watched_loads_itself_again_as_it_was(browser, tmp_path):
    done = np.ones((9, 9))
    done[0] = 0
    values = {"train_loss": plane(OTHER, [0.0], slope)}
    path = write_surface(tmp_path / "net.h5", OTHER, [0.0], values, done=done[:, :1])
    from landscape_mpi.store.provenance import Provenance
    from landscape_mpi.store.reader import read_surface
    from landscape_mpi.views.report import page as of_page

    source = of_page.Source(read_surface(path), Provenance())
    text = of_page.make_page([source], None, command=["x"], watched=True, reload_s=0.5)
    out = tmp_path / "page.html"
    out.write_text(text)
    browser.open(out, width=600, height=500)
    choose(browser, "log", "e.checked = true")
    browser.run("window.before = true")
    browser.wait("!window.before && document.documentElement?.dataset.state === 'ready'")
    assert browser.run("document.getElementById('log').checked")
