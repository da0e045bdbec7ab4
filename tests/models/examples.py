"""What several test modules take for examples: families that read vectors, and features to normalise."""

import numpy as np

from ser_ray.models.registry import CLASSICAL, FRAMEWISE

ON_VECTORS = [*CLASSICAL, *(f.name for f in FRAMEWISE.values() if len(f.features) == 1)]  # no networks
ALL = ["cmvn", "cmvn(scope=utterance)", "cmvn(scope=speaker)", "equalise", "equalise(scope=utterance)"]
FOR_VECTORS = [text for text in ALL if "utterance" not in text]
EXACT = {"atol": 1e-9, "rtol": 1e-9}  # everything is computed in double precision


def rows(n=40, columns=3, seed=0, shift=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(shift, scale, size=(n, columns))


def pieces(lengths, columns=3, seed=0, shift=0.0):
    """Frame sequences as the store gives them: an object array."""
    rng = np.random.default_rng(seed)
    result = np.empty(len(lengths), object)
    for i, n in enumerate(lengths):
        result[i] = rng.normal(shift, 2.0, size=(n, columns))
    return result


def standard(x, among=None):
    among = x if among is None else among
    return (x - among.mean(axis=0)) / among.std(axis=0)
