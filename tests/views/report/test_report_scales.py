"""Oracle: a real Chromium; numpy's logarithms, shares and ranges of the values in the files.

How the pages of report draw values where nobody says how, alone and beside others.
"""

import numpy as np
import pytest
from open_page import brightness, choose, complaints, heights, redrawn, trace, words_of
from surface_files import plane, write_surface

from landscape_mpi import report

AXIS = np.linspace(-1, 1, 21)
OF_CLASSES = {"model": "net", "n_classes": 10}


def bowl(a, b):
    return 0.02 + 24 * (a**2 + b**2)


def open_pages(browser, folder, surfaces, *options, attributes=OF_CLASSES):
    """Open a page of surfaces, named train_loss, each [21, 21]."""
    paths = [
        write_surface(folder / f"{n}.h5", AXIS, AXIS, {"train_loss": values}, attributes=attributes)
        for n, values in enumerate(surfaces)
    ]
    out = folder / "page.html"
    report.main([*map(str, paths), f"--out={out}", *options])
    browser.open(out, width=700, height=640)
    return browser


@pytest.fixture(scope="module")
def bowls(browser, tmp_path_factory):
    """A bowl up to 48 nat, and one up to 2.4 nat."""
    loss = plane(AXIS, AXIS, bowl)
    return open_pages(browser, tmp_path_factory.mktemp("bowls"), [loss, 0.05 * loss])


def test_colours_go_from_0_to_10_nat_in_every_surface(bowls):
    for number in (0, 1):
        contour = trace(bowls, f"flat-{number}", "contour")
        assert (contour["zmin"], contour["zmax"]) == (0, 10)
        surface = trace(bowls, f"space-{number}", "surface")
        assert (surface["cmin"], surface["cmax"]) == (0, 10)
    np.testing.assert_allclose(heights(bowls, "flat-0", "contour"), plane(AXIS, AXIS, bowl), 1e-6)
    assert complaints(bowls) == []


def test_lines_lie_at_the_given_levels_and_have_their_labels(bowls):
    drawn = bowls.run(
        "document.getElementById('flat-0').data.filter((trace) => trace.contours)"
        ".map((trace) => trace.contours)"
    )
    levels = [np.arange(c["start"], c["end"] + 0.1 * c["size"], c["size"]) for c in drawn]
    assert sorted(np.concatenate(levels)) == pytest.approx([0.1, 0.5, *range(1, 11)])
    labels = bowls.run(
        "[...document.querySelectorAll('#flat-0 .contourlabels text')].map((e) => e.textContent)"
    )
    assert set(labels) <= {"0.1", "0.5", *map(str, range(1, 11))}
    assert len(set(labels)) > 4
    # Labels of lines that are close to one another would lie on one another.
    assert [c["showlabels"] for c in drawn] == [True, True, False]


def test_what_lies_above_the_colours_is_said_in_picture_and_notes(bowls):
    loss = plane(AXIS, AXIS, bowl)
    share, highest = 100 * (loss > 10).mean(), loss.max()
    said = f"{share:.2g} % of the plane is above 10 nat, up to {highest:.3g}"
    assert said in words_of(bowls, "flat-0")
    assert f"{said}: the colours end there." in words_of(bowls, "notes-0")
    assert "above 10 nat" not in words_of(bowls, "flat-1")
    assert "above 10 nat" not in words_of(bowls, "notes-1")


def test_the_bar_ends_in_an_arrow_where_values_lie_above_it(bowls):
    shapes = "document.getElementById('flat-{}').layout.shapes.map((shape) => shape.name)"
    assert bowls.run(shapes.format(0)) == ["arrow"]
    assert bowls.run(shapes.format(1)) == []
    box = bowls.run(
        "[['#flat-0 .shapelayer path'], ['#flat-0 .cbfills']].map(([found]) => {"
        "const r = document.querySelector(found).getBoundingClientRect();"
        "return [r.left, r.right, r.top, r.bottom]; })"
    )
    (left, right, _, bottom), (bar_left, bar_right, bar_top, _) = box
    assert [left, right, bottom] == pytest.approx([bar_left, bar_right, bar_top], abs=1.5)


