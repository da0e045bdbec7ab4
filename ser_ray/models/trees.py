"""Decision trees in one compiled loop."""

from __future__ import annotations

import numpy as np

from ser_ray.features.compiled import compiled


@compiled
def sum_leaves(
    X: np.ndarray,
    roots: np.ndarray,
    columns: np.ndarray,
    thresholds: np.ndarray,
    branches: np.ndarray,
    values: np.ndarray,
) -> np.ndarray:
    """Sum over trees of the values of the leaves that rows end in.

    Args:
        X: rows, finite [rows, columns].
        roots: node of each tree's root [trees].
        columns: column that a node looks at; a leaf's is negative [nodes].
        thresholds: up to it, a row goes to the first branch [nodes].
        branches: nodes [nodes, 2].
        values: [nodes, classes].

    Returns:
        float64 [rows, classes].
    """
    result = np.zeros((len(X), values.shape[1]))
    for root in roots:
        for row in range(len(X)):
            node = root
            while columns[node] >= 0:
                node = branches[node, int(X[row, columns[node]] > thresholds[node])]
            for k in range(values.shape[1]):
                result[row, k] += values[node, k]
    return result
