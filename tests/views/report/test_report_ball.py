"""Oracle: a real Chromium; the recurrences of gradient descent and of heavy ball, by hand.

The ball that rolls on the planes of a page. Cubic interpolation meets a quadratic, so the
way of the ball obeys the recurrence with the true slope, whatever rate the page has chosen.
"""

import numpy as np
import pytest
from open_page import TURNED, choose, complaints, counted, heights, moved, redrawn, words_of
from surface_files import plane, write_surface

from landscape_mpi import report

AXIS = np.linspace(-1, 1, 21)
IDLE = "!Number(document.documentElement.dataset.busy)"
A, B = 3.0, 1.0
NOT_TRAINING = "This is not the training, which moves all weights in all directions."


def quadratic(a, b):
    return 0.5 + A * a * a + B * b * b


def two_wells(a, b):
    """A shallow well at 0.5, a deep one at -0.5, and between them a hill."""
    return 1.5 + 3 * (a * a - 0.25) ** 2 + 0.2 * a + b * b


def open_page(browser, folder, **second):
    """Open a page of a bowl and a second surface: each one makes every drawing longer."""
    losses = {"bowl": plane(AXIS, AXIS, quadratic), **second}
    errors = (plane(AXIS, AXIS, lambda a, b: 9 - a + 0 * b), plane(AXIS, AXIS, quadratic))
    paths = [
        write_surface(folder / f"{name}.h5", AXIS, AXIS, {"train_loss": loss, "train_error": error})
        for (name, loss), error in zip(losses.items(), errors, strict=True)
    ]
    report.main([*map(str, paths), f"--out={folder / 'page.html'}"])
    browser.open(folder / "page.html", width=1000, height=800)
    still(browser)
    return browser


@pytest.fixture(scope="module")
def opened(browser, tmp_path_factory):
    """A bowl and two wells."""
    folder = tmp_path_factory.mktemp("ball")
    return open_page(browser, folder, wells=plane(AXIS, AXIS, two_wells))


@pytest.fixture(scope="module")
def sloped(browser, tmp_path_factory):
    """A bowl, and a slope with a hole and an edge below; it takes the place of the other page."""
    holed = plane(AXIS, AXIS, lambda a, b: 3 + a + 0.1 * b)
    holed[4, 10] = np.nan
    return open_page(browser, tmp_path_factory.mktemp("slope"), slope=holed)


def still(browser, *, reduced=True):
    """Say whether the user wants few motions; then a ball is at its end at once."""
    value = "reduce" if reduced else "no-preference"
    browser.call(
        "Emulation.setEmulatedMedia", features=[{"name": "prefers-reduced-motion", "value": value}]
    )


@pytest.fixture
def page(opened):
    still(opened)
    if opened.run("state.method") != "descent":
        opened.run("document.getElementById('method').value = state.method = 'descent'")
    return opened


def drop(page, a, b, *, method="descent"):
    """Let the ball down, if it is not at the end of this way already: every drawing takes long."""
    page.run(f"state.method = '{method}'")
    place = f"{{alpha: {a}, beta: {b}}}"
    key = f"JSON.stringify([{place}, '{method}', state.quantity])"
    if not page.run(f"shownSteps === Infinity && views.every((v) => v.ballKey === {key})"):
        counted(page, "rolled", lambda: page.run(f"letDown({place})"))


def take(page):
    """Take the ball away, if there is one."""
    if page.run("state.ball !== null"):
        counted(page, "rolled", lambda: page.run("takeBall()"))


def way(page, number):
    found = page.run(f"views[{number}].ball.way.map(({{alpha, beta}}) => [alpha, beta])")
    return np.array(found)


def slope_of_quadratic(places):
    return places * [2 * A, 2 * B]


def test_gradient_descent_steps_against_the_slope(page):
    drop(page, 0.6, -0.7)
    places = way(page, 0)
    assert places[0] == pytest.approx([0.6, -0.7])
    steps, slopes = np.diff(places, axis=0), slope_of_quadratic(places[:-1])
    rates = -steps / slopes
    np.testing.assert_allclose(rates[:, 0], rates[:, 1], rtol=1e-5)
    lengths = np.linalg.norm(steps, axis=1)
    longest = lengths.max()
    assert longest == pytest.approx(0.008 * 2)  # of a side, which is 2 long
    is_short = lengths < 0.999 * longest
    np.testing.assert_allclose(rates[is_short], rates[-1, 0], rtol=1e-4)
    sizes = np.linalg.norm(slope_of_quadratic(np.stack(np.meshgrid(AXIS, AXIS), -1)), axis=-1)
    assert rates[-1, 0] == pytest.approx(longest / np.median(sizes), rel=0.02)
    assert np.abs(places[-1]).max() < 0.01


