"""Mean field of the dense CRF on permutohedral lattices, in PyTorch: no compiler needed, on a CPU or a GPU.

For two labels the mean-field update (Krähenbühl & Koltun 2011, Algorithm 1, Potts compatibility)

    Q_i(l) ∝ exp( -u_i(l) + sum_m w_m [K_m Q(l)]_i )

needs one filtered image instead of two. With s = Q(1) - Q(0), the log-odds are

    log Q_i(1) / Q_i(0) = u_i(0) - u_i(1) + sum_m w_m [K_m s]_i        and        s = tanh(log-odds / 2).
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from usod.crf import filtering, lattice, sorted_lattice
from usod.crf.lattice import Lattice
from usod.crf.params import CRFParams
from usod.crf.sorted_lattice import SortedLattice
from usod.devices import sent

# Pixels of the images that a GPU builds lattices of and filters in one go: enough to fill it, while what is in use for
# that (some 500 bytes a pixel) stays below 3 GB.
GPU_PIXELS = 32 * 432 * 432

Kernel = Lattice | SortedLattice


class KernelCache:
    """The normalised kernels of images (B, H, W, 3) uint8, built when first asked for and kept within a budget.

    `smoothness` is the kernel on positions, where the caller has it from images of the same size.
    """

    def __init__(
        self,
        images: Any,
        params: CRFParams,
        device: torch.device,
        memory_gb: float | None,
        smoothness: Kernel | None = None,
    ) -> None:
        self._images = images
        self._params = params
        self._device = device
        self._budget = float("inf") if memory_gb is None else memory_gb * 1e9
        self._kept: dict[tuple[int, ...], Kernel] = {}
        self._kept_bytes = 0
        self._smoothness = smoothness
        self._keeping = Lock()  # images are refined side by side

    @property
    def nbytes(self) -> int:
        """Memory of the kept lattices in bytes."""
        return self._kept_bytes + (self._smoothness.nbytes if self._smoothness is not None else 0)

    def smoothness(self, threads: int = 1) -> Kernel:
        """The Gaussian kernel on positions, the same for all images; built by some threads on a CPU."""
        if self._smoothness is None:
            height, width = self._images.shape[1:3]
            self._smoothness = smoothness_kernel(height, width, self._params.gaussian_sxy, self._device, threads)
        return self._smoothness

    def appearance(self, numbers: Sequence[int], threads: int = 1) -> Kernel:
        """The bilateral kernel of images, side by side; of one image on a CPU, built by some threads."""
        images = tuple(numbers)
        kept = self._kept.get(images)
        if kept is not None:
            return kept if isinstance(kept, Lattice) else kept.fresh()
        pixels = self._pixels(images)
        built = appearance_kernel(pixels, self._params.bilateral_sxy, self._params.bilateral_srgb, threads)
        # Images in random order will not come together again.
        if images == tuple(range(images[0], images[0] + len(images))):
            kernel = built if isinstance(built, Lattice) else built.fresh()
            with self._keeping:
                if images not in self._kept and self._kept_bytes + kernel.nbytes <= self._budget:
                    self._kept[images] = kernel
                    self._kept_bytes += kernel.nbytes
        return built

    def _pixels(self, numbers: Sequence[int]) -> Tensor:
        images = [self._images[number] for number in numbers]
        if isinstance(images[0], Tensor):
            return sent(torch.stack(images), self._device)
        return sent(torch.from_numpy(np.stack(images)), self._device)


def _by_sorting(device: torch.device) -> bool:
    """Whether lattices are those for a GPU."""
    return device.type != "cpu"


def smoothness_kernel(height: int, width: int, sxy: float, device: torch.device, threads: int = 1) -> Kernel:
    """The normalised Gaussian kernel on the positions of (height, width) pixels."""
    features = _divide(_positions(height, width, device), sxy)[:, None]
    return _build(features, _bounds(height, width, sxy), threads).symmetrically_normalised()


def appearance_kernel(images: Tensor, sxy: float, srgb: float, threads: int = 1) -> Kernel:
    """The normalised bilateral kernels of (B, H, W, 3) uint8 images, on their device; of one image on a CPU."""
    count, height, width, _ = images.shape
    features = torch.empty(5, count, height * width, device=images.device)
    features[:2] = _divide(_positions(height, width, images.device), sxy)[:, None]
    features[2:] = images.flatten(1, 2).permute(2, 0, 1)
    _divide(features[2:], srgb)
    bounds = [*_bounds(height, width, sxy), *[(0.0, 255 / srgb)] * 3]
    return _build(features, bounds, threads).symmetrically_normalised()


def _build(features: Tensor, bounds: Sequence[tuple[float, float]], threads: int) -> Kernel:
    """The lattices of (d, B, N) features within bounds."""
    if _by_sorting(features.device):
        return sorted_lattice.build(features, bounds)
    (alone,) = features.unbind(1)
    return lattice.build(alone, threads)


def _bounds(height: int, width: int, sxy: float) -> list[tuple[float, float]]:
    return [(0.0, (width - 1) / sxy), (0.0, (height - 1) / sxy)]


def _positions(height: int, width: int, device: torch.device) -> Tensor:
    y = torch.arange(height, dtype=torch.float32, device=device)
    x = torch.arange(width, dtype=torch.float32, device=device)
    return torch.stack((x.repeat(height), y.repeat_interleave(width)))


def _divide(values: Tensor, by: float) -> Tensor:
    # Not values / by, for which a GPU multiplies by the reciprocal: then points would change simplex between devices.
    return values.div_(torch.full((), by, dtype=values.dtype, device=values.device))


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
    batches = list(_batches(prior.shape, prior.device))
    if not batches:
        return torch.empty_like(prior)
    threads = torch.get_num_threads()
    shared = min(threads, len(filtering.parts(prior[0].numel())))
    if params.gaussian_compat:
        kernels.smoothness(shared)  # all batches use it: built once, before any of them begins

    def refined(batch: slice) -> Tensor:
        return _mean_field(prior[batch], kernels, numbers[batch], params, shared if len(batches) == 1 else 1)

    if _by_sorting(prior.device):
        return torch.cat([refined(batch) for batch in batches])
    # Threads take an image each, or share the only one: the compiled loops hold no lock.
    return _side_by_side(refined, batches, min(threads, len(batches)))


def _side_by_side(work: Callable[[slice], Tensor], batches: Sequence[slice], threads: int) -> Tensor:
    """Results of `work` for the batches, in their order, each computed by one of so many threads; 1: by this one.

    Inference mode and the number of threads are PyTorch's settings of a thread. A new thread is not in inference mode,
    so that it may not write tensors that were made in it, and computes with as many threads as the process may have.
    PyTorch's threads would also spin beside the compiled loops after every small step of its own.
    """
    inference, before = torch.is_inference_mode_enabled(), torch.get_num_threads()

    def in_the_callers_mode(batch: slice) -> Tensor:
        with torch.inference_mode(inference):
            return work(batch)

    torch.set_num_threads(1)
    try:
        if threads == 1:
            return torch.cat([work(batch) for batch in batches])
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            return torch.cat(list(pool.map(in_the_callers_mode, batches)))
    finally:
        torch.set_num_threads(before)  # also what new threads start with


@torch.no_grad()  # a setting of each thread
def _mean_field(prior: Tensor, kernels: KernelCache, numbers: Sequence[int], params: CRFParams, threads: int) -> Tensor:
    # Half the log-odds throughout: their tanh is s.
    unary = log_odds(prior, params.clip).div_(2).flatten(1)
    smoothness = kernels.smoothness() if params.gaussian_compat else None
    appearance = kernels.appearance(list(numbers), threads) if params.bilateral_compat else None
    if not _by_sorting(prior.device):
        pairs = (appearance, params.bilateral_compat / 2), (smoothness, params.gaussian_compat / 2)
        terms = [(kernel.arrays, weight) for kernel, weight in pairs if isinstance(kernel, Lattice)]
        state = torch.from_numpy(filtering.mean_field(unary.flatten().numpy(), terms, params.iterations, threads))
        return state.add_(1).div_(2).view_as(prior)
    s = unary.tanh()
    for _ in range(params.iterations):
        logits = unary.clone()
        if smoothness is not None:
            logits.add_(smoothness.filter(s.t().squeeze(1)).t(), alpha=params.gaussian_compat / 2)
        if appearance is not None:
            logits.add_(appearance.filter(s.flatten()).view_as(s), alpha=params.bilateral_compat / 2)
        s = logits.tanh_()
    return ((1 + s) / 2).view_as(prior)


def _batches(shape: Sequence[int], device: torch.device) -> Iterator[slice]:
    n, *size = shape
    step = batch_size(size, device) or 1
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def batch_size(size: Sequence[int], device: torch.device) -> int:
    """Images (height, width) that are refined side by side; 0 on a CPU, one by one."""
    # There an image's lattice fits the cache and several images' do not; a GPU wants few and large kernels.
    return max(1, GPU_PIXELS // max(1, size[0] * size[1])) if _by_sorting(device) else 0


def log_odds(prior: Tensor, clip: float) -> Tensor:
    """-u(1) + u(0) with the unary u = -log P, both probabilities raised to `clip`."""
    return prior.clamp(min=clip).log() - (1 - prior).clamp(min=clip).log()
