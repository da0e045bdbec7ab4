"""Colours of pages: counts readable on every shade, emotions apart for colour-blind eyes."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

from tests.reports import models, nights
from tests.reports.nights import LABELS


def linear(colours: np.ndarray) -> np.ndarray:
    """sRGB in 0..1 without its gamma."""
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


def luminance(colour: np.ndarray) -> float:
    """Relative luminance of sRGB in 0..1 (WCAG 2)."""
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_counts_stay_readable_on_every_shade_and_shades_grow_with_the_share(
    scheme: int, tmp_path: Path
) -> None:
    style = models.page_of(models.model(), tmp_path)
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


# Simulation of colour-blind sight in linear RGB at full severity (Machado, Oliveira & Fernandes 2009).
SIGHT = {
    "full": np.eye(3),
    "protanopia": np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                            [-0.003882, -0.048116, 1.051998]]),
    "deuteranopia": np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                              [-0.011820, 0.042940, 0.968881]]),
    "tritanopia": np.array([[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602],
                            [0.004733, 0.691367, 0.303900]]),
}  # fmt: skip


def oklab(colours: np.ndarray, sight: np.ndarray) -> np.ndarray:
    """sRGB colours [n, 3] in 0..1, as seen with `sight`, in Oklab (Ottosson 2020)."""
    cones = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
                      [0.0883024619, 0.2817188376, 0.6299787005]])  # fmt: skip
    to_lab = np.array([[0.2104542553, 0.7936177850, -0.0040720468],
                       [1.9779984951, -2.4285922050, 0.4505937099],
                       [0.0259040371, 0.7827717662, -0.8086757660]])  # fmt: skip
    return np.cbrt(np.clip(linear(colours) @ sight.T, 0, 1) @ cones.T) @ to_lab.T


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_emotions_stay_apart_for_colour_blind_eyes(scores: str, scheme: int, sight: str) -> None:
    palette = re.findall(rf"--({'|'.join(LABELS)}): #([0-9a-f]{{6}})", nights.page_of(scores, top=1))
    colours = dict(palette[scheme * len(LABELS) : (scheme + 1) * len(LABELS)])
    assert colours.keys() == set(LABELS)
    rgb = np.array([list(bytes.fromhex(colour)) for colour in colours.values()]) / 255
    seen = oklab(rgb, SIGHT[sight])
    nearest = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    assert nearest > 0.08