def test_momentum_keeps_nine_tenths_of_each_step(page):
    drop(page, 0.6, -0.7)
    rate = (-np.diff(way(page, 0), axis=0) / slope_of_quadratic(way(page, 0)[:-1]))[-1, 0]
    drop(page, 0.6, -0.7, method="momentum")
    places = way(page, 0)
    assert (places[:, 0] < -0.02).any()  # it swings beyond the middle
    steps, slopes = np.diff(places, axis=0), slope_of_quadratic(places[:-1])
    push = -rate * slopes
    push *= np.minimum(1, 0.016 / np.linalg.norm(push, axis=1))[:, None]
    np.testing.assert_allclose(steps[0], push[0], rtol=1e-5)
    np.testing.assert_allclose(steps[1:], 0.9 * steps[:-1] + push[1:], atol=1e-6)
    assert np.abs(places[-1]).max() < 0.01


def test_momentum_leaves_a_shallow_well_in_which_descent_stays(page):
    drop(page, 0.95, 0.3)
    assert way(page, 1)[-1] == pytest.approx([0.46, 0], abs=0.03)
    drop(page, 0.95, 0.3, method="momentum")
    assert way(page, 1)[-1] == pytest.approx([-0.53, 0], abs=0.03)


def test_the_page_says_from_where_to_where_and_that_it_is_not_the_training(page):
    drop(page, 0.6, -0.7)
    value = quadratic(0.6, -0.7)
    told = words_of(page, "ball-0")
    start = (
        f"The ball, by gradient descent from α 0.6, β −0.7 ({value:.3g} nat), came to rest after"
    )
    assert told.startswith(start)
    assert f" {len(way(page, 0)) - 1} steps at α " in told
    assert told.endswith(NOT_TRAINING)
    assert "came to rest after" in words_of(page, "ball-1")


def test_both_pictures_show_the_way_and_the_ball_on_the_surface(page):
    drop(page, 0.6, -0.7)
    places = way(page, 0)
    found = "document.getElementById('space-0').data.find((trace) => trace.name === '{}')"
    trail = page.run(f"(({{x, y, z}}) => [x, y, z])({found.format('way of the ball')})")
    np.testing.assert_allclose(np.array(trail[:2]).T, places)
    values = quadratic(*places.T)
    room = np.ptp(page.run("views[0].shown.space"))
    assert np.abs(np.array(trail[2]) - np.log10(values + 0.1)).max() < 0.04 * room
    shapes = page.run("document.getElementById('flat-0').layout.shapes")
    assert [shape["name"] for shape in shapes] == ["way of the ball", "ball"]
    assert [shapes[1]["xanchor"], shapes[1]["yanchor"]] == pytest.approx(places[-1])
    orange = np.array([255, 122, 26])
    for picture in ("#flat-0 .nsewdrag", "#space-0"):
        near = np.abs(page.picture(picture).astype(int) - orange).sum(axis=2) < 60
        assert near.sum() > 40, picture
    counted(page, "rolled", lambda: page.run("document.getElementById('ball').click()"))
    near = np.abs(page.picture("#flat-0 .nsewdrag").astype(int) - orange).sum(axis=2) < 60
    assert near.sum() == 0
    assert page.run("document.getElementById('ball-0').hidden")


def test_the_button_drops_it_each_time_elsewhere_and_a_click_where_it_was(page):
    pressed = "document.getElementById('ball').getAttribute('aria-pressed')"
    starts = []
    take(page)
    for _ in range(2):
        counted(page, "rolled", lambda: page.run("document.getElementById('ball').click()"))
        assert page.run(pressed) == "true"
        starts.append(way(page, 0)[0])
        counted(page, "rolled", lambda: page.run("document.getElementById('ball').click()"))
        assert page.run(pressed) == "false"
    assert np.linalg.norm(starts[0] - starts[1]) > 0.3
    counted(page, "rolled", lambda: page.run("document.getElementById('ball').click()"))
    left, top, width, height = page.box("#flat-1 .nsewdrag")
    x, y = left + 0.25 * width, top + 0.3 * height

    def click():
        page.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
        page.mouse("mouseReleased", x, y, button="left", clickCount=1)

    counted(page, "rolled", click)
    assert way(page, 0)[0] == pytest.approx([-0.5, 0.4])
    page.mouse("mouseMoved", 2, 2)


