"""What a network is shown of an image, against crops and mirrored copies made by hand."""

from dataclasses import replace

import pytest
import torch

from usod.systems.distil_settings import AugmentConfig
from usod.training.views import View

NOT = torch.zeros(1, dtype=torch.bool)


@pytest.fixture
def image():
    return torch.randint(0, 256, (1, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_nothing_asked_for_is_the_image(image):
    assert torch.equal(View.draw(1, torch.Generator()).of_images(image), image)


def test_a_frame_of_half_the_side_is_a_quarter_of_the_image_enlarged(image):
    """Its centre in the image's upper right quarter."""
    quarter = View(NOT, torch.tensor([[0.5, 0.5, -0.5]]), size=None)
    small = image[:, :4, 4:].movedim(-1, 1).float()
    expected = torch.nn.functional.interpolate(small, (8, 8), mode="bilinear")
    seen = quarter.of_maps(image.movedim(-1, 1).float())
    assert torch.allclose(seen[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-3)  # its edge has neighbours there


def test_a_frame_of_twice_the_side_continues_the_image_by_reflection(image):
    seen = View(NOT, torch.tensor([[2.0, 0.0, 0.0]])).of_maps(image.movedim(-1, 1).float())
    inner = image.movedim(-1, 1).float().unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2))
    assert torch.allclose(seen[..., 2:6, 2:6], inner, atol=1e-3)
    assert torch.allclose(seen[..., :2, 2:6], inner[..., :2, :].flip(-2), atol=1e-3)


def test_maps_and_images_are_seen_alike(image):
    generator = torch.Generator().manual_seed(3)
    view = View.draw(40, generator, flip=True, augment=AugmentConfig(colour=0), size=32)
    grey = image[..., :1].expand(40, -1, -1, 3)
    shown = view.of_images(grey)
    assert shown.shape == (40, 32, 32, 3) and shown.dtype == torch.uint8
    maps = view.of_maps(grey[..., 0][:, None].float())[:, 0]
    assert (shown[..., 2].float() - maps).abs().max() <= 0.5
    assert 5 < view.mirrored.sum() < 35
    as_it_is = replace(view, mirrored=torch.zeros(40, dtype=torch.bool)).of_maps(grey[..., 0][:, None].float())
    for number, mirrored in enumerate(view.mirrored):
        assert torch.equal(maps[number], as_it_is[number, 0].flip(-1) if mirrored else as_it_is[number, 0])
    assert torch.equal(view.unmirrored(maps[:, None]), as_it_is)


def test_frames_lie_within_the_image_or_contain_it():
    view = View.draw(500, torch.Generator().manual_seed(0), augment=AugmentConfig(scale=(0.5, 2)))
    side, centre = view.frame[:, :1], view.frame[:, 1:].abs()
    assert side.min() >= 0.5 and side.max() <= 2 and (side < 0.6).any() and (side > 1.5).any()
    assert (1 / side).mean() == pytest.approx(1.25, abs=0.06), "the magnification is uniform from 0.5 to 2"
    within = (centre + side <= 1 + 1e-5).all(1)
    contains = (centre + 1 <= side + 1e-5).all(1)
    assert (within == (side[:, 0] <= 1)).all() and (contains == (side[:, 0] >= 1)).all()
    assert centre.max() > 0.4


def test_a_seed_decides_what_is_seen():
    first, again, other = (
        View.draw(50, torch.Generator().manual_seed(seed), flip=True, augment=AugmentConfig()) for seed in (1, 1, 2)
    )
    for name in ("mirrored", "frame", "colour"):
        assert torch.equal(getattr(first, name), getattr(again, name))
        assert not torch.equal(getattr(first, name), getattr(other, name))


def test_colours_by_hand():
    pixels = torch.tensor([[[[100, 50, 0]], [[0, 50, 100]]]], dtype=torch.uint8)
    view = View(NOT, colour=torch.tensor([[1.2, 0.5, 0.0]]))
    # Times 1.2: 120, 60, 0; half way to the mean, 60: 90, 60, 30; without saturation: 60.
    assert view.of_images(pixels).flatten().tolist() == [60] * 6
    # Half way to the mean of all pixels and channels, 50.
    paler = View(NOT, colour=torch.tensor([[1.0, 0.5, 1.0]]))
    assert paler.of_images(pixels).flatten().tolist() == [75, 50, 25, 25, 50, 75]
    dim = torch.tensor([[[[100, 0, 0]], [[40, 0, 40]]]], dtype=torch.uint8)
    assert paler.of_images(dim).flatten().tolist() == [65, 15, 15, 35, 15, 35]
    brighter = View(NOT, colour=torch.tensor([[3.0, 1.0, 1.0]]))
    assert brighter.of_images(pixels).flatten().tolist() == [255, 150, 0, 0, 150, 255]


def test_a_part_is_the_same_view_of_some_images(image):
    images = image.expand(6, -1, -1, -1)
    view = View.draw(6, torch.Generator().manual_seed(1), flip=True, augment=AugmentConfig())
    part = view.part(lambda values: values[2:4])
    assert torch.equal(part.of_images(images[2:4]), view.of_images(images)[2:4])
