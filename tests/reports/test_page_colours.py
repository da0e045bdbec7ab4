"""Colours of pages: counts readable on every shade."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tests.reports.models import model, page_of


def luminance(colour: np.ndarray) -> float:
    """Relative luminance of sRGB in 0..1 (WCAG 2)."""
    linear = np.where(colour <= 0.04045, colour / 12.92, ((colour + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_counts_stay_readable_on_every_shade_and_shades_grow_with_the_share(
    scheme: int, tmp_path: Path
) -> None:
    style = page_of(model(), tmp_path)
    ink, below, muted = (
        np.array(list(bytes.fromhex(re.findall(rf"--{name}: #([0-9a-f]{{6}})", style)[scheme]))) / 255
        for name in ("ink", "page", "muted")
    )
    shade = np.array(re.findall(r"--shade: (\d+) (\d+) (\d+)", style)[scheme], float) / 255
    alphas = dict(re.findall(r"\.s(\d+) {[^}]*?rgb\(var\(--shade\) / (\.\d+)\)", style))
    strength = [float(alphas[str(step)]) for step in range(11)]
    assert strength == sorted(strength)
    for step, alpha in enumerate(strength):
        ground = luminance(alpha * shade + (1 - alpha) * below)
        light, dark = sorted((luminance(ink if step else muted), ground), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5
