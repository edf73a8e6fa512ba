import random

import torch

from usod.training.scales import as_seen, at_scale, disagreement, passes
from usod.training.views import View


def test_another_size_is_a_part_of_the_images_own_and_not_too_small():
    image = torch.rand(2, 3, 51, 70)
    assert at_scale(image, 0.8).shape == (2, 3, 41, 56)
    assert at_scale(image, 1.4).shape == (2, 3, 71, 98)
    assert at_scale(image, 0.6).shape == (2, 3, 32, 42)


def test_a_batch_is_seen_at_its_own_size_and_at_one_drawn():
    image, seen = torch.rand(2, 3, 80, 61), []

    def forward(x, **named):
        seen.append((tuple(x.shape[-2:]), sorted(named)))
        return x.mean(1, keepdim=True)

    random.seed(0)
    for _ in range(40):
        passes(forward, image, (0.6, 1.4), {"features": image})
    own, others = seen[::2], seen[1::2]
    assert {size for size, _ in own} == {(80, 61)}
    assert all(named == ["features"] for _, named in own) and all(named == [] for _, named in others)
    assert {size for size, _ in others} == {(48, 37), (112, 85)}
    assert len(passes(forward, image, (), {})) == 1


def test_views_are_of_the_images_as_they_are():
    logits, image = torch.randn(2, 1, 5, 4), torch.rand(2, 3, 5, 4)
    (seen,) = as_seen([(logits, image)], View(torch.tensor([True, False])))
    torch.testing.assert_close(seen.map, torch.stack([logits[0, 0].flip(-1), logits[1, 0]]).sigmoid())
    torch.testing.assert_close(seen.image, torch.stack([image[0].flip(-1), image[1]]))


def test_maps_of_two_sizes_are_compared_at_the_second_ones():
    first = torch.tensor([[[0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 1.0]]])
    second = torch.tensor([[[0.5, 0.8]]])
    torch.testing.assert_close(disagreement(first, second), torch.tensor([(0.25 + 0.04) / 2]))
