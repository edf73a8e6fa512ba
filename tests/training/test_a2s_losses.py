import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from usod.training.a2s_losses import adb_loss, detection_loss, iou_loss, ssim_loss


def test_adb_by_hand():
    """Eq. 4 for sigmoids of 0.5, 0.9, 0.2: distances 0, 0.4, 0.3."""
    theta = torch.logit(torch.tensor([[[0.5, 0.9, 0.2]]]))
    expected = -((0.16 + 0.09) + 0.1 * (0.4 + 0.3)) / 3
    torch.testing.assert_close(adb_loss(theta, 0.1), torch.tensor([expected]))
    kept = torch.tensor([[[True, True, False]]])
    torch.testing.assert_close(adb_loss(theta, 0.1, kept), torch.tensor([-(0.16 + 0.04) / 2]))
    assert adb_loss(theta, 0.1, torch.zeros_like(kept)).tolist() == [0]


def test_adb_moves_pixels_off_the_boundary_the_hard_ones_only_with_alpha():
    theta = torch.tensor([[[0.001, -0.001, 1.0]]], requires_grad=True)
    for alpha, reach in ((0.0, 1e-3), (0.1, 2e-3)):
        (gradient,) = torch.autograd.grad(adb_loss(theta, alpha).sum(), theta)
        assert gradient[0, 0, 0] < 0 < gradient[0, 0, 1]
        assert (gradient[0, 0, 0].abs() > reach) == (alpha > 0)


def test_ssim_is_that_of_scikit_image():
    rng = np.random.default_rng(0)
    maps = np.zeros((2, 60, 70), np.float32)
    maps[:, 12:-12, 12:-12] = rng.random((2, 36, 46))  # plain borders: how a border is continued does not matter
    _, expected = structural_similarity(
        *maps, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    found = ssim_loss(*torch.from_numpy(maps)[:, None])
    assert found.item() == pytest.approx(1 - expected.mean(), abs=1e-5)


def test_iou_by_hand():
    p = torch.tensor([[[0.8, 0.4, 0.0]], [[0.0, 0.0, 0.0]]])
    t = torch.tensor([[[1.0, 0.0, 1.0]], [[0.0, 0.0, 0.0]]])
    # Intersection 0.8; union 1 + 0.4 + 1.
    torch.testing.assert_close(iou_loss(p, t), torch.tensor([1 - 0.8 / 2.4, 0.0]), atol=1e-5, rtol=0)


def test_the_detectors_loss_is_the_sum_of_three_and_zero_for_a_perfect_map():
    t = torch.zeros(1, 30, 30)
    t[:, 8:20, 5:15] = 1
    assert detection_loss(40 * t - 20, t).item() == pytest.approx(0, abs=1e-4)
    p = torch.rand(1, 30, 30)
    cross_entropy = -(t * p.log() + (1 - t) * (1 - p).log()).mean()
    torch.testing.assert_close(detection_loss(p.logit(), t), cross_entropy + ssim_loss(p, t) + iou_loss(p, t))
