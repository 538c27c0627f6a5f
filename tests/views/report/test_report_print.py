"""Oracle: the PDF that a real Chromium prints, read with zlib alone, and what it shows itself.

Of pages that are open in the dark, where what is not made black on white is not.
"""

import re
import zlib

import numpy as np
import pytest
from open_page import TURNED, complaints, words_of
from printed_pdf import objects_of
from surface_files import plane, write_surface

from landscape_mpi import report

ALPHA, BETA = np.linspace(-1, 1, 21), np.linspace(-1, 1, 17)
IMAGE = re.compile(rb"/Subtype /Image\s*/Width (\d+)\s*/Height (\d+)")
DARK = [{"name": "prefers-color-scheme", "value": "dark"}]


def slope(a, b):
    return 5.0 + 4.9 * a + 0.05 * b


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("print")
    loss = plane(ALPHA, BETA, slope)
    classes = {"model": "net", "n_classes": 10}
    paths = [
        write_surface(
            folder / f"{factor}.h5", ALPHA, BETA, {"train_loss": factor * loss}, attributes=classes
        )
        for factor in (1, 0.9)
    ]
    report.main([*map(str, paths), f"--out={folder / 'page.html'}"])
    browser.open(folder / "page.html", width=1100, height=800, dark=True)
    return browser


@pytest.fixture(scope="module")
def objects(page):
    """Return the objects of the printed page by number: their dictionaries, and their bytes."""
    return objects_of(page.print())


def sheets(objects):
    """Return the dictionaries of the sheets of paper, in their order."""
    (kids,) = (
        re.search(rb"/Kids \[(.*?)\]", head) for head, _ in objects.values() if b"/Kids" in head
    )
    return [objects[int(number)][0] for number in re.findall(rb"(\d+) 0 R", kids[1])]


def images(objects, sheet):
    """Return the images of a sheet, uint8 [rows, columns, 3], without those that mask others."""
    found = []
    named = re.search(rb"/XObject <<(.*?)>>", sheet, re.DOTALL)
    for number in re.findall(rb"/X\d+ (\d+) 0 R", named[1] if named else b""):
        head, stream = objects[int(number)]
        if size := IMAGE.search(head):
            shape = int(size[2]), int(size[1]), 3
            found.append(np.frombuffer(zlib.decompress(stream), "u1").reshape(shape))
    return found


def colored(image):
    return (np.ptp(image.astype(int), axis=2) > 60).mean()


def test_the_first_sheet_has_all_pictures_of_both_surfaces(objects):
    first, *others = sheets(objects)
    pictures = images(objects, first)
    assert len(pictures) == 4
    assert all(colored(picture) > 0.1 for picture in pictures)
    assert len(others) <= 1
    assert sum(len(images(objects, sheet)) for sheet in others) == 0


def test_the_surfaces_are_on_it_as_they_were_seen(page, objects):
    """Violet on the left and yellow on the right, as wide as on the screen."""
    wide = page.run("document.getElementById('space-0').clientWidth")
    stills = [
        picture for picture in images(objects, sheets(objects)[0]) if picture.shape[1] == wide
    ]
    assert len(stills) == 2
    for still in stills:
        rows, columns = np.nonzero(np.ptp(still.astype(int), axis=2) > 60)
        tilt = (still[..., 1].astype(int) - still[..., 2])[rows, columns]
        left, right = np.quantile(columns, [0.15, 0.85])
        assert tilt[columns < left].mean() < 0 < 60 < tilt[columns > right].mean()


def test_all_letters_are_black_but_those_on_the_colours(objects):
    """Fills before text in the page's own stream: r g b rg ... BT."""
    sheet = sheets(objects)[0]
    stream = zlib.decompress(objects[int(re.search(rb"/Contents (\d+)", sheet)[1])][1]).decode(
        "latin1"
    )
    fills = set()
    color = "0 0 0"
    for line in stream.splitlines():
        if fill := re.search(r"(\S+ \S+ \S+) rg$", line):
            color = fill[1]
        elif line == "BT":
            fills.add(color)
    assert fills == {"0 0 0", "1 1 1"}


def test_on_paper_all_is_black_on_white_and_afterwards_dark_again(page):
    """In a window as wide as the paper, with the style of print."""
    page.run("dispatchEvent(new Event('beforeprint'))")
    page.call("Emulation.setEmulatedMedia", media="print", features=DARK)
    page.resize(720, 1000)
    assert page.box("#flat-0")[2] < 360
    whole = page.picture().astype(int)
    grey = np.ptp(whole, axis=2) < 20
    assert (whole[grey].mean(axis=-1) > 250).mean() > 0.8
    assert (whole[grey].mean(axis=-1) < 40).mean() > 0.005
    assert page.run("document.documentElement.scrollWidth") <= 720
    still = page.picture("canvas.still")
    assert still[:8, :8].min() == 255
    assert colored(still) > 0.1
    assert page.run("getComputedStyle(document.getElementById('controls')).display") == "none"
    page.call("Emulation.setEmulatedMedia", media="", features=DARK)
    page.resize(1100, 800)
    page.run("dispatchEvent(new Event('afterprint'))")
    page.wait("!Number(document.documentElement.dataset.busy)")
    page.wait(TURNED)
    assert page.run("document.querySelectorAll('.still').length") == 0
    assert page.picture("#space-0")[:12, :12].mean() < 60
    assert page.picture("#flat-0")[:12, :12].mean() < 60
    assert complaints(page) == []


def test_a_marked_point_is_printed_and_the_hint_is_not(page):
    page.call("Emulation.setEmulatedMedia", media="print", features=DARK)
    shown = "getComputedStyle(document.getElementById('readout-0')).display"
    assert page.run(shown) == "none"
    page.run("setSpot({alpha: 0, beta: 0}, true)")
    assert words_of(page, "readout-0") == "α 0   β 0   train loss 5 nat"
    assert page.run(shown) == "block"
    page.call("Emulation.setEmulatedMedia", media="", features=DARK)
