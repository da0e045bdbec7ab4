"""Fusion rules without parameters: members' probabilities in, confidences out.

Each rule takes p [members, rows, labels], p_k(i) being member k's probability of emotion i, and
returns a confidence [rows, labels]; it need not sum to one. `paper` is the published rule

    weight_k(i) = p_k(i) / sum_i p_k(i)        confidence(i) = sum_k weight_k(i) * p_k(i)

which for normalised members is the sum of squares. A quotient 0/0 counts as 0.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ser_ray.errors import UnknownName

Rule = Callable[[np.ndarray], np.ndarray]
STACKING = "stacking"  # the rule that learns; see stacking.py


def paper(p: np.ndarray) -> np.ndarray:
    """Each member weighted by its own confidence, denominator over the emotions (the paper's)."""
    return np.asarray((_quotient(p, p.sum(axis=2, keepdims=True)) * p).sum(axis=0))


def classifier_sum(p: np.ndarray) -> np.ndarray:
    """Like `paper`, denominator over the members: emotions that only one member sees count fully."""
    return np.asarray((_quotient(p, p.sum(axis=0, keepdims=True)) * p).sum(axis=0))


def self_confidence(p: np.ndarray) -> np.ndarray:
    """Each member weighted by its largest probability, weights of a row summing to one."""
    largest = p.max(axis=2, keepdims=True)
    return np.asarray((_quotient(largest, largest.sum(axis=0, keepdims=True)) * p).sum(axis=0))


def soft(p: np.ndarray) -> np.ndarray:
    """The mean of the members."""
    return np.asarray(p.mean(axis=0))


def maximum(p: np.ndarray) -> np.ndarray:
    """The surest member for each emotion."""
    return np.asarray(p.max(axis=0))


RULES: dict[str, Rule] = {
    "paper": paper,
    "classifier_sum": classifier_sum,
    "self_confidence": self_confidence,
    "soft": soft,
    "max": maximum,
}


def check_rule(name: str) -> str:
    """`name`, if it is a rule.

    Raises:
        UnknownName: it is not; the message has the nearest names.
    """
    if name not in (*RULES, STACKING):
        raise UnknownName("rule", name, [*RULES, STACKING])
    return name


def normalise(confidence: np.ndarray) -> np.ndarray:
    """Rows divided by their sum [rows, labels]; a row of zeros becomes uniform."""
    total = confidence.sum(axis=1, keepdims=True)
    return np.asarray(np.where(total > 0, _quotient(confidence, total), 1.0 / confidence.shape[1]))


def _quotient(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape)), where=b > 0))
