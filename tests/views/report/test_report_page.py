"""Oracle: a real Chromium, which draws the page: its pixels, and closed forms of the surfaces.

Low is dark violet and high is yellow in the colours of the page, so that a picture that is blank,
mirrored or transposed has the wrong colours in its corners. One page is opened once for all that is
done to it; each test sets what it depends on.
"""

import h5py
import numpy as np
import pytest
from open_page import (
    TURNED,
    brightness,
    choose,
    complaints,
    heights,
    moved,
    redrawn,
    trace,
    turned,
    words_of,
)
from surface_files import plane, write_surface

from landscape_mpi import report
from landscape_mpi.store.trajectory import Trajectories, Trajectory, write_trajectories

ALPHA, BETA = np.linspace(-1, 1, 13), np.linspace(-1, 1.5, 11)
OTHER = np.linspace(-1, 1, 9)
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "0": 48, "Tab": 9}
KEYS |= {"+": 187, "-": 189}


def slope(a, b):
    """Low on the left, high on the right, higher above than below; over more than a decade."""
    return 10.0 ** (a + 0.25 * b)


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
    path = Trajectories((Trajectory("run", columns, texts, np.zeros((5, 2))),), {"center": "x"})
    with h5py.File(first, "r+") as file:
        write_trajectories(file, path)
    broken = plane(OTHER, OTHER, slope)
    broken[0, 0] = np.nan
    second = write_surface(folder / "second.h5", OTHER, OTHER, {"train_loss": broken})
    out = folder / "page.html"
    report.main([str(first), str(second), f"--out={out}", "--linear"])
    browser.open(out, width=900, height=640)
    return browser


def plain(browser, *, log=False):
    """Bring the page back to how it began, or to the logarithmic scale."""
    browser.mouse("mouseMoved", 2, 2)
    browser.wait("!state.spot")
    name = "log" if log else "linear"
    if browser.run("document.getElementById('clip').value") != "1000":
        choose(browser, "clip", "e.value = 1000", "input")
    if not browser.run(f"document.getElementById('{name}').checked"):
        choose(browser, name, "e.checked = true")
    same = "JSON.stringify(state.camera) === JSON.stringify(fitted(VIEWS.reset))"
    turned(browser, *([] if browser.run(same) else ["reset"]))


def test_it_opens_without_a_complaint_and_asks_the_network_for_nothing(page):
    assert complaints(page) == []
    elsewhere = [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))]
    assert elsewhere == []
    assert sum(url.startswith("file:") for url in page.requests) == 1


def take_refusals(page):
    """Return how often the browser has refused something; these complaints are expected."""
    told = [words for words in page.complaints if "Content Security Policy" in words]
    page.complaints[:] = [words for words in page.complaints if words not in told]
    return len(told)


def test_the_browser_runs_no_script_but_those_of_the_page(page):
    """As one in a text of a surface file would be, if it were not escaped."""
    added = "e => (document.body.append(Object.assign(document.createElement('script'), e)), e.id)"
    page.run(f"({added})({{id: 'stranger', textContent: 'window.alien = true'}})")
    page.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alien=true>')")
    refused = "document.getElementById('stranger') && window.alien === undefined"
    assert page.run(refused)
    page.run("document.getElementById('stranger').remove()")
    page.run("document.body.lastElementChild.remove()")
    assert take_refusals(page) >= 2


def test_the_browser_takes_no_style_but_those_of_the_page(page):
    styled = '<b id="styled" style="color: #123456">x</b><style>#styled { float: right }</style>'
    page.run(f"document.body.insertAdjacentHTML('beforeend', {styled!r})")
    style = "getComputedStyle(document.getElementById('styled'))"
    assert page.run(f"[{style}.color === 'rgb(18, 52, 86)', {style}.float]") == [False, "none"]
    page.run("document.body.lastElementChild.remove()")
    page.run("document.getElementById('styled').remove()")
    assert take_refusals(page) >= 2


def test_no_button_sends_the_numbers_away(page):
    titles = page.run("[...document.querySelectorAll('.modebar-btn')].map((e) => e.dataset.title)")
    assert set(titles) == {"Save as a large PNG without a ground", "Zoom", "Pan", "Reset axes"}


def test_the_contour_shows_the_values_where_they_are(page):
    plain(page)
    np.testing.assert_allclose(heights(page, "flat-0", "contour"), plane(ALPHA, BETA, slope))


