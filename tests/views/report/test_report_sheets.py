"""Oracle: the words of a PDF that a real Chromium prints, read with zlib alone, beside the page's.

Of more surfaces than one sheet holds: their words go on on the next one, and none is lost.
"""

import re
import zlib

import numpy as np
import pytest
from printed_pdf import objects_of
from surface_files import plane, write_surface

from landscape_mpi import report

AXIS = np.linspace(-1, 1, 41)
N_SURFACES = 6
SMALLEST = 6.5  # points: smaller letters are hard to read on paper
CSS_PIXEL = 0.75  # points


@pytest.fixture(scope="module")
def page(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sheets")
    paths = [
        write_surface(
            folder / f"surface{k}.h5",
            AXIS,
            AXIS,
            {"train_loss": plane(AXIS, AXIS, lambda a, b, k=k: (3 + k) * (a * a + 9 * b * b))},
            attributes={"model": f"net{k}", "n_classes": 10},
        )
        for k in range(N_SURFACES)
    ]
    report.main([*map(str, paths), f"--out={folder / 'page.html'}"])
    browser.open(folder / "page.html", width=1100, height=800)
    return browser


@pytest.fixture(scope="module")
def words(page):
    """Return the letters of all sheets, in the order in which they are drawn."""
    objects = objects_of(page.print())
    (kids,) = (
        re.search(rb"/Kids \[(.*?)\]", head) for head, _ in objects.values() if b"/Kids" in head
    )
    sheets = [objects[int(number)][0] for number in re.findall(rb"(\d+) 0 R", kids[1])]
    drawn = "".join(letters_of(sheet, objects) for sheet in sheets)
    return drawn.replace("\ufb01", "fi").replace("\ufb02", "fl")  # fonts join these letters


def letters_of(sheet, objects):
    """Return the letters of a sheet: glyphs in hexadecimal numbers, which each font translates."""
    content = unpacked(objects[int(re.search(rb"/Contents (\d+)", sheet)[1])])
    fonts = re.search(rb"/Font <<(.*?)>>", sheet, re.DOTALL)
    alphabets = {
        name: alphabet_of(objects[int(number)][0], objects)
        for name, number in re.findall(rb"/(F\d+) (\d+) 0 R", fonts[1])
    }
    letters, alphabet = "", {}
    for name, glyphs in re.findall(rb"/(F\d+) [\d.]+ Tf|<([0-9A-Fa-f]+)>", content):
        if name:
            alphabet = alphabets[name]
        else:
            codes = [int(glyphs[k : k + 4], 16) for k in range(0, len(glyphs), 4)]
            letters += "".join(alphabet.get(code, "") for code in codes)
    return letters


def alphabet_of(font, objects):
    """Return the letters of a font by glyph, of its ToUnicode map."""
    found = {}
    text = unpacked(objects[int(re.search(rb"/ToUnicode (\d+)", font)[1])])
    for block in re.findall(rb"beginbfchar(.*?)endbfchar", text, re.DOTALL):
        for code, letter in re.findall(rb"<(\w+)> <(\w+)>", block):
            found[int(code, 16)] = bytes.fromhex(letter.decode()).decode("utf-16-be")
    for block in re.findall(rb"beginbfrange(.*?)endbfrange", text, re.DOTALL):
        for first, last, letter in re.findall(rb"<(\w+)> <(\w+)> <(\w+)>", block):
            for code in range(int(first, 16), int(last, 16) + 1):
                found[code] = chr(int(letter, 16) + code - int(first, 16))
    return found


def unpacked(item):
    head, stream = item
    return zlib.decompress(stream) if b"/FlateDecode" in head else stream


def test_no_word_is_lost_between_two_sheets(page, words):
    wanted = page.run("[...document.querySelectorAll('.numbers li, .notes')].map(e => e.innerText)")
    assert len(wanted) > 8 * N_SURFACES
    drawn = re.sub(r"\s", "", words)
    counts = {text: wanted.count(text) for text in wanted}
    lost = [text for text, n in counts.items() if text and drawn.count(re.sub(r"\s", "", text)) < n]
    assert lost == []


def test_what_is_closed_is_not_announced(words):
    assert words.count("Numbers") == N_SURFACES
    assert "comes from" not in words


def test_letters_of_pictures_can_be_read_on_paper(page):
    """In a window as wide as a sheet, with the style of print."""
    page.run("dispatchEvent(new Event('beforeprint'))")
    page.call("Emulation.setEmulatedMedia", media="print")
    page.resize(720, 1000)
    try:
        sizes = page.run(
            "[...document.querySelectorAll('.flat text')].filter((e) => e.textContent.trim())"
            ".map((e) => parseFloat(getComputedStyle(e).fontSize) * e.getScreenCTM().a)"
        )
        upright = [size * CSS_PIXEL for size in sizes if size > 0]
        assert len(upright) > 10 * N_SURFACES
        assert np.median(upright) > SMALLEST
        narrow = page.box("#flat-0 .main-svg")
        assert narrow[2] < 360
    finally:
        page.call("Emulation.setEmulatedMedia", media="")
        page.resize(1100, 800)
        page.run("dispatchEvent(new Event('afterprint'))")
    page.wait("!Number(document.documentElement.dataset.busy)")
    width = page.run("document.getElementById('flat-0').clientWidth")
    assert page.run("document.querySelector('#flat-0 .main-svg').clientWidth") == width