def test_a_click_without_a_ball_drops_none(page):
    take(page)
    left, top, width, height = page.box("#flat-1 .nsewdrag")
    x, y = left + 0.25 * width, top + 0.3 * height
    page.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
    page.mouse("mouseReleased", x, y, button="left", clickCount=1)
    page.mouse("mouseMoved", 2, 2)
    page.wait("!state.spot")
    assert page.run("state.ball === null && views[0].ball === null")


def test_keys_drop_it_at_the_marked_point_and_the_method_is_chosen(page):
    page.run("document.getElementById('flat-0').focus()")
    for _ in range(2):
        moved(page, lambda: page.press("ArrowRight", code=39))
    counted(page, "rolled", lambda: page.press("Enter", code=13))
    start = way(page, 0)[0]
    assert start == pytest.approx([0.2, 0])
    n_steps = len(way(page, 0))
    change = "e.value = 'momentum'; e.dispatchEvent(new Event('change'))"
    counted(
        page,
        "rolled",
        lambda: page.run(f"((e) => {{ {change} }})(document.getElementById('method'))"),
    )
    assert way(page, 0)[0] == pytest.approx(start)
    assert len(way(page, 0)) != n_steps
    assert "with momentum 0.9" in words_of(page, "ball-0")
    moved(page, lambda: page.press("Escape", code=27))


def test_another_quantity_has_a_way_of_its_own_from_the_same_place(page):
    drop(page, -0.6, 0.5)
    choose(page, "quantity", "e.value = 'train_error'")
    places = way(page, 0)
    assert places[0] == pytest.approx([-0.6, 0.5])
    np.testing.assert_allclose(places[:, 1], 0.5, atol=1e-9)
    assert "left the plane" in words_of(page, "ball-0")
    assert " %)" in words_of(page, "ball-0")
    choose(page, "quantity", "e.value = 'train_loss'")
    assert np.abs(way(page, 0)[-1]).max() < 0.01


def test_another_scale_does_not_change_the_way(page):
    drop(page, -0.6, 0.5)
    before = way(page, 0)
    choose(page, "log", "e.checked = true")
    np.testing.assert_array_equal(way(page, 0), before)
    height = heights(page, "space-0", "surface").min()
    z = page.run("document.getElementById('space-0').data.find((t) => t.name === 'ball').z[0]")
    assert z == pytest.approx(height, abs=0.1)
    choose(page, "auto", "e.checked = true")


def test_a_link_has_the_ball_at_its_end(page):
    drop(page, -0.6, 0.5, method="momentum")
    told, fragment = words_of(page, "ball-1"), page.run("fragmentOf()")
    counted(page, "rolled", lambda: page.run("takeBall()"))
    redrawn(page, lambda: page.run(f"location.hash = '{fragment}'"))
    assert words_of(page, "ball-1") == told
    assert not page.run("document.getElementById('ball-1').hidden")


def test_it_rolls_step_by_step_and_ends_where_it_would_without_motion(page):
    """Frames come here with times of our own: 200 steps a second."""
    drop(page, 0.6, -0.7)
    told = words_of(page, "ball-0")
    still(page, reduced=False)
    page.run(
        "window.own = requestAnimationFrame; window.frames = [];"
        "window.requestAnimationFrame = (act) => frames.push(act);"
        "letDown({alpha: 0.6, beta: -0.7});"
        "[5000, 5100].forEach((time) => frames.splice(0).forEach((act) => act(time)));"
    )
    assert page.run("wayOf(views[0]).length") == 1 + 0.1 * 200
    page.run("window.requestAnimationFrame = own; frames.splice(0).forEach((act) => act(60000))")
    page.wait(f"shownSteps === Infinity && {IDLE}")
    shown = "document.getElementById('space-0').data.find((trace) => trace.name.startsWith('way'))"
    assert page.run(f"{shown}.x.length") == len(way(page, 0))
    assert words_of(page, "ball-0") == told
    page.wait(TURNED)
    assert complaints(page) == []


# The other page.


@pytest.mark.parametrize(
    ("start", "words"),
    [((0.7, -0.5), "left the plane"), ((0.7, 0.05), "stopped beside a point that is not finite")],
)
def test_a_ball_that_can_go_no_further(sloped, start, words):
    drop(sloped, *start)
    assert words in words_of(sloped, "ball-1")
    assert np.abs(way(sloped, 1)).max() <= 1


def test_a_ball_where_there_is_no_value(sloped):
    drop(sloped, AXIS[4], 0)
    assert words_of(sloped, "ball-1").startswith("The ball is not let down here")
    assert "came to rest" in words_of(sloped, "ball-0")
