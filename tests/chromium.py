"""A headless Chromium for tests of pages, over its DevTools protocol on two pipes.

Messages are JSON, each ended by a zero byte; https://chromedevtools.github.io/devtools-protocol.
"""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from limits import LIMIT_S
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root may not use the sandbox
    "--remote-debugging-pipe",
    "--use-angle=swiftshader",  # WebGL on the CPU
    "--enable-unsafe-swiftshader",
    "--disable-gpu-compositing",  # on a CPU, a fifth of its time
    "--disable-gpu-rasterization",
    "--js-flags=--no-opt,--single-threaded",  # a page lives too short for its code to be optimised
    "--webgl-antialiasing-mode=none",  # a fifth of the time of its pictures in space
    "--no-first-run",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--disable-dev-shm-usage",
)

LEFT = ("context was destroyed", "Cannot find", "navigated or closed")  # answers of a page left


def find_chromium() -> str | None:
    """Return the program, or None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Chromium:
    """One browser with one page."""

    def __init__(self, program: str, folder: Path) -> None:
        """Start it, with its profile in a folder."""
        read_end, self._to = os.pipe()
        self._from, write_end = os.pipe()
        # The protocol wants its pipes at 3 and 4.
        command = ["bash", "-c", f'exec "$@" 3<&{read_end} 4>&{write_end}', "bash", program]
        self._process = subprocess.Popen(
            [*command, *FLAGS, f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(read_end, write_end),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_end)
        os.close(write_end)
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._is_touched = False
        self.session: str | None = None
        self.complaints: list[str] = []  # warnings and errors of the page
        self.requests: list[str] = []  # addresses it asked for
        self._attach()

    def _attach(self) -> None:
        pages = self.call("Target.getTargets")["targetInfos"]
        target = next(page["targetId"] for page in pages if page["type"] == "page")
        answer = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = answer["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """Call a method of the protocol and return its result."""
        number = self._send(method, parameters)
        while True:
            answer = self._read()
            if answer.get("id") == number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self._note(answer)

    def _send(self, method: str, parameters: dict[str, Any]) -> int:
        """Send a call and return its number."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self.session is not None:
            message["sessionId"] = self.session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        return number

    def _read(self) -> dict[str, Any]:
        limit = time.monotonic() + LIMIT_S
        while b"\0" not in self._buffer:
            if not select.select([self._from], [], [], max(0.0, limit - time.monotonic()))[0]:
                raise TimeoutError(f"Chromium did not answer within {LIMIT_S:g} s")
            part = os.read(self._from, 1 << 20)
            if not part:
                raise RuntimeError("Chromium ended")
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def _note(self, event: dict[str, Any]) -> None:
        what, told = event.get("method"), event.get("params", {})
        if what == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(told["exceptionDetails"])[:2000])
        elif what == "Runtime.consoleAPICalled" and told["type"] in {"error", "warning", "assert"}:
            self.complaints.append(json.dumps(told["args"])[:2000])
        elif what == "Log.entryAdded" and told["entry"]["level"] in {"error", "warning"}:
            self.complaints.append(told["entry"]["text"])
        elif what == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"][:200])

    def open(
        self,
        page: Path,
        *,
        width: int = 1280,
        height: int = 900,
        dark: bool = False,
        fragment: str = "",
    ) -> None:
        """Open a page from the disk in a window of this size, in CSS pixels."""
        self.complaints, self.requests = [], []
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page.resolve().as_uri() + fragment)
        self.wait("document.documentElement?.dataset.state === 'ready'")

    def resize(self, width: int, height: int) -> None:
        """Give the window another size, in CSS pixels; one below 500 wide is a phone."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 500,
        )

    def run(self, code: str) -> Any:
        """Return the value of an expression in the page; a promise is waited for."""
        answer = self.call(
            "Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def wait(self, condition: str, *, timeout: float = LIMIT_S) -> None:
        """Wait until an expression is true."""
        limit = time.monotonic() + timeout
        while not self._is_true(condition):
            if time.monotonic() > limit:
                raise TimeoutError(f"{condition}: not within {timeout:g} s; {self.complaints}")
            time.sleep(0.02)

    def _is_true(self, condition: str) -> bool:
        try:
            return self.run(f"Boolean({condition})")
        except RuntimeError as problem:  # a page that is loaded again drops what it was asked
            if any(words in str(problem) for words in LEFT):
                return False
            raise

    def next_frame(self) -> None:
        """Wait until the page has drawn what it was given to draw."""
        self.run(
            "new Promise(requestAnimationFrame).then(() => new Promise(requestAnimationFrame))"
        )

    def box(self, selector: str) -> tuple[float, float, float, float]:
        """Return left, top, width and height of an element, scrolled into the window."""
        return tuple(
            self.run(
                f"(() => {{ const e = document.querySelector({selector!r});"
                "e.scrollIntoView({block: 'center'});"
                "const r = e.getBoundingClientRect();"
                "return [r.left, r.top, r.width, r.height]; })()"
            )
        )

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        """Send mouseMoved, mousePressed, mouseReleased or mouseWheel at a place of the window."""
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def wheel(self, x: float, y: float, pixels: float) -> None:
        """Turn the wheel at a place of the window; downward is positive."""
        self.mouse("mouseWheel", x, y, deltaX=0, deltaY=pixels)

    def touch(self, *places: tuple[float, float]) -> None:
        """Put fingers on places of the window, or move those that are down; none lifts them."""
        points = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(places)]
        kind = "touchEnd" if not points else "touchMove" if self._is_touched else "touchStart"
        self._is_touched = bool(points)
        self.call("Input.dispatchTouchEvent", type=kind, touchPoints=points)

    def press(self, key: str, *, code: int) -> None:
        """Press and release a key, named as in KeyboardEvent.key, with its virtual code."""
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                windowsVirtualKeyCode=code,
                text=key if len(key) == 1 and kind == "keyDown" else "",
            )

    def picture(self, selector: str | None = None, *, path: Path | None = None) -> np.ndarray:
        """Return what is to be seen of an element, or of the window, uint8 [rows, columns, 3]."""
        rows, columns = slice(None), slice(None)
        self.next_frame()
        if selection := selector and [round(side) for side in self.box(selector)]:
            left, top, width, height = selection
            rows, columns = slice(max(0, top), top + height), slice(max(0, left), left + width)
        # Of the window: for a part of the page Chromium changes its size, and the page lays itself
        # out again.
        data = base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])
        if path is not None:
            path.write_bytes(data)
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[rows, columns]

    def print(self) -> bytes:
        """Return the PDF that the page is printed as."""
        return base64.b64decode(self.call("Page.printToPDF")["data"])

    def close(self) -> None:
        """End the browser. It may end before it answers, and until then its pipe is emptied."""
        self.session = None
        self._send("Browser.close", {})
        limit = time.monotonic() + LIMIT_S
        while self._process.poll() is None:
            if time.monotonic() > limit:
                raise TimeoutError(f"Chromium did not end within {LIMIT_S:g} s")
            if select.select([self._from], [], [], 0.02)[0] and not os.read(self._from, 1 << 20):
                self._process.wait(timeout=LIMIT_S)
        os.close(self._to)
        os.close(self._from)