def test_a_change_is_drawn_where_the_last_one_was(page):
    """Not in a new WebGL context, for which all shaders would be compiled again."""
    canvases = "[...document.querySelectorAll('.js-plotly-plot canvas')]"
    plain(page)
    page.run(f"window.before = {canvases}")
    plain(page, log=True)
    assert page.run("before.length") == 2
    assert page.run(f"{canvases}.every((canvas, k) => canvas === before[k])")


def test_the_logarithm(page):
    plain(page, log=True)
    expected = plane(ALPHA, BETA, lambda a, b: a + 0.25 * b)
    for plot, name in (("flat-0", "contour"), ("space-0", "surface")):
        np.testing.assert_allclose(heights(page, plot, name), expected, atol=1e-7)
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
    turned(page, "above")
    picture = page.picture("#space-0").astype(int)
    colored = np.ptp(picture, axis=2) > 40
    assert colored.mean() > 0.15
    rows, columns = np.nonzero(colored)
    tilt = (picture[..., 1] - picture[..., 2])[rows, columns]
    left = tilt[columns < np.quantile(columns, 0.2)].mean()
    right = tilt[columns > np.quantile(columns, 0.8)].mean()
    assert left < 0 < right - 50
    turned(page, "reset")
    assert np.abs(page.picture("#space-0").astype(int) - picture).mean() > 2


# The tests of the logarithmic scale end here: a change of scale takes seconds.
@pytest.mark.parametrize("log", [True, False], ids=["log", "linear"])
def test_the_contours_lines_are_labelled_with_their_values(page, log):
    """Each label lies where the surface has, within a quarter of a level, the value it says.

    Of the logarithmic levels 0.05, 0.1, 0.2, 0.5 ... 10, those of one run have labels.
    """
    plain(page, log=log)
    found = labels_of(page, "flat-0")
    assert len({text for text, *_ in found}) >= (3 if log else 4)
    height = np.log10 if log else float
    step = 0.3 if log else page.run("document.getElementById('flat-0').data[0].contours.size")
    for text, x, y, width in found:
        a, b = -1 + 2 * x, 1.5 - 2.5 * y
        assert height(slope(a, b)) == pytest.approx(height(float(text)), abs=0.25 * step), text
        assert 5 < width < 40
    bar = page.run("document.getElementById('flat-0').data[0].colorbar.ticktext")
    assert {text for text, *_ in found} <= set(bar)


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
    assert words_of(page, "readout-0") == "Point at a picture or tap it to read its values."
    assert page.run("document.getElementById('tip').hidden")


def test_pointing_at_the_surface_marks_the_contour(page):
    """From above, what is under the pointer is nearly what is there in the plane."""
    plain(page)
    turned(page, "above")
    left, top, width, height = page.box("#space-0")
    x, y = left + 0.62 * width, top + 0.4 * height
    moved(page, lambda: page.mouse("mouseMoved", x, y))
    shapes = page.run("document.getElementById('flat-0').layout.shapes")
    a, b = shapes[0]["x0"], shapes[1]["y0"]
    assert 0 < a < 1
    assert 0.25 < b < 1.5
    shown = f"train loss {slope(a, b):.5g} nat"
    assert shown in words_of(page, "readout-0")
    moved(page, lambda: page.mouse("mouseMoved", 2, 2))


def test_the_words_do_not_wait_for_the_pictures(page):
    """plotly.js never finishes the pictures here."""
    plain(page)
    page.run("window.restyle = Plotly.restyle; Plotly.restyle = () => new Promise(() => {})")
    left, top, width, height = page.box("#flat-0 .nsewdrag")
    for a in (-0.5, 0.0, 0.5):
        page.mouse("mouseMoved", left + (a + 1) / 2 * width, top + 0.8 * height)
        told = words_of(page, "readout-0")
        assert f"train loss {slope(a, -0.5):.5g} nat" in told
    page.run("document.documentElement.dataset.state = 'left'; location.reload()")
    page.wait("document.documentElement?.dataset.state === 'ready'")


