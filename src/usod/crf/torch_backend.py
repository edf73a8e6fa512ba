"""Mean field of the dense CRF on permutohedral lattices, in PyTorch: no compiler needed, on a CPU or a GPU.

For two labels the mean-field update (Krähenbühl & Koltun 2011, Algorithm 1, Potts compatibility)

    Q_i(l) ∝ exp( -u_i(l) + sum_m w_m [K_m Q(l)]_i )

needs one filtered image instead of two. With s = Q(1) - Q(0), the log-odds are

    log Q_i(1) / Q_i(0) = u_i(0) - u_i(1) + sum_m w_m [K_m s]_i        and        s = tanh(log-odds / 2).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from usod.crf.lattice import Lattice, build, join
from usod.crf.params import CRFParams

# Images filtered in one go on a GPU: enough to fill it, while the gathered corners (60 bytes a pixel) stay small.
GPU_BATCH = 16


class KernelCache:
    """The normalised kernels of images (B, H, W, 3) uint8, built when first asked for and kept within a budget."""

    def __init__(self, images: Any, params: CRFParams, device: torch.device, memory_gb: float | None) -> None:
        self._images = images
        self._params = params
        self._device = device
        self._budget = float("inf") if memory_gb is None else memory_gb * 1e9
        self._kept: dict[int, Lattice] = {}
        self._kept_bytes = 0
        self._smoothness: Lattice | None = None
        self._keeping = Lock()  # images are refined side by side

    @property
    def nbytes(self) -> int:
        """Memory of the kept lattices in bytes."""
        return self._kept_bytes + (self._smoothness.nbytes if self._smoothness is not None else 0)

    def smoothness(self) -> Lattice:
        """The Gaussian kernel on positions, the same for all images."""
        if self._smoothness is None:
            height, width = self._images.shape[1:3]
            self._smoothness = smoothness_kernel(height, width, self._params.gaussian_sxy, self._device)
        return self._smoothness

    def appearance(self, number: int) -> Lattice:
        """The bilateral kernel of image `number`."""
        kernel = self._kept.get(number)
        if kernel is None:
            image = self._images[number]
            if not isinstance(image, Tensor):
                image = torch.from_numpy(np.array(image, order="C"))
            image = image.to(self._device)
            kernel = appearance_kernel(image, self._params.bilateral_sxy, self._params.bilateral_srgb).compact()
            with self._keeping:
                if number not in self._kept and self._kept_bytes + kernel.nbytes <= self._budget:
                    self._kept[number] = kernel
                    self._kept_bytes += kernel.nbytes
        return kernel


# Calls with images of one size, one after the other, are the rule: a few sizes are enough to remember.
@lru_cache(maxsize=4)
def smoothness_kernel(height: int, width: int, sxy: float, device: torch.device) -> Lattice:
    """The normalised Gaussian kernel on the positions of (height, width) pixels."""
    return build(_divided(_positions(height, width, device), sxy)).symmetrically_normalised()


def appearance_kernel(image: Tensor, sxy: float, srgb: float) -> Lattice:
    """The normalised bilateral kernel of an (H, W, 3) uint8 image, on the image's device."""
    height, width = image.shape[:2]
    colours = image.reshape(-1, 3).t().to(torch.float32)
    features = torch.cat((_divided(_positions(height, width, image.device), sxy), _divided(colours, srgb)))
    return build(features).symmetrically_normalised()


def _positions(height: int, width: int, device: torch.device) -> Tensor:
    y = torch.arange(height, dtype=torch.float32, device=device)
    x = torch.arange(width, dtype=torch.float32, device=device)
    return torch.stack((x.repeat(height), y.repeat_interleave(width)))


def _divided(values: Tensor, by: float) -> Tensor:
    # Not values / by, for which a GPU multiplies by the reciprocal: then points would change simplex between devices.
    return values / torch.full((), by, dtype=values.dtype, device=values.device)


