"""`svm`: one RBF support vector machine for each emotion against the rest, on standardised vectors.

Fitted by scikit-learn (libsvm), then kept as plain arrays: all machines share one matrix of support
vectors, so that scoring is one kernel matrix and one product, and the weights are safetensors.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save
from scipy.special import softmax
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from ser_ray.models.family import Family

_WEIGHTS = ("mean", "scale", "support", "dual", "intercept", "gamma", "classes")


class KernelMachines:
    """One-against-rest support vector machines with an RBF kernel.

    Args:
        C: cost of a margin violation, weighted so that both sides of each machine count alike.
        gamma: kernel width as a multiple of 1 / columns (the columns have variance 1).
    """

    def __init__(self, C: float, gamma: float) -> None:
        self.C, self.relative_gamma = C, gamma

    def fit(self, X: np.ndarray, y: np.ndarray) -> KernelMachines:
        """Learn from X [rows, columns] and integer classes y [rows]."""
        scaler = StandardScaler().fit(X)
        Z = scaler.transform(X)
        self.mean, self.scale = scaler.mean_.astype(np.float32), scaler.scale_.astype(np.float32)
        self.gamma = np.float64(self.relative_gamma / X.shape[1])
        self.classes_ = np.unique(y)
        dual = np.zeros((len(self.classes_), len(X)))
        self.intercept = np.zeros(len(self.classes_))
        for k, label in enumerate(self.classes_):
            machine = SVC(C=self.C, gamma=float(self.gamma), class_weight="balanced", cache_size=500)
            machine.fit(Z, y == label)
            dual[k, machine.support_] = machine.dual_coef_[0]
            self.intercept[k] = machine.intercept_[0]
        used = np.flatnonzero(np.any(dual != 0, axis=0))
        self.support, self.dual = Z[used].astype(np.float32), np.ascontiguousarray(dual[:, used])
        return self

    def decision_function(self, X: np.ndarray) -> np.ndarray:
        """Signed distance to each machine's margin [rows, classes]."""
        Z = (X - self.mean) / self.scale
        distance = (Z**2).sum(1)[:, None] - 2.0 * (Z @ self.support.T) + (self.support**2).sum(1)
        kernel = np.exp(-self.gamma * np.maximum(distance, 0.0))
        return np.asarray(kernel @ self.dual.T + self.intercept)

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        """Softmax of the decision values [rows, classes]; the calibration puts the scale right."""
        return np.asarray(softmax(self.decision_function(X), axis=1))


def _build(settings: Mapping[str, Any], seed: int) -> KernelMachines:
    return KernelMachines(settings["C"], settings["gamma"])


def _save(machines: KernelMachines, folder: Path) -> None:
    tensors = {"classes": machines.classes_} | {k: getattr(machines, k) for k in _WEIGHTS if k != "classes"}
    content = save({k: np.ascontiguousarray(v) for k, v in tensors.items()})
    (folder / "svm.safetensors").write_bytes(content)  # not save_file, whose errors are not OSError


def _load(folder: Path) -> KernelMachines:
    tensors = load_file(folder / "svm.safetensors")
    machines = KernelMachines(C=0.0, gamma=0.0)
    machines.classes_ = tensors["classes"]
    for name in _WEIGHTS[:-1]:
        setattr(machines, name, tensors[name])
    return machines


FAMILY = Family(
    name="svm",
    summary="support vector machines, RBF kernel, one against the rest",
    features=("mfcc_stats",),
    defaults={"C": 10.0, "gamma": 0.3},
    space={
        "C": {"type": "log", "low": 0.1, "high": 1000.0},
        "gamma": {"type": "log", "low": 0.01, "high": 10.0},
    },
    build=_build,
    save=_save,
    load=_load,
)
