"""A training's CRF is that of its settings, within its part of the memory."""

import numpy as np
import torch

from usod.crf import CRFParams, refine
from usod.settings.sections import CrfConfig
from usod.training import crf

CPU = torch.device("cpu")


def test_it_is_the_one_of_the_settings_and_none_where_there_are_none(rng):
    images = rng.integers(0, 256, (1, 20, 24, 3), dtype=np.uint8)
    maps = rng.random((1, 20, 24), dtype=np.float32)
    weak = {"gaussian_sxy": 2, "gaussian_compat": 0.3, "bilateral_sxy": 9, "bilateral_compat": 0.6, "iterations": 2}
    refined = crf.crf_of(images, CrfConfig(**weak), CPU).refine(maps)
    np.testing.assert_allclose(refined[0], refine(images[0], maps[0], CRFParams(**weak)), atol=1e-5)
    assert crf.crf_of(images, None, CPU) is None


def test_lattices_are_kept_in_a_quarter_of_what_is_free(monkeypatch):
    monkeypatch.setattr(crf, "available_memory", lambda device: 8 * 10**9)
    monkeypatch.setattr(crf, "DenseCRF", lambda images, params, device, memory_gb: memory_gb)
    images = np.zeros((1, 8, 8, 3), np.uint8)
    assert [crf.crf_of(images, CrfConfig(), CPU, given) for given in (None, 0.5)] == [2, 0.5]
