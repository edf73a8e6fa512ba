import numpy as np

from usod.inference.guided_filter import guided_filter


def brute_force(image, saliency, radius, epsilon):
    """Window by window, as the paper writes it; only pixels whose windows lie inside."""
    guide = image / 255
    height, width = saliency.shape
    total, count = np.zeros((height, width)), np.zeros((height, width))
    for y in range(radius, height - radius):
        for x in range(radius, width - radius):
            window = np.s_[y - radius : y + radius + 1, x - radius : x + radius + 1]
            colours, p = guide[window].reshape(-1, 3), saliency[window].ravel()
            with_map = (colours * p[:, None]).mean(0) - colours.mean(0) * p.mean()
            a = np.linalg.solve(np.cov(colours.T, bias=True) + epsilon * np.eye(3), with_map)
            b = p.mean() - a @ colours.mean(0)
            total[window] += guide[window] @ a + b
            count[window] += 1
    return total / np.maximum(count, 1)


def test_it_is_the_average_of_the_windows_linear_functions(rng):
    image = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
    saliency = 0.3 + 0.3 * rng.random((20, 24))
    expected = brute_force(image, saliency, 2, 1e-3)
    found = guided_filter(image, saliency, 2, 1e-3)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[4:-4, 4:-4], expected[4:-4, 4:-4], atol=1e-6)
    grey = np.repeat(image[..., :1], 3, axis=2)  # its covariance has no inverse but for epsilon
    expected = brute_force(grey, saliency, 2, 1e-4)
    np.testing.assert_allclose(guided_filter(grey, saliency, 2)[4:-4, 4:-4], expected[4:-4, 4:-4], atol=1e-4)


def test_a_blurred_edge_moves_onto_the_images_edge():
    image = np.zeros((40, 40, 3), np.uint8)
    image[:, 20:] = (200, 120, 40)
    ramp = np.tile(np.clip((np.arange(40) - 14) / 12, 0, 1), (40, 1))
    found = guided_filter(image, ramp, 8)
    jump = np.abs(np.diff(found[20]))
    assert jump.argmax() == 19 and jump.max() > 0.4


def test_constant_images_give_finite_maps():
    image = np.full((9, 7, 3), 130, np.uint8)
    found = guided_filter(image, np.full((9, 7), 0.25), 20)
    np.testing.assert_allclose(found, 0.25, atol=1e-6)


def test_subsampled_it_stays_near_the_full_filter():
    """A disc whose map is blurred: by a ninth of the work nearly the same map."""
    y, x = np.mgrid[:160, :201]
    distance = np.hypot(y - 80, x - 100)
    inside = np.clip(50 - distance, 0, 1)[..., None]
    image = (inside * (220, 90, 30) + (1 - inside) * (30, 80, 120)).astype(np.uint8)
    blurred = np.clip((54 - distance) / 8, 0, 1)
    full, fast = (guided_filter(image, blurred, 12, subsample=s) for s in (1, 3))
    assert np.abs(fast - full).mean() < 0.01
    np.testing.assert_array_equal(guided_filter(image, blurred, 12), fast)
