"""Filtering on a permutohedral lattice on a CPU, and the mean field with two of them, in compiled loops without a lock.

The mean field goes through the pixels once per update: a block of them is sliced out of both lattices, becomes the new
state and is splatted again while it lies in the nearest cache. Large images are divided into parts that several threads
can take, each with sums of its own; which parts there are depends on the size alone, and so do the bits.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_BLOCK = 512
_PART = 1 << 14  # points that are worth a thread's while
_PARTS = 8
Floats = NDArray[np.float32]


class Arrays(NamedTuple):
    """The arrays of a `usod.crf.lattice.Lattice`, and as many zeros as it has corners.

    As a tuple their number is known to the compiler, which makes the loops over the corners twice as fast.
    """

    vertices: NDArray[Any]
    weights: Floats
    neighbours: NDArray[Any]
    corners: tuple[int, ...]

    @classmethod
    def of(cls, vertices: NDArray[Any], weights: Floats, neighbours: NDArray[Any]) -> "Arrays":
        # Unsigned, or every index would be tested for being negative.
        unsigned = (a if a.dtype == np.uint16 else a.view(np.uint32) for a in (vertices, neighbours))
        return cls(next(unsigned), weights, next(unsigned), (0,) * weights.shape[1])

    @classmethod
    def none(cls, n: int) -> "Arrays":
        """Those of a lattice that gives 0 for each of n points."""
        return cls.of(np.empty((n, 0), np.uint16), np.empty((n, 0), np.float32), np.empty((0, 2, 0), np.uint16))


def filtered(lattice: Arrays, values: Floats) -> Floats:
    """Values (N,) after splat, blur and slice."""
    sums = np.zeros((1, lattice.neighbours.shape[2] + 1), np.float32)
    out = np.zeros(len(values), np.float32)
    _splat(lattice.vertices, lattice.weights, lattice.corners, values, sums[0])
    _slice(lattice.vertices, lattice.weights, lattice.corners, _blurred(lattice.neighbours, sums), np.float32(1), out)
    return out


def normalised(lattice: Arrays) -> Floats:
    """The weights (N, d+1), each point's divided by the root of its row's sum, which is what ones are filtered to."""
    sums = filtered(lattice, np.ones(len(lattice.weights), np.float32))
    scaled = np.empty_like(lattice.weights)  # by NumPy, which asks for large pages
    _normalise(lattice.weights, lattice.corners, sums, scaled)
    return scaled


def parts(n: int) -> list[slice]:
    """What a thread takes at a time of an image of n points; one of all where they are few."""
    share = -(-n // min(_PARTS, max(1, n // _PART)))
    return [slice(start, min(start + share, n)) for start in range(0, n, share)]


def mean_field(unary: Floats, terms: Sequence[tuple[Arrays, float]], iterations: int, threads: int = 1) -> Floats:
    """s = tanh(unary + sum_m w_m K_m s) after some iterations from s = tanh(unary); see `usod.crf.torch_backend`.

    Parameters
    ----------
    unary : (N,) float32, half the log-odds
    terms : K_m and w_m, two at most
    threads : which share the points of a large image

    Returns
    -------
    (N,) float32 in [-1, 1]
    """
    none = Arrays.none(len(unary)), 0.0
    lattices, factors = zip(*[*terms, none, none][:2], strict=True)
    shares = parts(len(unary))
    state = np.empty_like(unary)
    sums = [np.zeros((len(shares), lattice.neighbours.shape[2] + 1), np.float32) for lattice in lattices]
    blurred = [each[0] for each in sums]  # nothing is sliced from them before there is something

    def update(step: int, number: int) -> None:
        part = shares[number]
        first, second = (
            (a.vertices[part], a.weights[part], a.corners, np.float32(factor), smooth, own[number])
            for a, factor, smooth, own in zip(lattices, factors, blurred, sums, strict=True)
        )
        _update(unary[part], state[part], step > 0, step < iterations, first, second)

    def blur(m: int) -> None:
        blurred[m] = _blurred(lattices[m].neighbours, sums[m])

    with ThreadPoolExecutor(threads) as pool:
        run = pool.map if threads > 1 and len(shares) > 1 else map
        for step in range(iterations + 1):
            list(run(update, [step] * len(shares), range(len(shares))))
            if step < iterations:
                list(run(blur, range(len(lattices))))
    return state


@njit(cache=True, nogil=True, fastmath={"contract"})
def _update(unary, state, sliced, splatted, first, second):  # type: ignore[no-untyped-def]
    """The new state of some points, with the lattices' values where it is `sliced`, and added to their sums."""
    vertices1, weights1, corners1, factor1, blurred1, sums1 = first
    vertices2, weights2, corners2, factor2, blurred2, sums2 = second
    for start in range(0, len(unary), _BLOCK):
        block = slice(start, start + _BLOCK)
        values, alone = state[block], unary[block]
        for i in range(len(values)):
            values[i] = alone[i]
        if sliced:
            _slice(vertices1[block], weights1[block], corners1, blurred1, factor1, values)
            _slice(vertices2[block], weights2[block], corners2, blurred2, factor2, values)
        _tanh(values)
        if splatted:
            _splat(vertices1[block], weights1[block], corners1, values, sums1)
            _splat(vertices2[block], weights2[block], corners2, values, sums2)


