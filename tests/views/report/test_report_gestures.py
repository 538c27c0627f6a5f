"""Oracle: a real Chromium with fingers on it; plotly.js' own matrices, which put points on pixels.

What a finger does to the pictures of a page on a phone: nothing waits for a time, but for states.
"""

import numpy as np
import pytest
from open_page import TURNED, complaints, moved, trace, words_of
from surface_files import plane, write_surface

from landscape_mpi import report

AXIS = np.linspace(-1, 1, 11)
IDLE = "!Number(document.documentElement.dataset.busy)"
# A swipe goes on scrolling when the finger has left: until ten frames in a row show one place.
STILL = """(async () => {
    for (let same = 0, last = NaN; same < 10; last = scrollY) {
        await new Promise(requestAnimationFrame);
        same = scrollY === last ? same + 1 : 0;
    }
})()"""
NOTHING = "Point at a picture or tap it to read its values."


def saddle(a, b):
    return 3 + a * a - b * b + 0.1 * a


@pytest.fixture(scope="module")
def phone(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("phone")
    values = {"train_loss": plane(AXIS, AXIS, saddle)}
    paths = [write_surface(folder / f"{name}.h5", AXIS, AXIS, values) for name in ("a", "b")]
    report.main([*map(str, paths), f"--out={folder / 'page.html'}"])
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=2)
    browser.open(folder / "page.html", width=390, height=844)
    yield browser
    browser.call("Emulation.setTouchEmulationEnabled", enabled=False)


@pytest.fixture
def page(phone):
    phone.run(STILL)
    phone.wait(IDLE)
    if phone.run("state.spot !== null"):
        moved(phone, lambda: phone.run("setSpot(null, true)"))
    phone.run("document.getElementById('reset').click()")
    phone.wait(TURNED)
    return phone


def tap(page, x, y):
    def act():
        page.touch((x, y))
        page.touch()

    moved(page, act)


def camera(page):
    page.wait(f"{IDLE} && {TURNED}")
    return page.run("[state.camera.eye.x, state.camera.eye.y, state.camera.eye.z]")


# The pixel of a point of the surface, by the matrices that plotly.js draws with.
PIXEL = """(([x, y, z]) => {
    const plot = document.getElementById('space-0');
    const scene = plot._fullLayout.scene._scene;
    const {model, view, projection} = scene.glplot.cameraParams;
    const times = (matrix, vector) => [0, 1, 2, 3].map(
        (i) => vector.reduce((sum, part, j) => sum + matrix[4 * j + i] * part, 0));
    const scaled = [x, y, z].map((c, k) => c * scene.dataScale[k]);
    const [u, v, , w] = times(projection, times(view, times(model, [...scaled, 1])));
    const {left, top, width, height} = plot.getBoundingClientRect();
    return [left + (1 + u / w) * width / 2, top + (1 - v / w) * height / 2];
})"""


@pytest.mark.parametrize(("i", "j"), [(2, 3), (5, 5), (8, 2), (4, 7)])
def test_a_tap_on_the_surface_reads_the_point_under_it(page, i, j):
    page.box("#space-0")
    value = saddle(AXIS[i], AXIS[j])
    x, y = page.run(f"{PIXEL}([{AXIS[i]}, {AXIS[j]}, {np.log10(value + 0.1)}])")
    tap(page, x, y)
    told = words_of(page, "readout-0")
    a, b = (f"{value:.4g}".replace("-", "−") for value in (AXIS[i] + 0, AXIS[j] + 0))
    assert told == f"α {a}   β {b}   train loss {value:.5g} nat"
    assert words_of(page, "readout-1") == told
    assert trace(page, "space-1", "spot")["x"] == pytest.approx([AXIS[i]] * 2)


def test_a_tap_on_the_contours_reads_the_point_under_it_and_stays(page):
    left, top, width, height = page.box("#flat-1 .nsewdrag")
    tap(page, left + 0.75 * width, top + 0.8 * height)
    told = f"train loss {saddle(AXIS[7], AXIS[2]):.5g} nat"
    assert words_of(page, "readout-1").startswith("α 0.4   β −0.6   ")
    assert told in words_of(page, "readout-1")
    assert told in words_of(page, "readout-0")
    shapes = page.run("document.getElementById('flat-0').layout.shapes")
    assert (shapes[0]["x0"], shapes[1]["y0"]) == pytest.approx((AXIS[7], AXIS[2]))
    tap(page, left + 0.5 * width, top + 0.5 * height)
    assert words_of(page, "readout-1").startswith("α 0   β 0   ")


def test_a_tap_beside_the_surface_takes_the_mark_away(page):
    left, top, width, height = page.box("#flat-0 .nsewdrag")
    tap(page, left + 0.5 * width, top + 0.5 * height)
    left, top, *_ = page.box("#space-0")
    tap(page, left + 4, top + 4)
    assert words_of(page, "readout-0") == NOTHING


@pytest.mark.parametrize("element", ["#flat-0 .nsewdrag", "#space-0", "#space-1", "#flat-1"])
def test_a_swipe_that_begins_on_a_picture_scrolls_the_page(page, element):
    before = camera(page)
    left, top, width, height = page.box(element)
    start = page.run("scrollY")
    x, y = left + 0.5 * width, top + 0.7 * height
    for step in range(10):
        page.touch((x + step % 2, y - 14 * step))
    page.wait(f"scrollY > {start} + 60")
    page.touch()
    assert camera(page) == before
    assert words_of(page, "readout-0") == NOTHING
    assert page.run("document.getElementById('flat-0').layout.xaxis.range") == [-1, 1]


def test_a_swipe_sideways_turns_the_surfaces_and_the_page_stays(page):
    before = camera(page)
    left, top, width, height = page.box("#space-0")
    start = page.run("scrollY")
    x, y = left + 0.3 * width, top + 0.6 * height
    for step in range(6):
        page.touch((x + 20 * step, y - 3 * step))
    page.touch()
    after = camera(page)
    angles = [np.arctan2(y, x) for x, y, _ in (before, after)]
    assert np.diff(np.unwrap(angles))[0] == pytest.approx(-np.pi * 100 / height)
    assert page.run("scrollY") == start
    assert words_of(page, "readout-0") == NOTHING


def test_two_fingers_zoom_the_surfaces(page):
    left, top, width, height = page.box("#space-0")
    x, y = left + 0.5 * width, top + 0.5 * height
    camera(page)
    distance = "Math.hypot(...Object.values(plus(state.camera.eye, state.camera.center, -1)))"
    before = page.run(distance)
    for apart in (30, 45, 60):
        page.touch((x - apart, y), (x + apart, y))
    page.touch()
    camera(page)
    assert page.run(distance) == pytest.approx(before / 2)


def test_the_page_says_what_fingers_do(page):
    shown = page.run("document.querySelector('#space-0 + figcaption').innerText")
    assert shown == "Tap to read, swipe sideways to turn, two fingers zoom"
    assert complaints(page) == []
