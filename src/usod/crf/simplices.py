"""Building a permutohedral lattice on a CPU, in compiled loops that hold no lock; `usod.crf.lattice` says what it is.

The order of the operations is that of Krähenbühl's code, as there: points on an edge of two simplices fall on its side.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

Integers = NDArray[np.int64]


def simplices(
    features: NDArray[np.float32],
) -> tuple[NDArray[np.int32], NDArray[np.int8], NDArray[np.float32], Integers, Integers]:
    """The simplex around each of N points with d features, (d, N) float32.

    Returns
    -------
    origin : (N, d+1) int32: its remainder-0 vertex, divided by d + 1
    rank : (N, d+1) int8: the place of each coordinate when the remainders are sorted in descending order
    barycentric : (N, d+1) float32: the weight of the vertex of each remainder 0..d
    lowest, highest : (d,) int64: of the first d coordinates of all origins
    """
    d, n = features.shape
    deviation = float(np.float32(math.sqrt(2.0 / 3.0) * (d + 1)))
    scales = np.array([1.0 / math.sqrt(j * (j + 1.0)) * deviation for j in range(1, d + 1)], np.float32)
    origin, rank = np.empty((n, d + 1), np.int32), np.empty((n, d + 1), np.int8)
    barycentric = np.empty((n, d + 1), np.float32)
    _simplices(features, scales, origin, rank, barycentric)
    return origin, rank, barycentric, *(bound(origin[:, :d], axis=0).astype(np.int64) for bound in (np.min, np.max))


@njit(cache=True, nogil=True)
def _simplices(features, scales, origin, rank, barycentric):  # type: ignore[no-untyped-def]
    d, n = features.shape
    one, inverse = np.float32(1.0), np.float32(1.0 / (d + 1))
    elevated, remainder = np.empty(d + 1, np.float32), np.empty(d + 1, np.float32)
    whole, ascending = np.empty(d + 1, np.float32), np.empty(d + 1, np.float32)
    for i in range(n):
        total = np.float32(0.0)
        for j in range(d, 0, -1):
            scaled = features[j - 1, i] * scales[j - 1]
            elevated[j] = total - np.float32(j) * scaled
            total += scaled
        elevated[0] = total
        excess = np.float32(0.0)
        for j in range(d + 1):
            whole[j] = np.rint(elevated[j] * inverse)
            remainder[j] = elevated[j] - whole[j] * np.float32(d + 1)
            excess += whole[j]
        places = rank[i]
        places[:] = np.int8(excess)
        for j in range(d + 1):
            for k in range(j + 1, d + 1):
                if remainder[j] < remainder[k]:
                    places[j] += 1
                else:
                    places[k] += 1
        for j in range(d + 1):
            # Coordinates that rounding has put off the hyperplane are brought back where this moves the point least.
            if places[j] < 0:
                places[j] += d + 1
                whole[j] += one
            elif places[j] > d:
                places[j] -= d + 1
                whole[j] -= one
            origin[i, j] = np.int32(whole[j])
            ascending[d - places[j]] = (elevated[j] - whole[j] * np.float32(d + 1)) * inverse
        barycentric[i, 0] = ascending[0] + (one - ascending[d])
        for j in range(1, d + 1):
            barycentric[i, j] = ascending[j] - ascending[j - 1]


def numbered(
    origin: NDArray[np.int32], rank: NDArray[np.int8], lowest: Integers, steps: Integers, cell: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Numbers of the simplices' corners, and the vertices' neighbours.

    Parameters
    ----------
    origin, rank : as `simplices` gives them
    lowest : (d,) what the digits of the keys count from
    steps, cell : (d+1,) weight of each coordinate's digit in a key, 0 for the last; and that of the remainder

    Returns
    -------
    vertices : (N, d+1) int32 in [0, M), numbered as they are met
    neighbours : (d+1, 2, M) int32, M where there is none
    """
    vertices, keys, table = _numbered(origin, rank, lowest, steps, cell)
    return vertices, _neighbours(keys, table, steps, cell)


@njit(cache=True, nogil=True)
def _place(table_keys, table, key):  # type: ignore[no-untyped-def]
    """Where a key is in the hash table, or the empty place where it would be."""
    mask = len(table) - 1
    mixed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
    place = np.int64(mixed >> np.uint64(20)) & mask
    while table[place] >= 0 and table_keys[table[place]] != key:
        place = (place + 1) & mask
    return place


@njit(cache=True, nogil=True)
def _numbered(origin, rank, lowest, steps, cell):  # type: ignore[no-untyped-def]
    n, corners = origin.shape
    d = corners - 1
    vertices = np.empty((n, corners), np.int32)
    keys = np.empty(1 << 15, np.int64)  # of the vertices, as far as they are numbered
    table = np.full(1 << 16, -1, np.int32)  # open addressing, at most half full
    latest = np.full(corners, -1, np.int64)  # the keys of the point before: neighbours share most corners
    falling = np.empty(corners, np.int64)
    count = 0
    for i in range(n):
        key = np.int64(0)
        for j in range(corners):
            falling[d - rank[i, j]] = steps[j]
            if j < d:
                key += (origin[i, j] - lowest[j]) * steps[j]
        for m in range(corners):
            # From the vertex of remainder m - 1 to that of m all coordinates rise by 1, and then the one of rank
            # d + 1 - m falls by d + 1: the digit m rises by 1, and one quotient falls by 1.
            if m > 0:
                key += cell - falling[m - 1]
            if key == latest[m]:
                vertices[i, m] = vertices[i - 1, m]
                continue
            latest[m] = key
            place = _place(keys, table, key)
            if table[place] < 0:
                keys[count] = key
                table[place] = count
                count += 1
                if count == len(keys):
                    keys = np.concatenate((keys, np.empty(count, np.int64)))
                    table = np.full(4 * count, -1, np.int32)
                    for k in range(count):
                        table[_place(keys, table, keys[k])] = k
                vertices[i, m] = count - 1
            else:
                vertices[i, m] = table[place]
    return vertices, keys[:count].copy(), table


@njit(cache=True, nogil=True)
def _neighbours(keys, table, steps, cell):  # type: ignore[no-untyped-def]
    """Along direction j coordinate j changes by d against 1 the other way in all others."""
    corners, count = len(steps), len(keys)
    d = corners - 1
    total = steps.sum()
    neighbours = np.full((corners, 2, count), count, np.int32)
    for i in range(count):
        # All coordinates up by 1: the next remainder, or from d to 0 with all quotients up by 1.
        up = keys[i] + cell if keys[i] // cell < d else keys[i] - d * cell + total
        for j in range(corners):
            other = table[_place(keys, table, up - steps[j])]
            if other >= 0:
                neighbours[j, 1, i] = other
                neighbours[j, 0, other] = i
    return neighbours
