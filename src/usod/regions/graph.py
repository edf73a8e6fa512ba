"""Graphs over regions: the distances, weights, paths and normalisation that the detectors share.

Graphs hold a few hundred regions, so they are dense (n, n) arrays.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]
Links = NDArray[np.bool_]


def pairwise_distance(features: NDArray) -> Matrix:
    """Euclidean distances between the rows of (n, C) features: symmetric (n, n) float64 with a zero diagonal."""
    return cdist(features, features)


def gaussian_weight(distance: Matrix, sigma: float, cutoff: float = 3.0) -> Matrix:
    """exp(-d^2 / (2 sigma^2)), and exactly 0 beyond `cutoff` sigmas.

    For sigma = 0 it is the limit: 1 at distance 0, else 0.
    """
    if sigma == 0:
        return (distance == 0).astype(np.float64)
    weight = np.exp(-(distance**2) / (2.0 * sigma**2))
    weight[distance > cutoff * sigma] = 0.0
    return weight


def two_ring(touching: Links) -> Links:
    """Links of regions at most two steps apart: symmetric (n, n) bool in and out, diagonal False."""
    # float32 sends the product to BLAS; it counts paths exactly.
    steps = touching.astype(np.float32)
    reached = touching | (steps @ steps > 0)
    np.fill_diagonal(reached, False)
    return reached


def with_clique(links: Links, members: NDArray[np.int64]) -> Links:
    """A copy of `links` in which all `members` are linked to each other; diagonal False."""
    linked = links.copy()
    linked[np.ix_(members, members)] = True
    np.fill_diagonal(linked, False)
    return linked


def geodesic_distance(links: Links, edge_cost: Matrix) -> Matrix:
    """Cost of the cheapest path between every two nodes of an undirected graph.

    Parameters
    ----------
    links : symmetric (n, n) bool
    edge_cost : symmetric (n, n), >= 0; read only where `links` is True. A cost of 0 is a link, not a gap.

    Returns
    -------
    (n, n) float64, 0 on the diagonal, inf between nodes that no path joins
    """
    cost = np.where(links, edge_cost, np.inf).astype(np.float64)
    np.fill_diagonal(cost, 0.0)
    _floyd_warshall(cost)
    return cost


@njit(cache=True)
def _floyd_warshall(cost):  # type: ignore[no-untyped-def]
    """Shortest paths in place. Region graphs with a border clique are dense enough to beat n runs of Dijkstra."""
    n = cost.shape[0]
    for via in range(n):
        onward = cost[via]
        for start in range(n):
            first = cost[start, via]
            if first < np.inf:
                row = cost[start]
                for end in range(n):
                    row[end] = min(row[end], first + onward[end])


def min_max(values: NDArray) -> NDArray[np.float64]:
    """Stretch values linearly to 0..1; zeros if they are all equal (nothing stands out), or if there are none."""
    values = np.asarray(values, dtype=np.float64)
    if values.size == 0:
        return values
    low, high = values.min(), values.max()
    # Below this the spread is rounding noise of equal values, which must not be blown up to 0..1.
    if high - low <= 1e-9 * max(abs(low), abs(high), 1e-9):
        return np.zeros_like(values)
    return (values - low) / (high - low)


def otsu_threshold(values: NDArray) -> float:
    """Otsu's threshold (1979) of values in 0..1 on 256 levels; of several equally good levels, their mean.

    Level k puts the values that round to k / 255 or less in the lower class; the result is k / 255.
    """
    level = np.floor(np.asarray(values) * 255.0 + 0.5).astype(np.int64)
    share = np.bincount(level.ravel(), minlength=256) / level.size
    below = np.cumsum(share)
    moment = np.cumsum(share * np.arange(256))
    both = below * (1.0 - below)
    between = np.zeros(256)
    split = both > 1e-12
    between[split] = (moment[-1] * below[split] - moment[split]) ** 2 / both[split]
    if not split.any():
        return 0.0
    best = between.max()
    return float(np.flatnonzero(between >= best * (1 - 1e-12)).mean() / 255.0)


def paint(labels: NDArray[np.integer], values: NDArray) -> NDArray[np.float32]:
    """Map of a value per region: (H, W) labels 0..n-1 and (n,) values -> (H, W) float32."""
    return np.take(values.astype(np.float32), labels)
