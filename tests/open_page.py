"""Act on a page of report that a Chromium has open, and read from it."""

import json

import numpy as np

# Messages of Chromium, without a GPU, about any page with pictures in space.
NO_COMPLAINT = (
    "Canvas2D: Multiple readback",
    "GPU stall due to ReadPixels",
    # One browser shows the pages of all tests, and counts pages it has left until it collects them.
    "Too many active WebGL contexts",
)


def complaints(browser):
    return [words for words in browser.complaints if not any(x in words for x in NO_COMPLAINT)]


def counted(browser, name, action):
    """Act, and wait until the page has counted it and has nothing left to do."""
    data = "document.documentElement.dataset"
    browser.wait(f"!Number({data}.busy)")
    before = browser.run(f"Number({data}.{name} ?? 0)")
    action()
    browser.wait(f"{data}.{name} > {before} && !Number({data}.busy)")


def redrawn(browser, action):
    counted(browser, "drawn", action)


def moved(browser, action):
    counted(browser, "moved", action)


def choose(browser, element, change, event="change"):
    """Change an element as its user does, and wait for the pictures."""
    code = (
        f"(() => {{ const e = document.getElementById('{element}'); {change};"
        f"e.dispatchEvent(new Event('{event}', {{bubbles: true}})); }})()"
    )
    redrawn(browser, lambda: browser.run(code))


# Each surface has the camera of the page, and its last frame was drawn with it.
TURNED = """views.filter((view) => !view.isLine).every(({space: {_fullLayout: {scene}}}) =>
    ["x", "y", "z"].every((axis, k) => scene.camera.eye[axis] === state.camera.eye[axis]
        && Math.abs(scene._scene.glplot.camera.eye[k] - state.camera.eye[axis]) < 1e-6))"""


def turned(browser, *buttons):
    """Press buttons, one at once after the other, and wait until the surfaces are drawn so."""
    browser.run(f"for (const id of {[*buttons]}) document.getElementById(id).click()")
    browser.wait(TURNED)


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
