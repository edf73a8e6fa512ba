"""The mean field against one written out in NumPy, and what the interface promises."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from usod.crf import CRFParams, DenseCRF, Refiner, filtering, refine, torch_backend

CPU = torch.device("cpu")
SMALL = CRFParams(gaussian_sxy=1.5, bilateral_sxy=6, bilateral_srgb=20, gaussian_compat=2, bilateral_compat=4)


@pytest.fixture
def images() -> np.ndarray:
    """(3,18,23,3) uint8: a bright disc on a gradient, with noise."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:18, :23]
    disc = ((y - 9) ** 2 + (x - 11) ** 2 < 30)[None, ..., None]
    images = 60 + 3 * x[None, ..., None] + 90 * disc + rng.normal(0, 8, (3, 18, 23, 3))
    return images.clip(0, 255).astype(np.uint8)


@pytest.fixture
def maps() -> np.ndarray:
    return np.random.default_rng(1).random((3, 18, 23), dtype=np.float32)


def dense_mean_field(image: np.ndarray, salient: np.ndarray, params: CRFParams) -> np.ndarray:
    """Algorithm 1 of Krähenbühl & Koltun with both labels and full kernel matrices."""
    n = salient.size
    height, width = salient.shape
    smoothness = torch_backend.smoothness_kernel(height, width, params.gaussian_sxy, CPU).filter(torch.eye(n))
    appearance = torch_backend.appearance_kernel(
        torch.from_numpy(image)[None], params.bilateral_sxy, params.bilateral_srgb
    ).filter(torch.eye(n))
    kernel = params.gaussian_compat * smoothness.double().numpy()
    kernel += params.bilateral_compat * appearance.double().numpy()
    probabilities = np.stack((1 - salient, salient)).reshape(2, n).astype(np.float64).clip(params.clip)
    unary = -np.log(probabilities)
    q = np.exp(-unary) / np.exp(-unary).sum(0)
    for _ in range(params.iterations):
        # Potts: a label pays for the other label's share of its neighbours.
        energy = unary + (kernel @ (1 - q).T).T
        q = np.exp(-energy)
        q /= q.sum(0)
    return q[1].reshape(height, width)


def test_equals_a_dense_mean_field(images, maps):
    refined = refine(images, maps, SMALL)
    for image, salient, out in zip(images, maps, refined, strict=True):
        np.testing.assert_allclose(out, dense_mean_field(image, salient, SMALL), atol=2e-5)


def test_noise_in_a_map_is_cleaned_along_the_edges_of_the_object(images):
    disc = images[0].mean(-1) - 3 * np.mgrid[:18, :23][1] > 105
    rng = np.random.default_rng(2)
    noisy = np.where(rng.random(disc.shape) < 0.25, ~disc, disc) * 0.6 + 0.2
    refined = refine(images[0], noisy.astype(np.float32), SMALL)
    assert ((noisy > 0.5) != disc).mean() > 0.2
    assert ((refined > 0.5) != disc).mean() < 0.02


def test_batch_equals_single(images, maps):
    together = refine(images, maps, SMALL)
    for k in range(3):
        np.testing.assert_array_equal(refine(images[k], maps[k], SMALL), together[k])


@pytest.fixture
def as_on_a_gpu(monkeypatch):
    """On a CPU the way of a GPU, two images at a time."""
    monkeypatch.setattr(torch_backend, "_by_sorting", lambda device: True)
    monkeypatch.setattr(torch_backend, "GPU_PIXELS", 2 * 18 * 23)


def test_gpu_batches_equal_a_dense_mean_field(images, maps, as_on_a_gpu, monkeypatch):
    refined = refine(images, maps, SMALL)
    for k in range(3):
        np.testing.assert_array_equal(refine(images[k], maps[k], SMALL), refined[k])
    monkeypatch.undo()
    for image, salient, out in zip(images, maps, refined, strict=True):
        np.testing.assert_allclose(out, dense_mean_field(image, salient, SMALL), atol=2e-5)


