"""Building a permutohedral lattice on a CPU, in compiled loops that hold no lock; `usod.crf.lattice` says what it is.

The order of the operations is that of Krähenbühl's code, as there: points on an edge of two simplices fall on its side.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from usod.data.parallel import threaded_map

_BLOCK = 512  # points whose coordinates lie in the nearest cache together
Integers = NDArray[np.int64]


def simplices(
    features: NDArray[np.float32], threads: int = 1
) -> tuple[NDArray[np.int32], NDArray[np.int8], NDArray[np.float32], Integers, Integers]:
    """The simplex around each of N points with d features, (d, N) float32; found in some threads, each for its points.

    Returns
    -------
    origin : (d+1, at least N) int32: its remainder-0 vertex, divided by d + 1
    rank : (d+1, at least N) int8: the place of each coordinate when the remainders are sorted in descending order
    barycentric : (N, d+1) float32: the weight of the vertex of each remainder 0..d
    lowest, highest : (d,) int64: of the first d coordinates of all origins
    """
    d, n = features.shape
    deviation = float(np.float32(math.sqrt(2.0 / 3.0) * (d + 1)))
    scales = np.array([1.0 / math.sqrt(j * (j + 1.0)) * deviation for j in range(1, d + 1)], np.float32)
    room = n + -n % _BLOCK  # whole blocks; what fills up the last one is the last point, repeated
    origin, rank = np.empty((d + 1, room), np.int32), np.empty((d + 1, room), np.int8)
    barycentric = np.empty((room, d + 1), np.float32)
    each = -(-room // (_BLOCK * threads)) * _BLOCK
    starts = range(0, room, each)

    def find(start: int) -> None:
        _simplices(features, scales, origin, rank, barycentric, start, min(start + each, room))

    for _ in threaded_map(find, starts, min(threads, len(starts))):
        pass
    bounds = (bound(origin[:d], axis=1).astype(np.int64) for bound in (np.min, np.max))
    return origin, rank, barycentric[:n], *bounds


@njit(cache=True, nogil=True)
def _simplices(features, scales, origin, rank, barycentric, first, stop):  # type: ignore[no-untyped-def]
    """Fill the last three arrays for some points, block by block.

    A block's steps are loops over its points, which are done side by side.
    """
    corners, n = len(origin), features.shape[1]
    values = np.empty((corners - 1, _BLOCK), np.float32)
    elevated, remainder = np.empty((corners, _BLOCK), np.float32), np.empty((corners, _BLOCK), np.float32)
    whole, ascending = np.empty((corners, _BLOCK), np.float32), np.empty((corners, _BLOCK), np.float32)
    places = np.empty((corners, _BLOCK), np.int32)
    for start in range(first, stop, _BLOCK):
        for j in range(corners - 1):
            for i in range(_BLOCK):
                values[j, i] = features[j, min(start + i, n - 1)]
        _elevate(values, scales, elevated)
        _round(elevated, whole, remainder, places)
        for j in range(corners):
            for k in range(j + 1, corners):
                _compare(remainder[j], remainder[k], places[j], places[k])
        ascending[:] = 0
        for j in range(corners):
            _bring_back(elevated[j], whole[j], places[j], corners, ascending)
            rank[j, start : start + _BLOCK] = places[j]
            origin[j, start : start + _BLOCK] = whole[j]
        part = barycentric[start : start + _BLOCK]
        for i in range(_BLOCK):
            part[i, 0] = ascending[0, i] + (np.float32(1.0) - ascending[corners - 1, i])
            for m in range(1, corners):
                part[i, m] = ascending[m, i] - ascending[m - 1, i]


@njit(cache=True, nogil=True)
def _elevate(features, scales, elevated):  # type: ignore[no-untyped-def]
    """Embed points in the lattice's hyperplane."""
    total = np.zeros(_BLOCK, np.float32)
    for j in range(len(scales), 0, -1):
        values, out, scale, factor = features[j - 1], elevated[j], scales[j - 1], np.float32(j)
        for i in range(_BLOCK):
            scaled = values[i] * scale
            out[i] = total[i] - factor * scaled
            total[i] += scaled
    elevated[0] = total


@njit(cache=True, nogil=True)
def _round(elevated, whole, remainder, places):  # type: ignore[no-untyped-def]
    """Round to the nearest remainder-0 vertex; the ranks begin with how far rounding has left the hyperplane."""
    corners = len(elevated)
    inverse, size = np.float32(1.0 / corners), np.float32(corners)
    excess = np.zeros(_BLOCK, np.float32)
    for j in range(corners):
        values, near, rest = elevated[j], whole[j], remainder[j]
        for i in range(_BLOCK):
            near[i] = np.rint(values[i] * inverse)
            rest[i] = values[i] - near[i] * size
            excess[i] += near[i]
    for j in range(corners):
        out = places[j]
        for i in range(_BLOCK):
            out[i] = np.int32(excess[i])


@njit(cache=True, nogil=True)
def _compare(first, second, first_place, second_place):  # type: ignore[no-untyped-def]
    """Of two coordinates, the one of the smaller remainder is further down."""
    for i in range(_BLOCK):
        below = np.int32(first[i] < second[i])
        first_place[i] += below
        second_place[i] += np.int32(1) - below


@njit(cache=True, nogil=True)
def _bring_back(elevated, whole, places, corners, ascending):  # type: ignore[no-untyped-def]
    """A coordinate that rounding has put off the hyperplane comes back where this moves the point least.

    Its offset from the vertex goes to the place of its rank in `ascending`.
    """
    inverse, size, d = np.float32(1.0 / corners), np.float32(corners), np.int32(corners - 1)
    offset = np.empty(_BLOCK, np.float32)
    for i in range(_BLOCK):
        shift = np.int32(places[i] < 0) - np.int32(places[i] > d)
        places[i] += shift * np.int32(corners)
        whole[i] += np.float32(shift)
        offset[i] = (elevated[i] - whole[i] * size) * inverse
    for m in range(corners):
        out, place = ascending[m], d - np.int32(m)
        for i in range(_BLOCK):
            out[i] = offset[i] if places[i] == place else out[i]


def numbered(
    origin: NDArray[np.int32], rank: NDArray[np.int8], n: int, lowest: Integers, steps: Integers, cell: int
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Numbers of the simplices' corners, and the vertices' neighbours.

    Parameters
    ----------
    origin, rank : as `simplices` gives them, of n points
    lowest : (d,) what the digits of the keys count from
    steps, cell : (d+1,) weight of each coordinate's digit in a key, 0 for the last; and that of the remainder

    Returns
    -------
    vertices : (N, d+1) int32 in [0, M), numbered as they are met
    neighbours : (d+1, 2, M) int32, M where there is none
    """
    vertices, keys, table = _numbered(origin, rank, n, lowest, steps, cell)
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
def _numbered(origin, rank, n, lowest, steps, cell):  # type: ignore[no-untyped-def]
    corners = len(origin)
    d = corners - 1
    vertices = np.empty((n, corners), np.int32)
    keys = np.empty(1 << 12, np.int64)  # of the vertices, as far as they are numbered
    table = np.full(1 << 14, -1, np.int32)  # open addressing, at most a quarter full
    latest = np.full(corners, -1, np.int64)  # the keys of the point before: neighbours share most corners
    falling = np.empty(corners, np.int64)
    count = 0
    for i in range(n):
        key = np.int64(0)
        for j in range(corners):
            falling[d - rank[j, i]] = steps[j]
            if j < d:
                key += (origin[j, i] - lowest[j]) * steps[j]
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
                    table = np.full(8 * count, -1, np.int32)
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
