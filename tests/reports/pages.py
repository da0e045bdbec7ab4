"""What a page holds, and what a browser makes of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

HOSTILE = '<script>alert("x")</script>\x1b[31m\u202egnp.exe'
SAFE = '<script>alert("x")</script>\N{REPLACEMENT CHARACTER}[31m\N{REPLACEMENT CHARACTER}gnp.exe'
DATA = ("script", {"type": "application/json", "id": "data"})
READ = ("caption", "td", "th", "dt", "dd")


class Page(HTMLParser):
    """What a page holds.

    Attributes:
        raw: the page as it is written.
        elements: (tag, attributes).
        tables: caption -> rows of texts, the heads among them.
        facts: dt -> dd.
        text: all of it.
        data: of its script, None without any.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        self.raw = page
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.facts: dict[str, str] = {}
        self._texts: list[str] = []
        self._rows: list[list[str]] = []
        self._since, self._name = 0, ""
        self.data: Any = None
        self.feed(page)
        self.text = "".join(self._texts)

    @property
    def tags(self) -> set[str]:
        return {tag for tag, _ in self.elements}

    @property
    def attributes(self) -> set[str]:
        """Names of the attributes of all elements."""
        return {name for _, attributes in self.elements for name in attributes}

    @property
    def policy(self) -> str:
        """What the page admits of itself: its one Content-Security-Policy."""
        (policy,) = [meta["content"] or "" for meta in self.all("meta") if "http-equiv" in meta]
        return policy

    def all(self, tag: str, css_class: str = "") -> list[dict[str, str | None]]:
        return [
            attributes for name, attributes in self.elements
            if name == tag and (not css_class or css_class in (attributes.get("class") or "").split())
        ]  # fmt: skip

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag in READ:
            self._since = len(self._texts)
        if tag == "table":
            self._rows = []
        if tag == "tr":
            self._rows.append([])

    def handle_endtag(self, tag: str) -> None:
        if tag not in READ:
            return
        read = " ".join("".join(self._texts[self._since :]).split())
        if tag == "caption":
            self.tables[read] = self._rows
        if tag in ("td", "th"):
            self._rows[-1].append(read)
        if tag == "dt":
            self._name = read
        if tag == "dd":
            self.facts[self._name] = read

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1] == DATA and not self.data:
            self.data = json.loads(data)
        else:
            self._texts.append(data)


def in_chromium(page: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """Chromium's exit code, its log, and as standard output the page's elements after it was shown."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no chromium on this machine")
    usual = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-sync",
             f"--user-data-dir={page.parent / 'profile'}", "--enable-logging=stderr",
             "--dump-dom"]  # fmt: skip
    return subprocess.run(
        [chromium, *usual, *flags, page.as_uri()], capture_output=True, text=True, timeout=60
    )