def test_heights_in_space_are_logarithms_with_a_tenth_added_in_one_range(bowls):
    loss = plane(AXIS, AXIS, bowl)
    expected = np.log10(loss + 0.1)
    np.testing.assert_allclose(heights(bowls, "space-0", "surface"), expected, atol=1e-6)
    np.testing.assert_allclose(
        np.array(trace(bowls, "space-0", "surface")["surfacecolor"]).T, loss, rtol=1e-6
    )
    axes = [
        bowls.run(f"document.getElementById('space-{number}').layout.scene.zaxis")
        for number in (0, 1)
    ]
    assert axes[0]["range"] == axes[1]["range"]
    assert axes[0]["range"][0] < np.log10(0.05 * loss.min() + 0.1)
    assert axes[0]["range"][1] > expected.max()
    ticks = dict(zip(axes[0]["ticktext"], axes[0]["tickvals"], strict=True))
    for text in ("0", "1", "10"):
        assert ticks[text] == pytest.approx(np.log10(float(text) + 0.1))
    assert "Heights in space are log₁₀(train loss + 0.1 nat)." in words_of(bowls, "notes-0")


def test_another_scale_has_the_ends_of_the_values(bowls):
    loss = plane(AXIS, AXIS, bowl)
    choose(bowls, "linear", "e.checked = true")
    assert trace(bowls, "flat-0", "contour")["zmax"] == pytest.approx(loss.max())
    np.testing.assert_allclose(heights(bowls, "space-0", "surface"), loss, rtol=1e-6)
    assert "above 10 nat" not in words_of(bowls, "notes-0")
    choose(bowls, "auto", "e.checked = true")
    assert trace(bowls, "flat-0", "contour")["zmax"] == 10


def test_the_slider_ends_the_colours_and_cuts_the_surface(bowls):
    choose(bowls, "clip", "e.value = 500", "input")
    end = float(words_of(bowls, "clipped").split()[0])
    assert trace(bowls, "flat-0", "contour")["zmax"] == pytest.approx(end, rel=0.01)
    top = bowls.run("document.getElementById('space-0').layout.scene.zaxis.range[1]")
    assert top == pytest.approx(np.log10(end + 0.1), abs=0.01)
    choose(bowls, "clip", "e.value = 1000", "input")
    assert trace(bowls, "flat-0", "contour")["zmax"] == 10


def signed(a, b):
    return np.sign(a) * 10.0 ** (8 * abs(a) - 4) + 0 * b


def test_values_of_both_signs_and_many_sizes_are_symlog_by_themselves(browser, tmp_path):
    """Beyond the threshold a decade is one unit of height, on both sides."""
    page = open_pages(browser, tmp_path, [plane(AXIS, AXIS, signed)], attributes={"model": "net"})
    drawn = heights(page, "flat-0", "contour")[:, 0]
    sizes = 8 * np.abs(AXIS) - 4  # powers of ten
    far = sizes > np.quantile(sizes, 0.5)
    jumps = np.diff(drawn[far & (AXIS > 0)])
    np.testing.assert_allclose(jumps, 0.8, atol=1e-6)
    np.testing.assert_allclose(drawn[far], -drawn[far][::-1], atol=1e-6)
    assert page.run("document.getElementById('auto').checked")
    bar = trace(page, "flat-0", "contour")["colorbar"]["ticktext"]
    assert {"0", "1000", "−1000"} <= set(bar)
    axis = page.run("document.getElementById('space-0').layout.scene.zaxis.ticktext")
    assert "0" in axis
    assert any(text.startswith("−") for text in axis)
    assert "The scale is linear up to 0.01 nat on both sides of zero" in words_of(page, "notes-0")
    picture = page.picture("#flat-0 .nsewdrag")
    assert brightness(picture, 0.05, 0.3) < -60
    assert brightness(picture, 0.95, 0.3) > 100


def test_symlog_can_be_chosen(bowls_again):
    choose(bowls_again, "symlog", "e.checked = true")
    drawn = heights(bowls_again, "flat-0", "contour")
    loss = plane(AXIS, AXIS, bowl)
    threshold = 10.0 ** np.floor(np.log10(np.quantile(np.concatenate([loss, 0.05 * loss]), 0.1)))
    expected = np.where(loss > threshold, 1 + np.log10(loss / threshold), loss / threshold)
    np.testing.assert_allclose(drawn, expected, rtol=1e-5)


@pytest.fixture
def bowls_again(browser, tmp_path):
    loss = plane(AXIS, AXIS, bowl)
    return open_pages(browser, tmp_path, [loss, 0.05 * loss])


@pytest.mark.parametrize("attributes", [OF_CLASSES, {"model": "net"}], ids=["classes", "none"])
def test_one_outlier_does_not_flatten_four_others(browser, tmp_path, attributes):
    loss = plane(AXIS, AXIS, bowl)
    surfaces = [loss * (1 + 0.1 * n) for n in range(4)] + [1e30 * loss]
    page = open_pages(browser, tmp_path, surfaces, "--linear", attributes=attributes)
    apart = "has its own range"
    for scale in ("linear", "auto"):
        if scale == "auto":
            choose(page, scale, "e.checked = true")
        spans = [np.ptp(heights(page, f"space-{number}", "surface")) for number in range(5)]
        axis = "document.getElementById('space-{}').layout.scene.zaxis.range"
        room = [np.ptp(page.run(axis.format(number))) for number in range(5)]
        assert len({*np.round(room[:4], 9)}) == 1
        assert min(spans[k] / room[k] for k in range(5)) > 0.5, scale
        said = [apart in words_of(page, f"notes-{number}") for number in range(5)]
        assert said == [False] * 4 + [True], scale


