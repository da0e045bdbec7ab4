"""Pages from templates: self-contained HTML that admits its own style and script, and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from importlib import resources
from string import Template

STYLES = ("page", "figures", "plot", "confusion", "curves", "scores")  # for pages that show such things
SCRIPTS = ("scores",)


def fill_template(template_name: str, /, **parts: str) -> str:
    """A page made from a template of this package.

    The template has `$page_style` at the head of its style, and those of other `STYLES` where it has such
    things, and `$scores_script` as its script; its content security policy names `$style_hash`, and
    `$script_hash` where it has a script.

    Args:
        template_name: its file name.
        parts: HTML for each of its other placeholders, escaped already.
    """
    folder = resources.files("ser_ray.reports")
    template = folder.joinpath(template_name).read_text(encoding="utf-8")
    for name in STYLES:
        style = folder.joinpath(f"{name}.css").read_text(encoding="utf-8")
        template = template.replace(f"${name}_style", style)
    for name in SCRIPTS:
        script = folder.joinpath(f"{name}.js").read_text(encoding="utf-8")
        template = template.replace(f"${name}_script", script)
    hashes = {
        f"{tag}_hash": _content_hash(content)
        for tag, content in re.findall(r"<(style|script)>(.*?)</\1>", template, re.DOTALL)
    }
    return Template(template).substitute(parts, **hashes)


def section(name: str, heading: str, body: str, lead: str = "") -> str:
    """A section of a page; `name` is its anchor, the rest HTML."""
    told = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section aria-labelledby="{name}"><h2 id="{name}">{heading}</h2>{told}{body}</section>'


def table(caption: str, heads: Iterable[str], rows: str, css_class: str = "numbers", foot: str = "") -> str:
    """A table with a column for each of `heads`, which scrolls by itself where it is too wide; all HTML."""
    columns = "".join(f'<th scope="col">{head}</th>' for head in heads)
    return (
        f'<div class="scroll" tabindex="0" role="group" aria-label="{caption}"><table class="{css_class}">'
        f"<caption>{caption}</caption><thead><tr>{columns}</tr></thead>"
        f"<tbody>{rows}</tbody>{foot and f'<tfoot>{foot}</tfoot>'}</table></div>"
    )


def fold(summary: str, body: str) -> str:
    """HTML behind a line that unfolds it."""
    return f'<details class="group"><summary><b>{summary}</b></summary>{body}</details>'


def _content_hash(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
