import numpy as np
import torch

from usod.training.pixel_adaptive import refine


def by_hand(p, image, dilations, iterations):
    """Ru et al. (CVPR 2022), pixel by pixel; the deviations over the neighbours with n - 1, as in their code."""
    (height, width), around = p.shape, [-1, 0, 1]
    offsets = [(d * dy, d * dx) for d in dilations for dy in around for dx in around if (dy, dx) != (0, 0)]
    distances = np.array([np.hypot(*offset) for offset in offsets])
    nearness = np.exp(-((distances / distances.std(ddof=1) / 0.3) ** 2))
    nearness /= nearness.sum()
    for _ in range(iterations):
        found = np.empty_like(p)
        for y in range(height):
            for x in range(width):
                places = [(np.clip(y + v, 0, height - 1), np.clip(x + u, 0, width - 1)) for v, u in offsets]
                colours = np.array([image[:, v, u] for v, u in places])
                scaled = (colours - image[:, y, x]) / (colours.std(0, ddof=1) + 1e-8) / 0.3
                alike = np.exp(-(scaled**2).mean(1))
                weights = (alike / alike.sum() + 0.01 * nearness) / 1.01
                found[y, x] = sum(w * p[v, u] for w, (v, u) in zip(weights, places, strict=True))
        p = found
    return p


def test_refinement_is_that_of_a_loop_over_pixels():
    torch.manual_seed(0)
    p, image = torch.rand(2, 9, 12), torch.rand(2, 3, 9, 12)
    found = refine(p, image, (1, 2, 4), 3)
    for i in range(2):
        expected = by_hand(p[i].double().numpy(), image[i].double().numpy(), (1, 2, 4), 3)
        np.testing.assert_allclose(found[i].numpy(), expected, atol=1e-4)


def test_a_map_follows_the_image_and_stays_a_map():
    image = torch.zeros(1, 3, 24, 24)
    image[..., 12:] = 1.0
    image += 0.02 * torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    p = torch.zeros(1, 24, 24)
    p[..., 10:] = 1.0
    refined = refine(p, image)
    assert refined[..., 10:12].mean() < 0.5 < refined[..., 12:].mean()
    assert refined.min() >= 0 and refined.max() <= 1
    torch.testing.assert_close(refine(torch.full((1, 24, 24), 0.7), image), torch.full((1, 24, 24), 0.7))
    torch.testing.assert_close(refine(p, image * 3 - 1), refined, atol=1e-4, rtol=0)