@njit(cache=True, nogil=True, fastmath={"contract"})
def _splat(vertices, weights, corners, values, sums):  # type: ignore[no-untyped-def]
    for i in range(len(values)):
        value = values[i]
        for k in range(len(corners)):
            sums[vertices[i, k]] += weights[i, k] * value


@njit(cache=True, nogil=True, fastmath={"contract"})
def _slice(vertices, weights, corners, blurred, factor, values):  # type: ignore[no-untyped-def]
    """Add what lies at the points, times a factor, to their values."""
    for i in range(len(values)):
        total = np.float32(0.0)
        for k in range(len(corners)):
            total += weights[i, k] * blurred[vertices[i, k]]
        values[i] += factor * total


@njit(cache=True, nogil=True, error_model="numpy")
def _normalise(weights, corners, sums, scaled):  # type: ignore[no-untyped-def]
    for i in range(len(weights)):
        scale = np.float32(1.0) / np.sqrt(sums[i] + np.float32(1e-20))
        for k in range(len(corners)):
            scaled[i, k] = weights[i, k] * scale


@njit(cache=True, nogil=True, fastmath={"contract"})
def _blurred(neighbours, sums):  # type: ignore[no-untyped-def]
    """The blurred total of the parts' sums (parts, M+1), which are zero afterwards."""
    vertices = neighbours.shape[2]
    values = np.zeros(vertices + 1, np.float32)  # the last one is the absent neighbour, and stays zero
    for part in sums:
        for i in range(vertices):
            values[i] += part[i]
    sums[:] = 0
    blurred = np.zeros_like(values)
    for j in range(len(neighbours)):
        before, after = neighbours[j, 0], neighbours[j, 1]
        for i in range(vertices):
            around = values[before[i]] + values[after[i]]
            blurred[i] = values[i] + np.float32(0.5) * around
        values, blurred = blurred, values
    return values


# Of x, x^3, ... and of 1, x^2, ...; float32, as all of the loop is to be.
_ABOVE = tuple(
    map(
        np.float32,
        (
            4.89352455891786e-03,
            6.37261928875436e-04,
            1.48572235717979e-05,
            5.12229709037114e-08,
            -8.60467152213735e-11,
            2.00018790482477e-13,
            -2.76076847742355e-16,
        ),
    )
)
_BELOW = tuple(
    map(np.float32, (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06))
)
_ONE = np.float32(7.90531110763549805)  # where their ratio is 1


# With NumPy's errors, as a look at the divisor would keep points from being done side by side.
@njit(cache=True, nogil=True, error_model="numpy", fastmath={"contract"})
def _tanh(values):  # type: ignore[no-untyped-def]
    """The ratio of polynomials of degrees 13 and 6 of Eigen (`ptanh_float`), off by 4e-7 at most."""
    for i in range(len(values)):
        x = _ONE if values[i] > _ONE else (-_ONE if values[i] < -_ONE else values[i])
        square, above, below = x * x, np.float32(0.0), np.float32(0.0)
        for k in range(len(_ABOVE) - 1, -1, -1):
            above = above * square + _ABOVE[k]
        for k in range(len(_BELOW) - 1, -1, -1):
            below = below * square + _BELOW[k]
        values[i] = x * above / below
