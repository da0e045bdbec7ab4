"""A headless Chromium that a test can click, type and look into, by its DevTools protocol over a pipe."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--remote-debugging-pipe", "--hide-scrollbars",
)  # fmt: skip
LOADED = "new Promise((done) => document.readyState === 'complete' ? done() : addEventListener('load', done))"
MIDDLE = """(selector) => {
  const element = document.querySelector(selector);
  element.scrollIntoView({ block: "center" });
  const box = element.getBoundingClientRect();
  return [box.x + box.width / 2, box.y + box.height / 2];
}"""
DESKTOP, PHONE = 1280, 390  # widths, px


class Browser:
    """One tab.

    Attributes:
        complaints: what the console was told: script errors, refused loads.
    """

    def __init__(self, commands: int, answers: int) -> None:
        self._commands, self._answers, self._read_ahead = commands, answers, b""
        self._number, self._session = 0, None
        self.complaints: list[str] = []
        target = self._send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._send(f"{domain}.enable")

    def open(self, page: Path, width: int = DESKTOP, scheme: str = "light", address: str = "") -> None:
        """Show a page at a width in px, in a light or dark scheme, and wait until it is loaded."""
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1,
                   mobile=width < 600)  # fmt: skip
        self._send("Emulation.setEmulatedMedia",
                   features=[{"name": "prefers-color-scheme", "value": scheme}])  # fmt: skip
        self._send("Page.navigate", url="about:blank")
        self.complaints.clear()
        self._send("Page.navigate", url=page.as_uri() + address)
        self.value(LOADED)

    def value(self, script: str) -> Any:
        """What a script comes to in the page, promises awaited."""
        answer = self._send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def texts(self, selector: str) -> list[str]:
        """Texts of all elements of a selector, as they are in the page."""
        return self.value(f"[...document.querySelectorAll({json.dumps(selector)})].map((e) => e.textContent)")

    def text(self, selector: str) -> str:
        """The text of the one element of a selector."""
        (text,) = self.texts(selector)
        return text

    def click(self, selector: str) -> None:
        """Press the left button of the mouse in the middle of the first element of a selector."""
        x, y = self.value(f"({MIDDLE})({json.dumps(selector)})")
        for kind in ("mousePressed", "mouseReleased"):
            self._send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)
        self.settle()

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key on what has the focus."""
        about = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self._send("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self._send("Input.dispatchKeyEvent", type="keyUp", **about)
        self.settle()

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self._send("Input.insertText", text=text)
        self.settle()

    def choose(self, selector: str, label: str) -> None:
        """Choose the option of a list whose label begins so, as a person does by typing it."""
        self.value(f"document.querySelector({json.dumps(selector)}).focus()")
        for letter in label:
            self._send("Input.dispatchKeyEvent", type="keyDown", text=letter, key=letter)
            self._send("Input.dispatchKeyEvent", type="keyUp", key=letter)
        self.settle()

    def settle(self) -> None:
        """Wait until what was asked for is drawn."""
        self.value("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done())))")

    def picture(self, whole: bool = True) -> bytes:
        """The page as a PNG, all of it or what fits the window."""
        shot = self._send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(shot["data"])

    def _send(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = json.loads(self._read())
            if answer.get("id") == self._number:
                assert "error" not in answer, answer["error"]
                return dict(answer["result"])
            if answer.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.complaints.append(json.dumps(answer["params"]))

    def _read(self) -> bytes:
        while b"\0" not in self._read_ahead:
            part = os.read(self._answers, 1 << 20)
            assert part, "Chromium has gone"
            self._read_ahead += part
        message, _, rest = self._read_ahead.partition(b"\0")
        self._read_ahead = rest
        return message

    def close(self) -> None:
        """End it."""
        self._session = None
        self._send("Browser.close")


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile; the test is skipped where there is no Chromium."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium on this machine")
    pipes = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in (*os.pipe(), *os.pipe())]
    hears, commands, answers, speaks = pipes
    actions = [
        (os.POSIX_SPAWN_DUP2, hears, 3),  # where it speaks the protocol
        (os.POSIX_SPAWN_DUP2, speaks, 4),
        *((os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_WRONLY, 0) for n in (1, 2)),
    ]
    arguments = [program, *FLAGS, f"--user-data-dir={profile}"]
    process = os.posix_spawn(program, arguments, os.environ, file_actions=actions)
    os.close(hears)
    os.close(speaks)
    try:
        browser = Browser(commands, answers)
        yield browser
        browser.close()
    finally:
        os.close(commands)  # which ends it in any case
        os.close(answers)
        os.waitpid(process, 0)
