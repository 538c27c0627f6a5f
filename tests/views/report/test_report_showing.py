"""Oracle: a real Chromium: its pixels, the files it saves read by Pillow, and its own full screen.

What a page has for showing a surface to others: light, wires, full screen, a PNG for slides.
"""

import time

import numpy as np
import pytest
from limits import LIMIT_S
from open_page import TURNED, choose, complaints, turned
from PIL import Image
from surface_files import plane, write_surface

from landscape_mpi import report

AXIS = np.linspace(-1, 1, 61)
IDLE = "!Number(document.documentElement.dataset.busy)"
VIRIDIS = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]])


def waves(a, b):
    return 2 + np.sin(5 * a) + np.cos(4 * b) + 0.2 * a


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("showing")
    paths = [
        write_surface(folder / f"{name}.h5", AXIS, AXIS, {"train_loss": plane(AXIS, AXIS, waves)})
        for name in ("first", "second")
    ]
    report.main([*map(str, paths), f"--out={folder / 'page.html'}"])
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
    browser.open(folder / "page.html", width=1000, height=800)
    browser.saved = folder
    return browser


def colored(picture):
    return picture[np.ptp(picture.astype(int), axis=2) > 60].astype(float)


def off_the_scale(picture):
    """Return how far the colours of the surface are from those of the bar, in the middle."""
    shares = np.linspace(0, 4, 201)
    scale = np.stack([np.interp(shares, range(5), channel) for channel in VIRIDIS.T], axis=-1)
    pixels = colored(picture)[::7]
    return np.median(np.abs(pixels[:, None] - scale).sum(axis=2).min(axis=1))


def test_without_light_the_colours_are_those_of_the_bar(page):
    turned(page, "reset")
    choose(page, "light", "e.value = 'none'")
    assert off_the_scale(page.picture("#space-0")) < 12
    choose(page, "light", "e.value = 'low'")
    low = page.picture("#space-0")
    assert off_the_scale(low) > 30
    choose(page, "light", "e.value = 'soft'")
    soft = page.picture("#space-0")
    assert off_the_scale(soft) > 12
    assert colored(low).std() > 1.05 * colored(soft).std()  # deeper shades


def test_wires_let_the_ground_be_seen_and_have_the_colours_of_the_values(page):
    full = (np.ptp(page.picture("#space-1").astype(int), axis=2) > 60).sum()
    choose(page, "wires", "e.checked = true")
    picture = page.picture("#space-1")
    wires = (np.ptp(picture.astype(int), axis=2) > 60).sum()
    assert 0.1 * full < wires < 0.8 * full
    tilt = colored(picture)[:, 1] - colored(picture)[:, 2]
    assert np.quantile(tilt, 0.98) > np.quantile(tilt, 0.02) + 80
    assert page.run("document.getElementById('light').disabled")
    choose(page, "wires", "e.checked = false")
    assert (np.ptp(page.picture("#space-1").astype(int), axis=2) > 60).sum() == pytest.approx(
        full, rel=0.02
    )


@pytest.mark.parametrize(
    ("plot", "name"), [("space-0", "first_space.png"), ("flat-1", "second_plane.png")]
)
def test_a_large_png_without_a_ground_is_saved(page, plot, name):
    """The ground lets everything through, the surface nothing, and neither is blank."""
    page.run(f"document.querySelector('#{plot} [data-title^=\"Save as a large PNG\"]').click()")
    page.wait(f"{IDLE} && {TURNED}")
    path = page.saved / name
    end = time.monotonic() + LIMIT_S
    while not path.exists() and time.monotonic() < end:
        page.next_frame()
    image = np.asarray(Image.open(path))
    assert image.shape[1] == 3200
    assert image.shape[2] == 4
    assert image[:40, :40, 3].max() == 0
    rows, columns, _ = image.shape
    middle = image[int(0.4 * rows) : int(0.6 * rows), int(0.42 * columns) : int(0.58 * columns)]
    assert (middle[..., 3] == 255).mean() > 0.9
    assert (np.ptp(middle[..., :3].astype(int), axis=2) > 60).mean() > 0.8
    # As sharp as it is large: a picture that was blown up has no two neighbours far apart.
    steps = np.abs(np.diff(image[..., 3].astype(int), axis=1))
    assert (steps > 200).sum() > 100
    assert complaints(page) == []


def test_full_screen_has_the_controls_and_the_surfaces_in_space(page):
    left, top, width, height = page.box("#screen")
    x, y = left + width / 2, top + height / 2
    before = page.run("document.getElementById('space-0').clientHeight")

    def press():
        page.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
        page.mouse("mouseReleased", x, y, button="left", clickCount=1)

    press()
    page.wait(f"document.fullscreenElement && {IDLE}")
    page.next_frame()
    window = page.run("[innerWidth, innerHeight]")
    boxes = page.run(
        "['controls', 'space-0', 'space-1'].map((id) => {"
        "const r = document.getElementById(id).getBoundingClientRect();"
        "return [r.left, r.top, r.right, r.bottom]; })"
    )
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= window[0]
        assert 0 <= top < bottom <= window[1]
    assert boxes[1][2] < boxes[2][0]  # side by side
    assert boxes[1][1] > boxes[0][3]  # below the controls
    shown = boxes[1][3] - boxes[1][1]
    assert shown > 0.5 * window[1]
    canvas = "Math.abs(document.querySelector('#space-0 canvas').clientHeight - {}) < 1"
    page.wait(canvas.format(shown))
    seen = "['flat-0', 'readout-0'].map((id) => document.getElementById(id).offsetHeight)"
    assert page.run(seen) == [0, 0]
    assert len(colored(page.picture())) > 20000
    page.run("document.exitFullscreen()")
    page.wait(f"!document.fullscreenElement && {IDLE}")
    page.wait(f"document.getElementById('space-0').clientHeight === {before}")
    page.wait(canvas.format(before))
    assert page.run("document.getElementById('flat-0').offsetHeight") > 100
