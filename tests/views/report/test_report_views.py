"""Oracle: a real Chromium, its clipboard and its clock; angles from the camera that plotly.js has.

Where the surfaces of a page are seen from, how they turn, and the link that opens a view again.
"""

import numpy as np
import pytest
from open_page import TURNED, choose, complaints, heights, moved, redrawn, trace, turned, words_of
from surface_files import plane, write_surface

from landscape_mpi import report
from landscape_mpi.store.reader import read_surface
from landscape_mpi.views.report.content import choose_view

AXIS = np.linspace(-1, 1, 11)
IDLE = "!Number(document.documentElement.dataset.busy)"
HOME = "#quantity=train_loss&scale=linear&shared=yes"


def slope(a, b):
    return 10.0 ** (a + 0.25 * b)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("views")
    loss = plane(AXIS, AXIS, slope)
    values = {"train_loss": loss, "train_error": 3 * loss}
    paths = [write_surface(folder / f"{name}.h5", AXIS, AXIS, values) for name in ("a", "b")]
    report.main([*map(str, paths), f"--out={folder / 'page.html'}", "--linear"])
    return folder / "page.html"


@pytest.fixture(scope="module")
def opened(browser, out):
    browser.open(out, width=900, height=700)
    return browser


@pytest.fixture
def page(opened):
    """Bring the page back to how it began."""
    opened.run(f"stopTurning(); location.replace('{HOME}')")
    opened.wait(f"state.quantity === 'train_loss' && state.scale === 'linear' && {IDLE}")
    turned(opened, "reset")
    return opened


def seen_from(browser):
    """Return azimuth, elevation and distance of the camera, degrees and sides of the box."""
    browser.wait(f"{IDLE} && {TURNED}")
    camera = browser.run("document.getElementById('space-1')._fullLayout.scene.camera")
    x, y, z = (camera["eye"][axis] - camera["center"][axis] for axis in "xyz")
    distance = np.sqrt(x**2 + y**2 + z**2)
    return np.array([*np.degrees([np.arctan2(y, x), np.arcsin(z / distance)]), distance])


@pytest.mark.parametrize(
    ("button", "azimuth", "elevation"),
    [("above", -90, 89.9), ("front", -90, 12), ("side", 0, 12), ("below", None, -30)],
)
def test_a_button_shows_the_surfaces_from_its_side(page, out, button, azimuth, elevation):
    before = seen_from(page)
    turned(page, button)
    azimuth = before[0] if azimuth is None else azimuth
    assert seen_from(page)[:2] == pytest.approx([azimuth, elevation], abs=0.05)
    turned(page, "reset")
    assert seen_from(page) == pytest.approx(before)
    view = choose_view([read_surface(out.parent / f"{name}.h5") for name in "ab"], ["train_loss"])
    assert before[:2] == pytest.approx([view["azimuth"], view["elevation"]])


def click(page, element):
    page.run(f"document.getElementById('{element}').click()")


def test_the_surfaces_turn_to_the_left_at_one_height_until_the_button_stops_them(page):
    start = seen_from(page)
    click(page, "turn")
    assert page.run("document.getElementById('turn').getAttribute('aria-pressed')") == "true"
    page.wait(f"placeOf(state.camera)[0] > {np.radians(start[0] + 5)}")
    click(page, "turn")
    stopped = seen_from(page)
    assert stopped[1:] == pytest.approx(start[1:], rel=1e-9)
    page.next_frame()
    assert seen_from(page) == pytest.approx(stopped)
    assert page.run("document.getElementById('turn').getAttribute('aria-pressed')") == "false"


def test_a_circle_takes_half_a_minute_of_the_clock_of_the_browser(page):
    """Frames come here with times of our own; after a longer pause a surface does not jump."""
    page.run(
        "window.own = requestAnimationFrame; window.frames = [];"
        "window.requestAnimationFrame = (act) => frames.push(act); startTurning()"
    )
    start = page.run("placeOf(state.camera)[0]")
    for time_ms in (5000, 5050, 5090, 65090):
        page.run(f"frames.splice(0).forEach((act) => act({time_ms}))")
    passed = page.run("placeOf(state.camera)[0]") - start
    assert passed == pytest.approx(2 * np.pi * (0.09 + 0.1) / 30)
    page.run("stopTurning(); frames.forEach(own); window.requestAnimationFrame = own")