@pytest.mark.parametrize("budget", [0, 1.5, 9])
def test_lattices_beyond_a_gpu_s_budget_are_built_together_to_the_same_bits(
    images, maps, budget, as_on_a_gpu, monkeypatch
):
    expected = refine(images, maps, SMALL)
    one = torch_backend.appearance_kernel(torch.from_numpy(images[:1]), 6, 20).nbytes
    built, original = [], torch_backend.appearance_kernel
    monkeypatch.setattr(torch_backend, "appearance_kernel", lambda *a: built.append(len(a[0])) or original(*a))
    crf = DenseCRF(images, SMALL, memory_gb=budget * one / 1e9)
    np.testing.assert_array_equal(crf.refine(maps), expected)
    assert crf.group == 2
    for order in ([2, 0], [0, 1], [2], [2, 0], [0, 1], [2]):
        np.testing.assert_array_equal(crf.refine(maps[order], order), expected[order])
    kept = {0: set(), 1.5: {1}, 9: {1, 2}}[budget]  # lengths of what is kept: of images that follow one another
    assert built == [2, 1, 2, *[n for n in (2, 1) if n not in kept], 2, *[n for n in (2, 1) if n not in kept]]
    assert crf.memory_bytes - crf._kernels.smoothness().nbytes <= budget * one


def test_large_images_go_fewer_at_a_time(images, maps, as_on_a_gpu, monkeypatch):
    monkeypatch.setattr(torch_backend, "GPU_PIXELS", 18 * 23 + 1)
    assert list(torch_backend._batches((3, 18, 23), CPU)) == [slice(0, 1), slice(1, 2), slice(2, 3)]
    assert list(torch_backend._batches((1, 99, 99), CPU)) == [slice(0, 1)]
    assert DenseCRF(images, SMALL).group == 1


def test_a_refiner_finds_what_images_of_a_size_share_once(images, maps, monkeypatch):
    built, original = [], torch_backend.smoothness_kernel
    monkeypatch.setattr(torch_backend, "smoothness_kernel", lambda *a: built.append(a[:2]) or original(*a))
    refiner = Refiner(SMALL)
    for _ in range(2):
        np.testing.assert_array_equal(refiner(images, maps), refine(images, maps, SMALL))
    assert refiner(images[:0], maps[:0]).shape == (0, 18, 23)
    turned = images.swapaxes(1, 2), maps.swapaxes(1, 2)
    np.testing.assert_array_equal(refiner(*turned), refine(*turned, SMALL))
    assert built == [(18, 23)] * 3 + [(23, 18)] * 2


@pytest.mark.parametrize("inference", [False, True])
def test_threads_refine_images_side_by_side_to_the_same_bits(images, maps, threads, inference):
    """Also in inference mode, which is a thread's own: there a prediction's CRF runs."""
    expected = np.stack([dense_mean_field(image, salient, SMALL) for image, salient in zip(images, maps, strict=True)])
    crf = DenseCRF(images, SMALL)
    with torch.inference_mode(inference):
        pixels, prior = torch.tensor(images), torch.tensor(maps)
        once, kept = refine(pixels, prior, SMALL), crf.refine(prior)
        assert once.is_inference() == kept.is_inference() == inference
        assert refine(pixels[:0], prior[:0], SMALL).shape == (0, 18, 23)
    np.testing.assert_allclose(once.numpy(), expected, atol=2e-5)
    torch.set_num_threads(1)
    alone = refine(images, maps, SMALL)
    for refined in (once.numpy(), kept.numpy(), crf.refine(maps)):  # the kept lattices serve in the other mode too
        np.testing.assert_array_equal(refined, alone)


def test_threads_share_an_image_that_is_large_enough_to_the_same_bits(images, maps, threads, monkeypatch):
    monkeypatch.setattr(filtering, "_PART", 100)
    refined = refine(images[0], maps[0], SMALL)
    np.testing.assert_allclose(refined, dense_mean_field(images[0], maps[0], SMALL), atol=2e-5)
    assert torch.get_num_threads() == threads
    torch.set_num_threads(1)
    np.testing.assert_array_equal(refine(images[0], maps[0], SMALL), refined)


def test_what_all_images_share_is_built_once(images, maps, threads, monkeypatch):
    built = []
    original = torch_backend._positions
    monkeypatch.setattr(torch_backend, "_positions", lambda *a: built.append(a) or time.sleep(0.01) or original(*a))
    DenseCRF(images, replace(SMALL, bilateral_compat=0)).refine(maps)
    assert len(built) == 1


