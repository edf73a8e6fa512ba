"""The losses of A2S-v2's and A2S-v3's first stage, against loops written out by hand."""

import numpy as np
import pytest
import torch
from scipy import ndimage

from usod.models.ram import resize
from usod.training.texture_matching import contour, distilling_loss, texture_loss, uncertain_band


def test_gamma_falls_from_2_to_1_and_easy_pixels_lose_their_lead():
    p = torch.tensor([[[0.5, 0.9, 0.2]]])
    for epoch, gamma in ((1, 2.0), (11, 2**0.5), (20, 2**0.05)):
        expected = 0.5**gamma - (0 + 0.4**gamma + 0.3**gamma) / 3
        assert distilling_loss(p, epoch, 20).item() == pytest.approx(expected, abs=1e-6)
    assert distilling_loss(torch.tensor([[[0.0, 1.0]]]), 7, 20).item() == pytest.approx(0, abs=1e-6)


def test_uncertain_pixels_have_no_loss_and_the_mean_is_over_all():
    p = torch.tensor([[[0.55, 0.9, 0.2, 0.5]]], requires_grad=True)
    loss = distilling_loss(p, 1, 20, uncertain=0.1)
    loss.sum().backward()
    assert loss.item() == pytest.approx(((0.25 - 0.16) + (0.25 - 0.09)) / 4)
    assert (p.grad[0, 0] != 0).tolist() == [False, True, True, False]
    assert [uncertain_band(epoch, 20, 0.2, 0.6) for epoch in (1, 5, 7, 20)] == pytest.approx([0.17, 0.05, 0, 0])


def test_the_contour_is_dilation_minus_erosion():
    p = torch.rand(1, 30, 30, generator=torch.Generator().manual_seed(0))
    p[0, 5:20, 8:22] = 0.9
    p[0, :, 24:] = 0.1
    square, salient = np.ones((5, 5)), p[0].numpy() > 0.5
    dilated = ndimage.binary_dilation(salient, square)
    eroded = ndimage.binary_erosion(salient, square, border_value=1)
    assert 0 < (dilated & ~eroded).sum() < 900
    assert np.array_equal(contour(p)[0].numpy(), dilated & ~eroded)


def by_hand(p, image, window, sharpness, near):
    """sum_j exp(-sharpness |I_j - I_i|^2) |p_j - p_i| over the window of every pixel, mean over the contour."""
    height, width, reach, sums = *p.shape, window // 2, []
    for y, x in zip(*np.nonzero(near), strict=True):
        total = 0.0
        for v in range(max(y - reach, 0), min(y + reach + 1, height)):
            for u in range(max(x - reach, 0), min(x + reach + 1, width)):
                colour = ((image[:, v, u] - image[:, y, x]) ** 2).sum()
                total += np.exp(-sharpness * colour) * abs(p[v, u] - p[y, x])
        sums.append(total)
    return np.mean(sums)


@pytest.mark.parametrize("size", [(40, 48), (43, 50)])
def test_textures_are_matched_in_every_window_of_the_contour(size):
    torch.manual_seed(0)
    p, image = torch.rand(2, *size) * 0.4, torch.rand(2, 3, *size) * 0.2
    p[:, 8:28, 12:34] += 0.5
    small = [side // 4 for side in size]
    maps, colours = resize(p[:, None], small)[:, 0], resize(image, small)
    near = contour(maps).numpy()
    assert near.any((1, 2)).all() and not near.all()
    expected = [by_hand(maps[i].double().numpy(), colours[i].double().numpy(), 11, 200, near[i]) for i in range(len(p))]
    assert texture_loss(p, image).tolist() == pytest.approx(expected, rel=1e-4)
    other = [by_hand(maps[i].double().numpy(), colours[i].double().numpy(), 5, 50, near[i]) for i in range(len(p))]
    assert texture_loss(p, image, window=5, sharpness=50).tolist() == pytest.approx(other, rel=1e-4)


def test_a_contour_on_an_edge_of_the_image_costs_less_than_one_beside_it():
    image = torch.zeros(1, 3, 64, 64)
    image[..., 32:] = 1.0
    on, beside = torch.full((2, 1, 64, 64), 0.1)
    on[..., 32:], beside[..., 40:] = 0.9, 0.9
    assert texture_loss(on, image).item() < 0.01 < texture_loss(beside, image).item()
    assert texture_loss(torch.full((1, 64, 64), 0.2), image).tolist() == [0]


def test_only_the_map_learns():
    p, image = torch.rand(1, 32, 32, requires_grad=True), torch.rand(1, 3, 32, 32, requires_grad=True)
    texture_loss(p, image).sum().backward()
    assert p.grad.abs().sum() > 0 and image.grad is None
