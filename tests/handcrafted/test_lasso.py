"""The lasso against scikit-learn, its optimality conditions and a hand-worked limit of atoms."""

import numpy as np
import pytest
from sklearn.linear_model import LassoLars

from usod.handcrafted.lasso import lasso


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.mark.parametrize("sparsity", [0.001, 0.01, 0.1])
def test_lasso_equals_scikit_learn(rng, sparsity):
    # scikit-learn divides the squared error by the number of rows of its design, here the dimension.
    dictionary = rng.random((60, 8))
    dictionary /= np.linalg.norm(dictionary, axis=1, keepdims=True)
    signals = rng.random((25, 8))
    signals /= np.linalg.norm(signals, axis=1, keepdims=True)
    solver = LassoLars(alpha=sparsity / 8, fit_intercept=False, max_iter=1000)
    expected = np.stack([solver.fit(dictionary.T, signal).coef_ for signal in signals])
    np.testing.assert_allclose(lasso(signals, dictionary, sparsity, max_atoms=8), expected, atol=1e-6)


def test_lasso_meets_the_optimality_conditions_with_equal_and_opposite_atoms(rng):
    dictionary = rng.normal(size=(12, 5))
    dictionary = np.concatenate([dictionary, dictionary, -dictionary[:3], np.zeros((1, 5))])
    signals = rng.normal(size=(40, 5))
    codes = lasso(signals, dictionary, 0.05, max_atoms=5)
    correlation = (signals - codes @ dictionary) @ dictionary.T
    assert np.abs(correlation).max() <= 0.05 + 1e-9
    np.testing.assert_allclose(correlation[codes != 0], 0.05 * np.sign(codes[codes != 0]), atol=1e-9)


def test_lasso_stops_at_the_atom_limit():
    dictionary = np.eye(4)
    signal = np.array([[4.0, 3.0, 2.0, 1.0]])
    # The third atom may not join; the other two go on shrinking their residual to the wanted penalty.
    np.testing.assert_allclose(lasso(signal, dictionary, 0.5, max_atoms=2), [[3.5, 2.5, 0.0, 0.0]])