COUNTING = """
import os, sys, threading, time
import numpy as np, psutil, torch
from usod.crf import DenseCRF, refine

threads, process, most, done = int(sys.argv[1]), psutil.Process(), 0, False

def watch():
    global most
    while not done:
        most = max(most, process.num_threads())
        time.sleep(0.001)

torch.set_num_threads(threads)
rng = np.random.default_rng(0)
images = rng.integers(0, 256, (12, 25, 25, 3), dtype=np.uint8).repeat(9, 1).repeat(9, 2)
maps = rng.random(images.shape[:3], dtype=np.float32)
expected = [refine(*pair) for pair in zip(images, maps)]
before = process.num_threads()
watcher = threading.Thread(target=watch)
watcher.start()
refined = DenseCRF(images).refine(maps)
done = True
watcher.join()
seen = []
later = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
later.start()
later.join()
print(most - before - 1, np.array_equal(refined, expected), torch.get_num_threads(), seen[0])
"""


@pytest.mark.parametrize("count", [1, 2, 8])
def test_as_many_threads_as_asked_for_and_the_setting_stays(count):
    """Each of the threads once started as many again. An image alone is big enough here for PyTorch to share it."""
    command = [sys.executable, "-c", COUNTING, str(count)]
    environment = os.environ | {"OMP_NUM_THREADS": "16"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    more, equal, after, later = done.stdout.split()
    assert int(more) <= (count if count > 1 else 0)
    assert (equal, int(after), int(later)) == ("True", count, count)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_equals_the_cpu_and_itself(images, maps):
    expected = refine(images, maps, SMALL)
    refined = refine(images, maps, SMALL, device="cuda")
    np.testing.assert_allclose(refined, expected, atol=1e-3)
    crf = DenseCRF(images, SMALL, "cuda")
    for again in (refine(images, maps, SMALL, device="cuda"), crf.refine(maps), crf.refine(maps)):
        np.testing.assert_array_equal(again, refined)


def test_indices_choose_the_images(images, maps):
    crf = DenseCRF(images, SMALL)
    order = [2, 0, 2]
    expected = np.stack([refine(images[i], salient, SMALL) for i, salient in zip(order, maps, strict=True)])
    for indices in (order, np.array(order), torch.tensor(order)):
        np.testing.assert_array_equal(crf.refine(maps, indices), expected)
    assert crf.refine(maps[:0], []).shape == (0, 18, 23)
    with pytest.raises(IndexError, match="image 3 is out of range for 3 images"):
        crf.refine(maps[:1], [3])
    with pytest.raises(IndexError, match="image -1"):
        crf.refine(maps[:1], [-1])


def test_lattices_are_built_on_first_use_and_kept(images, maps, monkeypatch):
    built = []
    original = torch_backend.appearance_kernel
    monkeypatch.setattr(torch_backend, "appearance_kernel", lambda *a: built.append(1) or original(*a))
    crf = DenseCRF(images, SMALL)
    assert (crf.memory_bytes, built) == (0, [])
    crf.refine(maps[:1], [1])
    assert len(built) == 1
    crf.refine(maps)
    crf.refine(maps)
    assert len(built) == 3


def test_images_beyond_the_budget_are_rebuilt_to_the_same_bits(images, maps):
    """In any order: a training that goes on after a kill keeps the lattices of other images."""
    expected = DenseCRF(images, SMALL).refine(maps)
    one = torch_backend.appearance_kernel(torch.from_numpy(images[:1]), 6, 20).nbytes
    limited = DenseCRF(images, SMALL, memory_gb=1.5 * one / 1e9)
    for order in ([2, 0, 1], [0, 1, 2]):
        np.testing.assert_array_equal(limited.refine(maps[order], order), expected[order])
    np.testing.assert_array_equal(refine(images, maps, SMALL), expected)
    assert limited.memory_bytes <= 1.5 * one + limited._kernels.smoothness().nbytes


def test_containers_come_back_as_they_went_in(images, maps):
    expected = refine(images, maps, SMALL)
    assert isinstance(expected, np.ndarray) and expected.dtype == np.float32
    tensor = refine(torch.from_numpy(images), torch.from_numpy(maps), SMALL)
    assert isinstance(tensor, torch.Tensor) and tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor.numpy(), expected)
    assert isinstance(DenseCRF(images, SMALL).refine(torch.from_numpy(maps)), torch.Tensor)
    frozen = maps.copy()
    frozen.flags.writeable = False
    np.testing.assert_array_equal(refine(images, frozen, SMALL), expected)
    np.testing.assert_array_equal(frozen, maps)