@pytest.mark.parametrize("hold", ["drag", "wheel", "key", "button"])
def test_whoever_takes_hold_of_a_surface_stops_it(page, hold):
    click(page, "turn")
    left, top, width, height = page.box("#space-0")
    x, y = left + 0.5 * width, top + 0.5 * height
    if hold == "drag":
        page.mouse("mousePressed", x, y, button="left", buttons=1)
        page.mouse("mouseReleased", x, y, button="left")
    elif hold == "wheel":
        page.wheel(x, y, 100)
    elif hold == "key":
        page.run("document.getElementById('space-0').focus()")
        page.press("ArrowUp", code=38)
    else:
        click(page, "above")
    page.wait("!state.turning")
    stopped = seen_from(page)
    page.next_frame()
    assert seen_from(page) == pytest.approx(stopped)


def link_of(page):
    """Press the button and return the part of the address that says what is shown."""
    granted = {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    page.call("Browser.grantPermissions", **granted)
    page.call("Page.bringToFront")
    click(page, "link")
    page.wait("document.getElementById('link').textContent !== 'Copy link'")
    assert words_of(page, "link") == "Copied"
    link = page.run("navigator.clipboard.readText()")
    assert link == page.run("location.href")
    return link[link.index("#") :]


CHANGES = """
[["quantity", {value: "train_error"}], ["log", {checked: true}], ["shared", {checked: false}]]
.forEach(([id, change]) => Object.assign(byId(id), change).dispatchEvent(new Event("change")))
"""


def set_otherwise(page):
    """Change all that a link can tell."""
    redrawn(page, lambda: page.run(CHANGES))
    choose(page, "clip", "e.value = 600", "input")
    turned(page, "side")
    page.run("document.getElementById('space-0').focus()")
    page.press("ArrowLeft", code=37)
    page.run("document.getElementById('flat-0').focus()")
    moved(page, lambda: page.press("ArrowRight", code=39))


def test_a_link_opens_the_view_again(page, out):
    set_otherwise(page)
    shown = (words_of(page, "clipped"), words_of(page, "readout-0"), seen_from(page))
    ends = trace(page, "flat-0", "contour")["zmax"]
    fragment = link_of(page)
    page.call("Page.navigate", url="about:blank")
    page.open(out, width=900, height=700, fragment=fragment)
    assert (words_of(page, "clipped"), words_of(page, "readout-0")) == shown[:2]
    assert seen_from(page) == pytest.approx(shown[2], abs=0.01)
    assert page.run("document.getElementById('quantity').value") == "train_error"
    assert page.run("document.getElementById('log').checked")
    assert not page.run("document.getElementById('shared').checked")
    drawn = heights(page, "flat-0", "contour")
    np.testing.assert_allclose(drawn, np.log10(3 * plane(AXIS, AXIS, slope)), atol=1e-6)
    assert trace(page, "flat-0", "contour")["zmax"] == pytest.approx(ends)
    assert complaints(page) == []


def test_a_link_of_a_wide_window_stands_further_away_on_a_phone(page):
    page.resize(1500, 700)
    turned(page, "front")
    fragment = link_of(page)
    wide = seen_from(page)
    page.resize(390, 844)
    page.run("document.getElementById('front').click()")
    expected = seen_from(page)
    assert expected[2] > 1.2 * wide[2]
    page.run("document.getElementById('reset').click()")
    redrawn(page, lambda: page.run(f"location.hash = '{HOME}'"))
    redrawn(page, lambda: page.run(f"location.hash = '{fragment}'"))
    assert seen_from(page) == pytest.approx(expected, rel=0.01)
    page.resize(900, 700)


@pytest.mark.parametrize(
    "words",
    [
        "quantity=none&scale=cubic&camera=1,2,x,4,5,6&clip=&spot=1&shared=maybe",
        "camera=1,1e999,2,0,0,0&clip=NaN",
        "section-2",
        "%7B%22camera%22%3A3%7D",
    ],
)
def test_words_that_say_nothing_here_change_nothing(page, words):
    before = page.run("JSON.stringify(state)")
    page.run(f"location.hash = '{words}'")
    page.next_frame()
    assert page.run("JSON.stringify(state)") == before
    assert complaints(page) == []


def test_a_link_may_say_that_the_surfaces_turn(page):
    page.run(f"location.hash = '{HOME}&turning=yes'")
    page.wait(f"placeOf(state.camera)[0] > {np.radians(-55)}")
    click(page, "turn")
    assert "turning" not in link_of(page)