def refine(images: np.ndarray | Tensor, prior: Tensor, params: CRFParams) -> Tensor:
    """Marginals of salient (B, H, W), on the priors' device.

    Images are (B, H, W, 3) uint8, priors (B, H, W) float32.
    """
    # Nothing is kept: with a budget of 0 every image's lattice is dropped after its use.
    kernels = KernelCache(images, params, prior.device, memory_gb=0.0)
    return mean_field(prior, kernels, range(len(images)), params)


def mean_field(prior: Tensor, kernels: KernelCache, numbers: Sequence[int], params: CRFParams) -> Tensor:
    """Marginals of salient after `params.iterations` updates.

    Parameters
    ----------
    prior : (n, H, W) float32 in [0, 1], on the kernels' device
    kernels : the kernels of all images
    numbers : n image numbers: the prior `prior[k]` belongs to image `numbers[k]`
    params : the CRF's parameters

    Returns
    -------
    (n, H, W) float32 in [0, 1]
    """
    batches = list(_batches(len(numbers), prior.device))
    if not batches:
        return torch.empty_like(prior)
    if params.gaussian_compat:
        kernels.smoothness()  # all batches use it: built once, before any of them begins

    def refined(batch: slice) -> Tensor:
        return _mean_field(prior[batch], kernels, numbers[batch], params)

    # One image is too small for several threads; several images are not, as the compiled loops hold no lock.
    threads = min(torch.get_num_threads(), len(batches)) if prior.device.type == "cpu" else 1
    return torch.cat(_side_by_side(refined, batches, threads) if threads > 1 else [refined(batch) for batch in batches])


def _side_by_side(work: Callable[[slice], Tensor], batches: Sequence[slice], threads: int) -> list[Tensor]:
    """Results of `work` for the batches, in their order, each computed by one of `threads` threads alone.

    Inference mode and the number of threads are PyTorch's settings of a thread. A new thread is not in inference mode,
    so that it may not write tensors that were made in it, and computes with as many threads as the process may have.
    """
    inference, before = torch.is_inference_mode_enabled(), torch.get_num_threads()

    def in_the_callers_mode(batch: slice) -> Tensor:
        with torch.inference_mode(inference):
            return work(batch)

    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return list(pool.map(in_the_callers_mode, batches))
    finally:
        torch.set_num_threads(before)  # the pool also changed what new threads start with


@torch.no_grad()  # a setting of each thread
def _mean_field(prior: Tensor, kernels: KernelCache, numbers: Sequence[int], params: CRFParams) -> Tensor:
    # Half the log-odds throughout: their tanh is s.
    unary = log_odds(prior, params.clip).div_(2).flatten(1)
    smoothness = kernels.smoothness() if params.gaussian_compat else None
    appearance = join([kernels.appearance(n) for n in numbers]) if params.bilateral_compat else None
    s = unary.tanh()
    for _ in range(params.iterations):
        logits = unary.clone()
        if smoothness is not None:
            logits.add_(smoothness.filter(s.t().squeeze(1)).t(), alpha=params.gaussian_compat / 2)
        if appearance is not None:
            logits.add_(appearance.filter(s.flatten()).view_as(s), alpha=params.bilateral_compat / 2)
        s = logits.tanh_()
    return ((1 + s) / 2).view_as(prior)


def _batches(n: int, device: torch.device) -> Iterator[slice]:
    # On a CPU an image's lattice fits the cache and several images' do not; a GPU wants few and large kernels.
    size = 1 if device.type == "cpu" else GPU_BATCH
    return (slice(start, min(start + size, n)) for start in range(0, n, size))


def log_odds(prior: Tensor, clip: float) -> Tensor:
    """-u(1) + u(0) with the unary u = -log P, both probabilities raised to `clip`."""
    return prior.clamp(min=clip).log() - (1 - prior).clamp(min=clip).log()
