"""Building a permutohedral lattice on a CPU, in compiled loops that hold no lock; `usod.crf.lattice` says what it is.

The order of the operations is that of Krähenbühl's code, as there: points on an edge of two simplices fall on its side.
Points are taken in blocks whose coordinates lie in the nearest cache together; a block's steps are loops over its
points, which are done side by side.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from usod.data.parallel import threaded_map

_BLOCK = 512
_ROOM = 1 << 13  # vertices that a hash table has room for in the beginning
_SPARSE = 4  # its places for each of them, so that most keys are at the first place that is looked at
Integers = NDArray[np.int64]
Numbers = NDArray[np.uint16 | np.int32]


class Vertices(NamedTuple):
    """Vertices, numbered as they are met.

    Attributes
    ----------
    keys : (at least M,) int64
    places, numbers : a hash table with open addressing: the key at each place, -1 where there is none; its number
    many : M
    """

    keys: Integers
    places: Integers
    numbers: NDArray[np.int32]
    many: int


def quotient_bounds(features: NDArray[np.float32]) -> tuple[Integers, Integers]:
    """Lowest and highest, (d,), that the first d coordinates of remainder-0 vertices, divided by d + 1, can be.

    Parameters
    ----------
    features : (d, N) float32, of the points that the vertices are to be around
    """
    corners = len(features) + 1
    low, high = _elevated_bounds(features, _scales(len(features)))
    # That of the nearest vertex; bringing it back to the hyperplane moves it by 1.
    return np.rint(low.min(1) / corners).astype(np.int64) - 1, np.rint(high.max(1) / corners).astype(np.int64) + 1


def simplices(
    features: NDArray[np.float32], lowest: Integers, steps: Integers, cell: int, gain: float, threads: int = 1
) -> tuple[Numbers, NDArray[np.float32], Numbers]:
    """The simplices around N points with d features, found in some threads, each for its part of the points.

    Parameters
    ----------
    features : (d, N) float32
    lowest : (d,) what the digits of the vertices' keys count from
    steps, cell : (d+1,) weight of each coordinate's digit in a key, 0 for the last; and that of the remainder
    gain : what the weights are multiplied by

    Returns
    -------
    vertices : (N, d+1) in [0, M): each simplex's corners of remainder 0..d, numbered as they are met, whatever the
        number of threads; uint16 where M < 2^16, else int32
    weights : (N, d+1) float32: their barycentric coordinates, times the gain
    neighbours : (d+1, 2, M), of the vertices' type: before and after each along each direction; M where there is none
    """
    d, n = features.shape
    corners = (0,) * (d + 1)  # as a tuple its length is known to the compiler
    vertices, weights = np.empty((n, d + 1), np.int32), np.empty((n, d + 1), np.float32)
    share = -(-n // (_BLOCK * threads)) * _BLOCK
    parts = [slice(start, min(start + share, n)) for start in range(0, n, share)]

    def found(part: slice) -> Vertices:
        out = vertices[part], weights[part]
        return Vertices(*_found(features, part.start, _scales(d), lowest, steps, cell, np.float32(gain), *out, corners))

    known, *others = threaded_map(found, parts, min(threads, len(parts)))
    renumbered = []
    for other in others:
        *both, number = _joined(*known, other.keys[: other.many])
        known = Vertices(*both)
        renumbered.append(number)
    dtype: type[np.uint16 | np.int32] = np.uint16 if known.many < 2**16 else np.int32
    numbered: Numbers = vertices.astype(dtype)
    for part, number in zip(parts[1:], renumbered, strict=True):
        np.take(number.astype(dtype), vertices[part], out=numbered[part], mode="clip")
    neighbours: Numbers = _neighbours(*known, steps, cell).astype(dtype)
    return numbered, weights, neighbours


def _scales(d: int) -> NDArray[np.float32]:
    """What each of d features is multiplied by when it is embedded."""
    deviation = float(np.float32(math.sqrt(2.0 / 3.0) * (d + 1)))
    return np.array([1.0 / math.sqrt(j * (j + 1.0)) * deviation for j in range(1, d + 1)], np.float32)


@njit(cache=True, nogil=True)
def _elevated_bounds(features, scales):  # type: ignore[no-untyped-def]
    """Lowest and highest of the first d coordinates, (d, _BLOCK), at each place of a block."""
    d, n = features.shape
    elevated, total = np.zeros((d + 1, _BLOCK), np.float32), np.empty(_BLOCK, np.float32)
    low, high = np.zeros((d, _BLOCK), np.float32), np.zeros((d, _BLOCK), np.float32)
    for start in range(0, n, _BLOCK):
        _elevate(features, start, scales, elevated, total)
        for j in range(d):
            values, least, most = elevated[j], low[j], high[j]
            for i in range(_BLOCK):
                least[i] = values[i] if values[i] < least[i] else least[i]
                most[i] = values[i] if values[i] > most[i] else most[i]
    return low, high


@njit(cache=True, nogil=True)
def _found(features, first, scales, lowest, steps, cell, gain, vertices, weights, corners):  # type: ignore[no-untyped-def]
    """The `Vertices` around some points, from the first on; their corners and weights go to the arrays."""
    size = len(corners)
    work = np.zeros((5, size, _BLOCK), np.float32)
    elevated, whole, remainder, rank, offset = work[0], work[1], work[2], work[3], work[4]
    total, block = np.empty(_BLOCK, np.float32), np.empty((size, _BLOCK), np.int64)
    count = 0
    keys, places, numbers = _with_room(block[0], count, _ROOM)
    for start in range(0, len(vertices), _BLOCK):
        _elevate(features, first + start, scales, elevated, total)
        _round(elevated, whole, remainder, rank, total)
        for j in range(size):
            for k in range(j + 1, size):
                _compare(remainder[j], remainder[k], rank[j], rank[k])
        _bring_back(elevated, whole, rank, offset)
        _keys(whole, rank, lowest, steps, cell, block)
        for j in range(size):
            for k in range(size - 1 - j):
                _in_order(offset[k], offset[k + 1])
        _weigh(offset, gain, remainder, weights[start : start + _BLOCK], corners)
        if count + block.size > len(keys):
            keys, places, numbers = _with_room(keys, count, 2 * len(keys))
        count = _number(block, keys, places, numbers, count, vertices[start : start + _BLOCK], corners)
    return keys, places, numbers, count


@njit(cache=True, nogil=True)
def _elevate(features, start, scales, elevated, total):  # type: ignore[no-untyped-def]
    """Embed points in the lattice's hyperplane. Beyond the last point a block has an earlier one's points, or zeros."""
    count = min(_BLOCK, features.shape[1] - start)
    total[:] = 0
    for j in range(len(scales), 0, -1):
        values, out, scale, factor = features[j - 1, start : start + count], elevated[j], scales[j - 1], np.float32(j)
        for i in range(count):
            scaled = values[i] * scale
            out[i] = total[i] - factor * scaled
            total[i] += scaled
    for i in range(count):
        elevated[0, i] = total[i]


@njit(cache=True, nogil=True)
def _round(elevated, whole, remainder, rank, excess):  # type: ignore[no-untyped-def]
    """Round to the nearest remainder-0 vertex; the ranks begin with how far rounding has left the hyperplane."""
    corners = len(elevated)
    inverse, size = np.float32(1.0 / corners), np.float32(corners)
    excess[:] = 0
    for j in range(corners):
        values, near, rest = elevated[j], whole[j], remainder[j]
        for i in range(_BLOCK):
            near[i] = np.rint(values[i] * inverse)
            rest[i] = values[i] - near[i] * size
            excess[i] += near[i]
    for j in range(corners):
        for i in range(_BLOCK):
            rank[j, i] = excess[i]


@njit(cache=True, nogil=True)
def _compare(first, second, first_rank, second_rank):  # type: ignore[no-untyped-def]
    """Of two coordinates, the one of the smaller remainder is further down."""
    for i in range(_BLOCK):
        below = np.float32(1.0) if first[i] < second[i] else np.float32(0.0)
        first_rank[i] += below
        second_rank[i] += np.float32(1.0) - below


@njit(cache=True, nogil=True)
def _bring_back(elevated, whole, rank, offset):  # type: ignore[no-untyped-def]
    """A coordinate that rounding has put off the hyperplane comes back where this moves the point least."""
    corners = len(elevated)
    inverse, size, d = np.float32(1.0 / corners), np.float32(corners), np.float32(corners - 1)
    for j in range(corners):
        values, near, place, out = elevated[j], whole[j], rank[j], offset[j]
        for i in range(_BLOCK):
            up, down = np.float32(place[i] < 0), np.float32(place[i] > d)
            place[i] += (up - down) * size
            near[i] += up - down
            out[i] = (values[i] - near[i] * size) * inverse


@njit(cache=True, nogil=True)
def _keys(whole, rank, lowest, steps, cell, keys):  # type: ignore[no-untyped-def]
    """The keys of the corners of remainder 0..d."""
    corners = len(whole)
    d = corners - 1
    origin = keys[0]
    origin[:] = 0
    for j in range(d):
        near, low, step = whole[j], lowest[j], steps[j]
        for i in range(_BLOCK):
            origin[i] += (np.int64(near[i]) - low) * step
    for m in range(1, corners):
        # From the vertex of remainder 0 to that of m all coordinates rise by m, and then those of the last m ranks fall
        # by d + 1: the digit m rises by m, and their quotients fall by 1.
        key = keys[m]
        for i in range(_BLOCK):
            key[i] = origin[i] + m * cell
        for j in range(d):
            place, step, last = rank[j], steps[j], np.float32(d - m)
            for i in range(_BLOCK):
                key[i] -= step if place[i] > last else 0


@njit(cache=True, nogil=True)
def _in_order(low, high):  # type: ignore[no-untyped-def]
    for i in range(_BLOCK):
        first, second = low[i], high[i]
        low[i] = second if second < first else first
        high[i] = first if second < first else second


@njit(cache=True, nogil=True)
def _weigh(ascending, gain, work, weights, corners):  # type: ignore[no-untyped-def]
    """Barycentric coordinates from the sorted offsets from the remainder-0 vertex."""
    lowest, highest, out = ascending[0], ascending[len(ascending) - 1], work[0]
    for i in range(_BLOCK):
        out[i] = gain * (lowest[i] + (np.float32(1.0) - highest[i]))
    for m in range(1, len(ascending)):
        above, below, out = ascending[m], ascending[m - 1], work[m]
        for i in range(_BLOCK):
            out[i] = gain * (above[i] - below[i])
    for i in range(len(weights)):
        for m in range(len(corners)):
            weights[i, m] = work[m, i]


@njit(cache=True, nogil=True)
def _place(places, key):  # type: ignore[no-untyped-def]
    """Where a key is in the hash table, or the empty place where it would be."""
    mask = np.uint64(len(places) - 1)
    place = (np.uint64(key) * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(20)) & mask
    while places[place] != key and places[place] >= 0:
        place = (place + np.uint64(1)) & mask
    return place


@njit(cache=True, nogil=True)
def _with_room(keys, count, room):  # type: ignore[no-untyped-def]
    """The first keys in an array with room for more, and their hash table."""
    known, places = np.empty(room, np.int64), np.full(_SPARSE * room, -1, np.int64)
    numbers = np.empty(len(places), np.int32)
    for number in range(count):
        place = _place(places, keys[number])
        known[number], places[place], numbers[place] = keys[number], keys[number], number
    return known, places, numbers


@njit(cache=True, nogil=True)
def _number(block, keys, places, numbers, count, vertices, corners):  # type: ignore[no-untyped-def]
    """Number the vertices whose keys are in a block, the new ones from `count` on; how many there are then."""
    for i in range(len(vertices)):
        for m in range(len(corners)):
            key = block[m, i]
            place = _place(places, key)
            if places[place] < 0:
                keys[count], places[place], numbers[place] = key, key, count
                count += 1
            vertices[i, m] = numbers[place]
    return count


@njit(cache=True, nogil=True)
def _joined(keys, places, numbers, count, others):  # type: ignore[no-untyped-def]
    """`Vertices` with those of other keys after them, and (others,) int32, the numbers that these have now."""
    room = len(keys)
    while room < count + len(others):
        room *= 2
    if room > len(keys):
        keys, places, numbers = _with_room(keys, count, room)
    now = np.empty((len(others), 1), np.int32)
    count = _number(others.reshape(1, -1), keys, places, numbers, count, now, (0,))
    return keys, places, numbers, count, now[:, 0]


@njit(cache=True, nogil=True)
def _neighbours(keys, places, numbers, count, steps, cell):  # type: ignore[no-untyped-def]
    """Along direction j coordinate j changes by d against 1 the other way in all others."""
    corners = len(steps)
    d, total = corners - 1, steps.sum()
    neighbours = np.full((corners, 2, count), count, np.int32)
    for i in range(count):
        # All coordinates up by 1: the next remainder, or from d to 0 with all quotients up by 1.
        up = keys[i] + cell if keys[i] // cell < d else keys[i] - d * cell + total
        for j in range(corners):
            place = _place(places, up - steps[j])
            if places[place] >= 0:
                other = numbers[place]
                neighbours[j, 1, i] = other
                neighbours[j, 0, other] = i
    return neighbours
