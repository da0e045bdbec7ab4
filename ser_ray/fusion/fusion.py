"""A fusion rule made ready: what it learned, and the calibration of what comes out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ser_ray.fusion.rules import RULES, STACKING, check_rule, normalise
from ser_ray.fusion.stacking import Stacker, cross_fitted, fit_stacking
from ser_ray.models.calibration import (
    FITS,
    TEMPERATURE,
    Calibration,
    Isotonic,
    choose_kind,
    cross_calibrated,
)

AUTO = "auto"  # the kind of calibration that does better on held-out speakers


@dataclass(frozen=True)
class Fusion:
    """Members' p [members, rows, labels] -> calibrated probabilities [rows, labels].

    Above 1 the temperature evens the members' probabilities out before the rule weighs them by how sure they
    are; below 1 it sharpens them.
    """

    rule: str
    calibration: Calibration | Isotonic
    stacker: Stacker | None = None
    temperature: float = 1.0

    def __call__(self, p: np.ndarray) -> np.ndarray:
        """Fused and calibrated probabilities [rows, labels]."""
        p = _tempered(p, self.temperature)
        return self.calibration(self.stacker(p) if self.stacker else normalise(RULES[self.rule](p)))


def fit_fusion(
    rule: str,
    p: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray | None,
    seed: int = 0,
    temperature: float = 1.0,
    calibration: str = TEMPERATURE,
) -> Fusion:
    """Fit what a rule has to learn, on out-of-fold probabilities.

    Args:
        rule: a name of `rules.RULES`, or `stacking`.
        p: [members, rows, labels].
        y: index of the true label [rows].
        groups: speaker of each row [rows], or None.
        seed: of the folds inside.
        temperature: of the members' probabilities.
        calibration: `temperature`, `isotonic`, or `auto`: as `choose_kind` says.
    """
    p = _tempered(p, temperature)
    fused = _fused(check_rule(rule), p, y, groups, seed)
    stacker = fit_stacking(p, y) if rule == STACKING else None
    kind = choose_kind(fused, y, groups, seed) if calibration == AUTO else calibration
    return Fusion(rule, FITS[kind](fused, y), stacker, temperature)


def out_of_fold(
    fusion: Fusion, p: np.ndarray, y: np.ndarray, groups: np.ndarray | None, seed: int = 0
) -> np.ndarray:
    """What a fusion is worth on the rows that it was fitted on [rows, labels]: folds of its own stand in.

    Args:
        fusion: fitted on these rows.
        p, y, groups, seed: see `fit_fusion`.
    """
    fused = _fused(fusion.rule, _tempered(p, fusion.temperature), y, groups, seed)
    return cross_calibrated(fused, y, groups, fusion.calibration.kind, seed)


def _fused(rule: str, p: np.ndarray, y: np.ndarray, groups: np.ndarray | None, seed: int) -> np.ndarray:
    """What the rule gives for rows that it did not learn from [rows, labels], not calibrated."""
    return cross_fitted(p, y, groups, seed) if rule == STACKING else normalise(RULES[rule](p))


def _tempered(p: np.ndarray, temperature: float) -> np.ndarray:
    if temperature == 1.0:
        return p
    return np.stack([Calibration(1 / temperature)(member) for member in p])