def test_views_with_negative_strides_are_taken(images, maps):
    flipped = refine(images[:, :, ::-1], maps[:, :, ::-1], SMALL)
    copied = refine(images[:, :, ::-1].copy(), maps[:, :, ::-1].copy(), SMALL)
    np.testing.assert_array_equal(flipped, copied)


def test_constant_image_and_map_stay_constant_inside():
    refined = refine(np.full((40, 40, 3), 128, np.uint8), np.full((40, 40), 0.6, np.float32), CRFParams())
    # Potts sharpens a uniform majority, everywhere alike but for the normalisation near the borders.
    assert refined.min() > 0.99
    undecided = refine(np.zeros((40, 40, 3), np.uint8), np.full((40, 40), 0.5, np.float32), CRFParams())
    np.testing.assert_array_equal(undecided, 0.5)


@pytest.mark.parametrize("shape", [(30, 1), (1, 30), (1, 1), (2, 3)])
def test_images_of_a_pixel_s_width(shape):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    salient = rng.random(shape, dtype=np.float32)
    np.testing.assert_allclose(refine(image, salient, SMALL), dense_mean_field(image, salient, SMALL), atol=2e-5)


def test_certain_probabilities_are_clipped_and_stay_finite(images):
    hard = (np.random.default_rng(0).random((3, 18, 23)) > 0.5).astype(np.float32)
    soft = hard.clip(1e-5, 1 - 1e-5)
    refined = refine(images, hard, SMALL)
    assert np.isfinite(refined).all()
    np.testing.assert_allclose(refined, refine(images, soft, SMALL), atol=1e-4)
    # 1 - 1e-8 is 1 in float32: the other label is clipped on its own.
    assert np.isfinite(refine(images, hard, CRFParams(clip=1e-8))).all()


def test_without_iterations_or_kernels_the_prior_comes_back(images, maps):
    np.testing.assert_allclose(refine(images, maps, CRFParams(iterations=0)), maps.clip(1e-5, 1 - 1e-5), atol=1e-6)
    unary_only = CRFParams(gaussian_compat=0, bilateral_compat=0)
    np.testing.assert_allclose(refine(images, maps, unary_only), maps.clip(1e-5, 1 - 1e-5), atol=1e-6)


def test_what_does_not_fit_is_refused(images, maps):
    with pytest.raises(ValueError, match="do not fit"):
        refine(images, maps[:, :-1])
    with pytest.raises(ValueError, match="do not fit"):
        refine(images[0], maps[:1])
    with pytest.raises(ValueError, match=r"\(B, H, W, 3\)"):
        refine(images[..., :2], maps)
    with pytest.raises(ValueError, match="uint8"):
        refine(images.astype(np.float32), maps)
    with pytest.raises(ValueError, match="float32"):
        refine(images, (255 * maps).astype(np.uint8))
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        refine(images, maps + 1)
    with pytest.raises(ValueError, match="NaN"):
        refine(images, np.full_like(maps, np.nan))
    with pytest.raises(ValueError, match="backend"):
        refine(images, maps, backend="other")
    with pytest.raises(ValueError, match=r"\(B, H, W, 3\)"):
        DenseCRF(images[0])
    with pytest.raises(ValueError, match=r"must have shape \(2, 18, 23\)"):
        DenseCRF(images).refine(maps, [0, 1])
    with pytest.raises(ValueError, match="memory_gb"):
        DenseCRF(images, memory_gb=-1)


@pytest.mark.parametrize("wrong", [{"gaussian_sxy": 0}, {"bilateral_compat": -1}, {"iterations": -1}, {"clip": 0}])
def test_parameters_without_meaning_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        CRFParams(**wrong)
