"""The measures against PySODMetrics 1.6.2, and against values worked out by hand where it has none."""

import itertools

import numpy as np
import pytest

from usod.evaluation import measures as m

psm = pytest.importorskip("py_sod_metrics", reason="the oracle, pysodmetrics==1.6.2, is not installed")

SHAPES = [(300, 400), (37, 53), (64, 64), (5, 3), (2, 2), (1, 7), (1, 1)]
MASKS = ("ellipse", "scattered", "empty", "full", "one pixel")
PREDICTIONS = ("noise", "zero", "one", "half", "a quarter", "noisy mask", "8 bit", "mask", "inverse")


def make_mask(kind, shape, rng):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return {
        "ellipse": ((y - shape[0] * 0.4) / (shape[0] * 0.3)) ** 2 + ((x - shape[1] * 0.6) / (shape[1] * 0.2)) ** 2 < 1,
        "scattered": rng.random(shape) > 0.7,
        "empty": np.zeros(shape, bool),
        "full": np.ones(shape, bool),
        "one pixel": (y == 0) & (x == 0),
    }[kind]


def make_prediction(kind, mask, rng):
    return {
        "noise": rng.random(mask.shape),
        "zero": np.zeros(mask.shape),
        "one": np.ones(mask.shape),
        "half": np.full(mask.shape, 0.5),
        "a quarter": np.full(mask.shape, 0.25),
        "noisy mask": np.clip(mask + 0.4 * rng.standard_normal(mask.shape), 0, 1),
        "8 bit": rng.integers(0, 256, mask.shape) / 255,
        "mask": mask.astype(float),
        "inverse": 1 - mask.astype(float),
    }[kind]


def oracle(p, g):
    """PySODMetrics' numbers; its F class is deprecated, so F comes from FmeasureV2."""
    settings = {"with_dynamic": True, "with_adaptive": True}
    handlers = {
        "f": psm.FmeasureHandler(**settings, beta=0.3),
        "precision": psm.PrecisionHandler(**settings),
        "recall": psm.RecallHandler(**settings),
    }
    mae, s, e, weighted, f = psm.MAE(), psm.Smeasure(), psm.Emeasure(), psm.WeightedFmeasure(), psm.FmeasureV2(handlers)
    for metric in (mae, s, e, weighted, f):
        metric.step(p, g, normalize=False)
    return {
        "mae": mae.get_results()["mae"],
        "s": s.get_results()["sm"],
        "e": e.get_results()["em"],
        "weighted": weighted.get_results()["wfm"],
        **f.get_results(),
    }


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_all_measures_equal_pysodmetrics(shape, rng):
    with np.errstate(all="ignore"):
        for kind, other in itertools.product(MASKS, PREDICTIONS):
            g = make_mask(kind, shape, rng)
            p = make_prediction(other, g, rng)
            expected = oracle(p, g)
            hits, predicted = m.threshold_counts(p, g)
            precision, recall = m.precision_recall_curve(hits, predicted, g.sum())
            adaptive = m.adaptive_precision_recall(p, g)
            pairs = {
                "mae": (m.mae(p, g), expected["mae"]),
                "weighted F": (m.weighted_f_measure(p, g), expected["weighted"]),
                "E adaptive": (m.adaptive_e_measure(p, g), expected["e"]["adp"]),
                # The oracle lists its curves from threshold 255 down to 0.
                "E curve": (m.e_measure(hits, predicted, g.sum(), g.size)[::-1], expected["e"]["curve"]),
                "F curve": (m.f_measure(precision, recall)[::-1], expected["f"]["dynamic"]),
                "precision curve": (precision[::-1], expected["precision"]["dynamic"]),
                "recall curve": (recall[::-1], expected["recall"]["dynamic"]),
                "F adaptive": (m.f_measure(*adaptive), expected["f"]["adaptive"]),
                "precision adaptive": (adaptive[0], expected["precision"]["adaptive"]),
                "recall adaptive": (adaptive[1], expected["recall"]["adaptive"]),
            }
            # Where the centroid is on the last row or column the oracle divides 0 by 0.
            if not np.isnan(expected["s"]):
                pairs["S"] = (m.s_measure(p, g), expected["s"])
            for name, (ours, theirs) in pairs.items():
                np.testing.assert_allclose(ours, theirs, atol=1e-9, rtol=0, err_msg=f"{name}: {other} of {kind}")


def test_curve_counts_are_those_of_256_binarisations(rng):
    g = make_mask("ellipse", (23, 31), rng)
    levels = rng.integers(0, 256, g.shape)
    hits, predicted = m.threshold_counts((levels / 255).astype(np.float32), g)
    for k in range(256):
        assert predicted[k] == (levels >= k).sum()
        assert hits[k] == ((levels >= k) & g).sum()


def test_e_measure_of_a_count_is_the_sum_over_pixels(rng):
    """The definition of Fan et al. pixel by pixel: bias matrices, alignment, enhanced alignment."""
    g, p = rng.random((13, 17)) > 0.6, rng.random((13, 17)) > 0.4
    phi_g, phi_p = g - g.mean(), p - p.mean()
    alignment = 2 * phi_g * phi_p / (phi_g**2 + phi_p**2)
    expected = ((1 + alignment) ** 2 / 4).sum() / (g.size - 1)
    assert m.e_measure((p & g).sum(), p.sum(), g.sum(), g.size) == pytest.approx(expected, abs=1e-12)


def test_fixed_threshold_is_strict_and_as_deepusps_handles_empty_sides():
    g = np.array([[True, True, False, False]])
    assert m.fixed_precision_recall(np.array([[0.6, 0.5, 0.7, 0.1]]), g) == (1 / 2, 1 / 2)
    empty, nothing = np.zeros_like(g), np.zeros(g.shape)
    assert m.fixed_precision_recall(nothing, g) == (1.0, 0.0)
    assert m.fixed_precision_recall(nothing + 1, empty) == (0.0, 1.0)
    assert m.fixed_precision_recall(nothing, empty) == (1.0, 1.0)


def test_f_measure_by_hand():
    assert m.f_measure(0.5, 1.0) == pytest.approx(1.3 * 0.5 / 1.15)
    assert m.f_measure(0.0, 0.0) == 0
    np.testing.assert_allclose(m.f_measure([1, 0.2], [1, 0.2], beta2=4), [1, 0.2])


def test_s_measure_is_finite_with_the_centroid_in_the_last_corner():
    g = np.zeros((6, 8), bool)
    g[-1, -1] = True
    assert m.s_measure(g.astype(float), g) == pytest.approx(1, abs=1e-6)
    assert 0 < m.s_measure(np.full(g.shape, 0.5), g) < 1


def test_s_measure_of_a_constant_is_the_same_whether_or_not_its_value_is_a_binary_fraction(rng):
    """A quadrant without any deviation has similarity 1, however its sum is rounded."""
    g = make_mask("one pixel", (37, 53), rng)
    scores = [m.s_measure(np.full(g.shape, value), g) for value in (0.25, 0.3, 0.35)]
    assert min(scores) > 0.9 and scores[1] == pytest.approx((scores[0] + scores[2]) / 2, abs=0.005)