def test_one_corner_is_cut_where_the_others_end(browser, tmp_path):
    """The corner is 1 % of its plane; the bowls end at 48 nat, which is written as 49."""
    loss = plane(AXIS, AXIS, bowl)
    outlier = np.where(np.add.outer(AXIS, AXIS) > 1.7, 1e9, loss / 2)
    page = open_pages(browser, tmp_path, [loss, 0.8 * loss, outlier])
    axes = [page.run(f"document.getElementById('space-{n}').layout.scene.zaxis") for n in range(3)]
    assert len({tuple(axis["range"]) for axis in axes}) == 1
    assert axes[0]["range"][1] == pytest.approx(np.log10(49.1))
    said = ["Heights above 49 nat are cut off" in words_of(page, f"notes-{n}") for n in range(3)]
    assert said == [False, False, True]
    choose(page, "shared", "e.checked = false")
    top = page.run("document.getElementById('space-2').layout.scene.zaxis.range[1]")
    assert top > 9
    choose(page, "shared", "e.checked = true")


def test_labels_of_axes_in_space_do_not_touch(bowls_again):
    """By the projection that plotly.js draws with, without those at the ends of the plane."""
    scene = bowls_again.run("document.getElementById('space-0').layout.scene")
    for name in ("xaxis", "yaxis"):
        assert scene[name]["tickvals"] == [-0.5, 0, 0.5]
    low, high = scene["zaxis"]["range"]
    assert np.diff(scene["zaxis"]["tickvals"]).min() >= (high - low) / 9
    assert scene["zaxis"]["ticktext"][0] == "0"


def test_a_range_given_in_the_command(browser, tmp_path):
    page = open_pages(browser, tmp_path, [plane(AXIS, AXIS, bowl)], "--range=1:5")
    contour = trace(page, "flat-0", "contour")
    assert (contour["zmin"], contour["zmax"]) == (1, 5)
    low, high = page.run("document.getElementById('space-0').layout.scene.zaxis.range")
    assert low == pytest.approx(np.log10(1.1), abs=0.05)
    assert high == pytest.approx(np.log10(5.1))
    assert words_of(page, "clipped") == "5 nat"
    redrawn(page, lambda: page.run("document.getElementById('linear').click()"))
    contour = trace(page, "flat-0", "contour")
    assert (contour["zmin"], contour["zmax"]) == (1, 5)


def test_the_share_is_one_of_area_and_of_what_is_computed(browser, tmp_path):
    """Cells along alpha are 6, 3.5, 1 and 1 wide; a row of the second surface is unknown."""
    alpha, beta = [0.0, 6.0, 7.0, 8.0], np.linspace(0, 1, 3)
    loss = plane(alpha, beta, lambda a, b: 50.0 if a > 1 else 1.0)
    done = np.broadcast_to(np.arange(3) < 2, loss.shape)
    paths = [
        write_surface(
            tmp_path / f"{n}.h5", alpha, beta, {"train_loss": loss}, done=it, attributes=OF_CLASSES
        )
        for n, it in enumerate([None, done])
    ]
    report.main([*map(str, paths), f"--out={tmp_path / 'page.html'}"])
    browser.open(tmp_path / "page.html", width=700, height=640)
    said = f"{100 * 5.5 / 11.5:.2g} % of {{}} is above 10 nat, up to 50"
    assert said.format("the plane") in words_of(browser, "notes-0")
    assert said.format("what is computed") in words_of(browser, "notes-1")


def test_no_line_breaks_within_an_option_in_the_numbers(browser, tmp_path):
    """Two lines name --x and --y for a narrow basin; no window breaks these options."""
    loss = plane(AXIS, AXIS, lambda a, b: 0.1 + 90 * (a * a + b * b))
    open_pages(browser, tmp_path, [loss])
    pieces = """[...document.querySelectorAll("li .option")]
        .map((e) => [e.textContent, e.getClientRects().length])"""
    found = browser.run(pieces)
    assert {words.partition("=")[0] for words, _ in found} == {"--x", "--y"}
    assert any("=" in words for words, _ in found)
    for width in range(320, 700, 20):
        browser.resize(width, 800)
        assert {n for _, n in browser.run(pieces)} == {1}