def test_the_slider_clips_all_surfaces_at_one_value(page):
    """There the colours end, and plotly.js draws nothing beyond the end of an axis."""
    plain(page)
    choose(page, "clip", "e.value = 250", "input")
    low, high = slope(-1, -1), slope(1, 1.5)
    top = low + 0.25 * (high - low)
    assert words_of(page, "clipped") == f"{top:.3g} nat"
    axis = "document.getElementById('space-{}').layout.scene.zaxis.range[1]"
    for number in (0, 1):
        assert trace(page, f"flat-{number}", "contour")["zmax"] == pytest.approx(top)
        assert trace(page, f"space-{number}", "surface")["cmax"] == pytest.approx(top)
        assert page.run(axis.format(number)) == pytest.approx(top)
    share = 100 * (plane(ALPHA, BETA, slope) > top).mean()
    said = f"{share:.2g} % of the plane is above {top:.3g} nat, up to {high:.3g}: the colours end"
    assert said in words_of(page, "notes-0")
    choose(page, "log", "e.checked = true")  # the value stays what it was
    assert words_of(page, "clipped") == f"{top:.3g} nat"
    assert page.run(axis.format(0)) == pytest.approx(np.log10(top))


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


def place(browser):
    """Return azimuth, elevation and distance of the camera, where both surfaces are drawn so."""
    browser.wait(TURNED)
    first, second = (
        browser.run(f"document.getElementById('space-{number}')._fullLayout.scene.camera")
        for number in (0, 1)
    )
    assert first == second
    x, y, z = (first["eye"][axis] - first["center"][axis] for axis in "xyz")
    distance = np.sqrt(x**2 + y**2 + z**2)
    return np.array([np.arctan2(y, x), np.arcsin(z / distance), distance])


def drag(browser, right, down, *, between=lambda: None, button="left", buttons=1):
    """Drag the second surface in three steps, and return by what part of its height."""
    left, top, width, height = browser.box("#space-1")
    x, y = left + 0.5 * width, top + 0.6 * height
    held = {"button": button, "buttons": buttons}
    browser.mouse("mouseMoved", x, y)
    browser.mouse("mousePressed", x, y, **held)
    for part in (1, 2, 3):
        browser.mouse("mouseMoved", x + part * right / 3, y + part * down / 3, **held)
        if part == 2:
            between()
    browser.mouse("mouseReleased", x + right, y + down, button=button)
    return np.array([right, down]) / height


def test_of_several_presses_the_last_one_counts(page):
    turned(page, "reset")
    start = place(page)
    turned(page, "above", "reset", "above")
    assert np.degrees(place(page)[:2]) == pytest.approx([-90, 89.9], abs=0.02)
    turned(page, "reset", "above", "reset")
    assert place(page) == pytest.approx(start)


def test_dragging_turns_all_surfaces(page):
    """Half a circle over the height of the picture, and the surface goes with the hand."""
    plain(page)
    before = place(page)
    right, down = drag(page, 60, 24)
    expected = before + np.array([-np.pi * right, np.pi * down, 0])
    assert place(page) == pytest.approx(expected)


def test_a_drag_at_once_after_a_button_counts(page):
    plain(page)
    before = place(page)
    turned(page, "above")
    page.run("document.getElementById('reset').click()")
    right, _ = drag(page, -60, 0)
    assert place(page) == pytest.approx(before + np.array([-np.pi * right, 0, 0]))
    drag(page, 90, 30)
    turned(page, "reset")
    assert place(page) == pytest.approx(before)


def test_drawing_again_does_not_undo_a_drag(page):
    """Neither during it nor after it; a pin that follows the pointer is drawn again, too."""
    plain(page)
    before = place(page)
    again = "e.value = '{}'"
    right, _ = drag(
        page, 60, 0, between=lambda: choose(page, "quantity", again.format("train_error"))
    )
    expected = before + np.array([-np.pi * right, 0, 0])
    assert place(page) == pytest.approx(expected)
    choose(page, "quantity", again.format("train_loss"))
    left, top, width, height = page.box("#flat-1 .nsewdrag")
    moved(page, lambda: page.mouse("mouseMoved", left + 0.4 * width, top + 0.3 * height))
    assert place(page) == pytest.approx(expected)
    moved(page, lambda: page.mouse("mouseMoved", 2, 2))


def test_a_drag_ends_with_the_button(page):
    plain(page)
    drag(page, 30, 0)
    after = place(page)
    left, top, width, height = page.box("#space-1")
    page.mouse("mouseMoved", left + 0.3 * width, top + 0.3 * height)
    page.mouse("mouseMoved", left + 0.4 * width, top + 0.4 * height, button="left", buttons=1)
    assert place(page) == pytest.approx(after)
    page.mouse("mouseMoved", 2, 2)


