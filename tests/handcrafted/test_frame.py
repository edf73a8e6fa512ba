import numpy as np
import pytest

from usod.handcrafted.frame import Frame, find_frame, sobel_edges


def photograph(height: int = 120, width: int = 160) -> np.ndarray:
    rows, cols = np.mgrid[:height, :width]
    image = np.stack([100 + rows // 4, 100 + cols // 4, 120 + 0 * rows], axis=-1).astype(np.uint8)
    image[40:80, 60:100] = (200, 40, 40)
    return image


@pytest.mark.parametrize("frame", [Frame(6, 6, 6, 6), Frame(4, 9, 12, 3)])
def test_finds_the_frame_it_was_given(frame: Frame) -> None:
    image = np.zeros((120, 160, 3), np.uint8)
    image[frame.top : 120 - frame.bottom, frame.left : 160 - frame.right] = 180
    found = find_frame(image)
    # The edge lies on one of the two pixels at the step.
    assert all(0 <= a - b <= 1 for a, b in zip(found, frame, strict=True))


def test_sides_without_a_frame_take_the_widest() -> None:
    image = photograph()
    image[:10] = 0
    top = find_frame(image).top
    assert 10 <= top <= 11
    assert find_frame(image) == (top, top, top, top)


def test_the_innermost_line_counts() -> None:
    image = np.full((120, 160, 3), 180, np.uint8)
    image[:12], image[:4] = 90, 0
    assert 12 <= find_frame(image).top <= 13


def test_a_frame_is_no_wider_than_a_quarter() -> None:
    image = photograph(40)
    image[:15] = 0  # within 30 pixels, but more than 10
    assert find_frame(image) == (0, 0, 0, 0)


def test_what_is_as_light_as_the_picture_is_no_frame() -> None:
    """The luma 0.299 R + 0.587 G + 0.114 B of 160, 100, 100 is that of 100, 131, 98."""
    image = np.full((120, 160, 3), (100, 131, 98), np.uint8)
    image[:6] = (160, 100, 100)
    image[55:65, 75:85] = (200, 40, 40)
    assert find_frame(image) == (0, 0, 0, 0)


def test_a_photograph_has_none() -> None:
    assert find_frame(photograph()) == (0, 0, 0, 0)
    assert find_frame(np.full((50, 50, 3), 9, np.uint8)) == (0, 0, 0, 0)
    for shape in [(1, 1, 3), (3, 90, 3)]:
        noise = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        assert find_frame(noise).crop(noise).size > 0


def test_restore_undoes_crop() -> None:
    inner = Frame(1, 2, 3, 4).restore(np.ones((5, 6)))
    assert inner.shape == (8, 13)
    assert inner.sum() == 30
    np.testing.assert_array_equal(Frame(1, 2, 3, 4).crop(inner), 1)


def test_edges_of_a_step_are_one_pixel_wide() -> None:
    gray = np.zeros((20, 20))
    gray[:, 8:] = 100
    np.testing.assert_array_equal(sobel_edges(gray).sum(axis=1), 1)
