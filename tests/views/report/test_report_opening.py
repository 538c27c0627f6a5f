"""Oracle: what a page asks of the browser's own WebGL, and the installed file of plotly.js.

A page is slow to open without a GPU by programs of graphics, and by 5 MB of script read twice.
"""

import base64
import gzip
import re

import numpy as np
import plotly
import pytest
from open_page import moved
from surface_files import plane, write_surface

from landscape_mpi import report

AXIS = np.linspace(-1, 1, 21)
COUNT = """window.programs = 0;
for (const { prototype } of [WebGLRenderingContext, WebGL2RenderingContext]) {
  const link = prototype.linkProgram;
  prototype.linkProgram = function (program) { window.programs += 1; link.call(this, program); };
}"""
OF_SURFACE = 30  # links of a surface and its axes; dots and lines in space take as many again


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("opening")
    values = {"train_loss": plane(AXIS, AXIS, lambda a, b: 1 + a * a + b * b)}
    path = write_surface(folder / "surface.h5", AXIS, AXIS, values)
    report.main([str(path)])
    return folder / "surface.html"


def test_a_page_opens_without_the_programs_of_points_that_nobody_has_marked(browser, written):
    hook = browser.call("Page.addScriptToEvaluateOnNewDocument", source=COUNT)["identifier"]
    browser.open(written, width=700, height=640)
    browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=hook)
    opened = browser.run("programs")
    assert 0 < opened <= OF_SURFACE
    pin = "document.getElementById('space-0')._fullLayout.scene._scene.traces"
    before = browser.run(f"Object.keys({pin}).length")
    moved(browser, lambda: browser.run("setSpot({alpha: 0.5, beta: -0.5}, true)"))
    assert browser.run("programs") > opened
    assert browser.run(f"Object.keys({pin}).length") == before + 1
    moved(browser, lambda: browser.run("setSpot(null, true)"))
    again = browser.run("programs")
    moved(browser, lambda: browser.run("setSpot({alpha: 0, beta: 0}, true)"))
    assert browser.run("programs") == again  # the pin stays, and is not built a second time


def test_the_function_of_the_library_is_in_parentheses_and_nothing_else_is_changed(written):
    packed = re.search(r'id="library">([^<]*)<', written.read_text())[1]
    library = gzip.decompress(base64.b64decode(packed)).decode()
    opening, closing = ": this, (() => {\n", "\n})));"
    assert library.count(opening) == 1
    assert library.endswith(closing)
    installed = (plotly.__path__[0], "package_data", "plotly.min.js")
    with open("/".join(installed), encoding="utf-8") as file:
        original = file.read()
    plain = library.replace(opening, ": this, () => {\n").removesuffix(closing) + "\n}));"
    assert plain == original