def test_a_finger_turns_the_surfaces(page):
    plain(page)
    before = place(page)
    left, top, width, height = page.box("#space-1")
    x, y = left + 0.5 * width, top + 0.6 * height
    page.call("Emulation.setTouchEmulationEnabled", enabled=True)
    page.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
    for by in (40, 80):
        points = [{"x": x + by, "y": y - by / 4}]
        page.call("Input.dispatchTouchEvent", type="touchMove", touchPoints=points)
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
    page.call("Emulation.setTouchEmulationEnabled", enabled=False)
    turn = np.pi * np.array([-80, -20, 0]) / height
    assert place(page) == pytest.approx(before + turn)


def test_the_wheel_zooms_all_surfaces_step_by_step(page):
    plain(page)
    before = place(page)
    left, top, width, height = page.box("#space-0")
    for pixels in (100, 100, -300):
        page.wheel(left + 0.5 * width, top + 0.2 * height, pixels)
    assert place(page) == pytest.approx(before * [1, 1, np.exp(-0.1)])
    turned(page, "reset")
    assert place(page) == pytest.approx(before)


def test_the_other_buttons_shift_and_zoom(page):
    plain(page)
    before = place(page)
    camera = "document.getElementById('space-0')._fullLayout.scene.camera"
    _, down = drag(page, 0, 30, button="middle", buttons=4)
    assert place(page) == pytest.approx(before * [1, 1, np.exp(down)])
    turned(page, "reset")
    start = page.run(f"{camera}.center")
    right, down = drag(page, 30, -60, button="right", buttons=2)
    assert place(page) == pytest.approx(before)  # seen from the center, which has moved
    (azimuth, elevation, distance), end = before, page.run(f"{camera}.center")
    shift = np.array([end[axis] - start[axis] for axis in "xyz"])
    rightward = np.array([-np.sin(azimuth), np.cos(azimuth), 0])
    flat = np.cos(elevation)
    outward = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
    upward = np.cross(outward, rightward)
    assert shift == pytest.approx(distance * (-right * rightward + down * upward))
    turned(page, "reset")


def test_keys_turn_the_surface_and_move_the_point(page):
    plain(page)
    before = place(page)
    page.run("document.getElementById('space-0').focus()")
    page.press("ArrowRight", code=KEYS["ArrowRight"])
    page.press("ArrowUp", code=KEYS["ArrowUp"])
    assert place(page) == pytest.approx(before + np.array([np.pi / 30, np.pi / 30, 0]))
    page.press("+", code=KEYS["+"])
    page.press("+", code=KEYS["+"])
    page.press("-", code=KEYS["-"])
    assert place(page)[2] == pytest.approx(0.9 * before[2])
    page.press("0", code=KEYS["0"])
    assert place(page) == pytest.approx(before)
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
    while "flat-0" not in seen and len(seen) < 30:
        page.press("Tab", code=KEYS["Tab"])
        seen.append(page.run("document.activeElement.id"))
    scale = "log" if page.run("document.getElementById('log').checked") else "linear"
    wanted = [scale, "clip", "shared", "paths", "reset", "above", "front", "side", "below"]
    wanted += ["turn", "light", "wires", "ball", "method", "screen", "link", "space-0", "flat-0"]
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
    browser.open(out, width=480, height=640, fragment="#quantity=train_loss&shared=no")
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


def test_256_points_along_an_axis_are_all_drawn_in_space(browser, tmp_path):
    """With their values, which float32 has rounded."""
    axis = np.linspace(-1, 1, 256)
    loss = slope(axis[:, None], axis)
    out = tmp_path / "net.html"
    report.main([str(write_surface(tmp_path / "net.h5", axis, axis, {"train_loss": loss}))])
    browser.open(out, width=600, height=500)
    drawn = heights(browser, "space-0", "surface")
    np.testing.assert_allclose(drawn, np.log10(loss + 0.1), atol=1e-6)


# The page asks to be loaded again every half second; this lets the test say when.
BY_HAND = """const own = window.setInterval;
window.setInterval = (act, ms) => {
  if (ms === 500) window.loadAgain = act;
  else return own(act, ms);
};"""


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
    hook = browser.call("Page.addScriptToEvaluateOnNewDocument", source=BY_HAND)["identifier"]
    browser.open(out, width=600, height=500)
    choose(browser, "log", "e.checked = true")
    browser.run("window.before = true; setTimeout(loadAgain)")
    browser.wait("!window.before && document.documentElement?.dataset.state === 'ready'")
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=hook)
    assert browser.run("document.getElementById('log').checked")
