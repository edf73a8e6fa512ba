"""WSS's pooling layers against their definitions and a solver."""

import itertools

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from usod.models.pooling import GlobalPooling, project_onto_simplex

torch.manual_seed(0)
SCORES = torch.randn(3, 4, 5, 6, dtype=torch.float64) * 3


def test_the_projection_is_the_nearest_point_of_the_simplex():
    for _ in range(5):
        x = np.random.default_rng(_).normal(0, 1, 7)
        nearest = minimize(
            lambda w, x=x: ((w - x) ** 2).sum(),
            np.full(7, 1 / 7),
            bounds=[(0, 1)] * 7,
            constraints={"type": "eq", "fun": lambda w: w.sum() - 1},
            tol=1e-12,
        ).x
        assert project_onto_simplex(torch.from_numpy(x)).numpy() == pytest.approx(nearest, abs=1e-5)


def test_the_projection_by_trying_every_support():
    """The exact minimum among all sets of positive entries, for four entries."""
    x = np.array([0.9, -0.2, 0.75, 0.1])
    best, least = None, np.inf
    for size in range(1, 5):
        for support in itertools.combinations(range(4), size):
            w = np.zeros(4)
            chosen = list(support)
            w[chosen] = x[chosen] - (x[chosen].sum() - 1) / size
            if (w >= 0).all() and ((w - x) ** 2).sum() < least:
                best, least = w, ((w - x) ** 2).sum()
    assert project_onto_simplex(torch.from_numpy(x)).numpy() == pytest.approx(best)


@pytest.mark.parametrize("kind", ["gsp", "gmp", "gap", "lse", "rank"])
def test_pooling_has_the_shape_and_stays_between_the_extremes(kind):
    pooled = GlobalPooling(kind)(SCORES)
    assert pooled.shape == (3, 4)
    assert (pooled <= SCORES.amax((2, 3)) + 1e-9).all() and (pooled >= SCORES.amin((2, 3)) - 1e-9).all()


def test_little_smoothing_is_the_maximum_and_much_is_the_mean():
    torch.testing.assert_close(GlobalPooling(mu=1e-6)(SCORES), SCORES.amax((2, 3)))
    torch.testing.assert_close(GlobalPooling(mu=1e9)(SCORES), SCORES.mean((2, 3)), rtol=0, atol=1e-4)
    middle = GlobalPooling(mu=5)(SCORES)
    assert (middle < SCORES.amax((2, 3))).all() and (middle > SCORES.mean((2, 3))).all()


def test_the_smoothness_is_the_papers():
    """Section 3.3: 10."""
    assert torch.equal(GlobalPooling()(SCORES), GlobalPooling("gsp", mu=10)(SCORES))


def test_log_sum_exp_and_rank_pooling_written_out():
    s = SCORES[0, 0].flatten().numpy()
    assert GlobalPooling("lse", sharpness=2)(SCORES)[0, 0].item() == pytest.approx(np.log(np.exp(2 * s).mean()) / 2)
    weights = 0.9 ** np.arange(30)
    expected = (np.sort(s)[::-1] * weights).sum() / weights.sum()
    assert GlobalPooling("rank", decay=0.9)(SCORES)[0, 0].item() == pytest.approx(expected)


def test_half_precision_sums_in_full():
    scores = SCORES.bfloat16()
    torch.testing.assert_close(GlobalPooling(mu=4)(scores), GlobalPooling(mu=4)(scores.float()))


@pytest.mark.parametrize("kind", ["gsp", "gmp", "gap", "lse", "rank"])
def test_gradients_are_those_of_the_pooled_value(kind):
    scores = SCORES[:1, :2].clone().requires_grad_()
    assert torch.autograd.gradcheck(GlobalPooling(kind, mu=4, constant_weights=False), (scores,))


def test_constant_weights_give_the_gradient_of_the_smoothed_maximum():
    """Eq. 2, max over w of w s - mu/2 |w|^2: its numerical gradient is the weight vector."""
    mu, scores = 4.0, SCORES[0, 0].flatten()

    def smoothed(s):
        w = project_onto_simplex(s / mu)
        return float(w @ s - mu / 2 * (w @ w))

    step = 1e-6 * torch.eye(len(scores), dtype=torch.float64)
    numerical = [(smoothed(scores + e) - smoothed(scores - e)) / 2e-6 for e in step]
    leaf = scores.view(1, 1, 5, 6).clone().requires_grad_()
    GlobalPooling(mu=mu, constant_weights=True)(leaf).sum().backward()
    assert leaf.grad.flatten().numpy() == pytest.approx(np.array(numerical), abs=1e-5)
