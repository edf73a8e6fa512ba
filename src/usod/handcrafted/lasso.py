"""The lasso for many small signals over one dictionary, by the homotopy of LARS (Efron et al., 2004).

The minimiser is a piecewise linear function of the penalty. Followed from the penalty at which the code is empty down
to the one asked for, it is exact, and a limit on the atoms of a code has a meaning: it is what SPAMS calls L.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


def lasso(
    signals: NDArray[np.float64], dictionary: NDArray[np.float64], penalty: float, *, max_atoms: int
) -> NDArray[np.float64]:
    """Minimisers of 1/2 ||x - sum_k a_k D_k||^2 + penalty ||a||_1 for each signal x.

    Parameters
    ----------
    signals : (n, d)
    dictionary : (m, d), one atom per row. An atom that is a combination of those already in a code stays out of it.
    penalty : > 0. (scikit-learn's alpha is this divided by d.)
    max_atoms : a code with this many atoms takes no further one along its path

    Returns
    -------
    (n, m) float64 codes
    """
    codes = np.zeros((len(signals), len(dictionary)))
    _follow_paths(dictionary @ dictionary.T, signals @ dictionary.T, float(penalty), max_atoms, codes)
    return codes


@njit(cache=True)
def _follow_paths(gram, correlations, target, max_atoms, codes):
    for i in range(len(codes)):
        _follow_path(gram, correlations[i], target, max_atoms, codes[i])


@njit(cache=True)
def _follow_path(gram, correlation, target, max_atoms, code):
    """Fill `code`, zero at first; `correlation` is that of the atoms with the residual and is kept up to date.

    All active atoms have the same absolute correlation, the current penalty.
    """
    active = np.empty(max_atoms, np.int64)
    sign = np.empty(max_atoms)
    factor = np.zeros((max_atoms, max_atoms))
    barred = np.zeros(len(code), np.bool_)  # may not join: active, just dropped, or dependent on the active
    size = 0
    dropped = -1
    slope = np.empty(len(code))
    joining = 0
    for j in range(len(code)):
        if abs(correlation[j]) > abs(correlation[joining]):
            joining = j
    penalty = abs(correlation[joining])
    for _ in range(16 * max_atoms):  # far more events than paths have: a guard against cycling by rounding
        if penalty <= target:
            return
        if joining >= 0:
            active[size], sign[size] = joining, np.sign(correlation[joining])
            barred[joining] = True
            if _cholesky(gram, active, size + 1, factor):
                size += 1
        direction = _solve(factor, sign, size)
        for j in range(len(code)):
            slope[j] = 0.0
        for k in range(size):
            for j in range(len(code)):
                slope[j] += direction[k] * gram[active[k], j]

        step = penalty - target
        joining = -1
        if size < max_atoms:
            step, joining = _next_to_join(correlation, slope, penalty, barred, step)
        step, leaving = _next_to_leave(code, active[:size], direction, step)
        for k in range(size):
            code[active[k]] += step * direction[k]
        for j in range(len(code)):
            correlation[j] -= step * slope[j]
        penalty -= step
        if dropped >= 0:
            barred[dropped], dropped = False, -1
        if leaving >= 0:
            joining = -1
            dropped = active[leaving]  # its correlation equals the penalty: barred from joining for one event
            code[dropped] = 0.0
            size -= 1
            for k in range(leaving, size):
                active[k], sign[k] = active[k + 1], sign[k + 1]
            _cholesky(gram, active, size, factor)
            for j in range(len(code)):
                barred[j] = False
            for k in range(size):
                barred[active[k]] = True
            barred[dropped] = True
        elif joining < 0:
            return


@njit(cache=True)
def _next_to_join(correlation, slope, penalty, barred, step):
    """The first atom within `step` whose absolute correlation meets the falling penalty (-1: none), and when."""
    joining = -1
    for j in range(len(slope)):
        if barred[j]:
            continue
        for side in (1.0, -1.0):
            closing = 1.0 - side * slope[j]
            if closing > 1e-12:
                meeting = max(0.0, (penalty - side * correlation[j]) / closing)
                if meeting < step:
                    step, joining = meeting, j
    return step, joining


@njit(cache=True)
def _next_to_leave(code, active, direction, step):
    """The first position in `active` whose coefficient reaches zero within `step` (-1: none), and when."""
    leaving = -1
    for k in range(len(active)):
        if code[active[k]] * direction[k] < 0:
            vanishing = -code[active[k]] / direction[k]
            if vanishing < step:
                step, leaving = vanishing, k
    return step, leaving


@njit(cache=True)
def _cholesky(gram, active, size, factor):
    """Lower Cholesky factor of the active atoms' Gram matrix; False if they are linearly dependent."""
    for i in range(size):
        for j in range(i + 1):
            rest = gram[active[i], active[j]]
            for k in range(j):
                rest -= factor[i, k] * factor[j, k]
            if i > j:
                factor[i, j] = rest / factor[j, j]
            elif rest > 1e-10:
                factor[i, i] = np.sqrt(rest)
            else:
                return False
    return True


@njit(cache=True)
def _solve(factor, target, size):
    """Solution of (factor factor^T) x = target by forward and back substitution."""
    x = target[:size].copy()
    for i in range(size):
        for k in range(i):
            x[i] -= factor[i, k] * x[k]
        x[i] /= factor[i, i]
    for i in range(size - 1, -1, -1):
        for k in range(i + 1, size):
            x[i] -= factor[k, i] * x[k]
        x[i] /= factor[i, i]
    return x
