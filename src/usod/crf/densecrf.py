"""The fully connected CRF of Krähenbühl & Koltun (NIPS 2011) for two labels, salient and background.

    E(x) = sum_i -log P(x_i) + sum_{i<j} [x_i != x_j] k(i, j)                                            (Eqs. 1-3)
    k(i, j) = gaussian_compat  exp(-|p_i - p_j|^2 / 2 gaussian_sxy^2)
            + bilateral_compat exp(-|p_i - p_j|^2 / 2 bilateral_sxy^2 - |I_i - I_j|^2 / 2 bilateral_srgb^2)

p is a pixel's position, I its RGB colour; each kernel is normalised symmetrically by the square roots of its row sums.
`refine` is for images seen once, a `Refiner` for many of them, `DenseCRF` for images refined again and again with other
probabilities.

The same call gives the same bits, with any number of threads on a CPU and on a GPU too, and an image's do not depend on
the images beside it.
"""

from collections.abc import Sequence
from typing import Any, Literal, TypeVar, get_args

import numpy as np
import torch
from torch import Tensor

from usod.crf import pydensecrf_backend, torch_backend
from usod.crf.checks import check_images, check_probabilities
from usod.crf.params import CRFParams
from usod.devices import sent

Array = TypeVar("Array", np.ndarray, Tensor)
# Anything that is indexed like an array, so that images may stay in a file.
Images = Any
Backend = Literal["torch", "pydensecrf"]


def refine(
    images: np.ndarray | Tensor,
    probabilities: Array,
    params: CRFParams | None = None,
    backend: Backend = "torch",
    device: torch.device | str | None = None,
) -> Array:
    """Mean-field marginals of the dense CRF, for images that are seen once.

    Parameters
    ----------
    images : (B, H, W, 3) or (H, W, 3) uint8 RGB
    probabilities : (B, H, W) or (H, W) float32 in [0, 1], the probability of salient; values that lie on a GPU are
        not checked, since that would wait for it
    params : the CRF's parameters; the defaults of `CRFParams` when None
    backend : "torch", or "pydensecrf" for the original C++ code, which must be installed
    device : where the torch backend works; None: where `probabilities` lie

    Returns
    -------
    float32 in [0, 1], of the shape, the kind (NumPy array or tensor) and the device of `probabilities`

    Raises
    ------
    ValueError
        If a shape, type or value is not as above.
    UsodError
        If the backend is "pydensecrf" and it is not installed.
    """
    return Refiner(params, backend, device)(images, probabilities)


class Refiner:
    """`refine` for one call after another: the lattice of the smoothness kernel is kept as long as the size stays.

    Parameters
    ----------
    params, backend, device : as for `refine`
    """

    def __init__(
        self, params: CRFParams | None = None, backend: Backend = "torch", device: torch.device | str | None = None
    ) -> None:
        if backend not in get_args(Backend):
            raise ValueError(f"backend must be 'torch' or 'pydensecrf', got {backend!r}")
        self.params = params or CRFParams()
        self.backend = backend
        self.device = None if device is None else torch.device(device)
        self._smoothness: tuple[tuple[Any, ...], torch_backend.Kernel] | None = None

    def __call__(self, images: np.ndarray | Tensor, probabilities: Array) -> Array:
        """As `refine`."""
        prior = _as_probabilities(probabilities)
        check_images(images, (3, 4), "(B, H, W, 3) or (H, W, 3)")
        pixels = images[None] if images.ndim == 3 else images
        if tuple(prior.shape) != tuple(images.shape[:-1]):
            raise ValueError(
                f"probabilities {tuple(prior.shape)} do not fit images {tuple(images.shape)}: "
                "(B, H, W) with (B, H, W, 3), or (H, W) with (H, W, 3)"
            )
        prior = prior.reshape(pixels.shape[:3])
        if self.backend == "torch":
            refined = self._refined(pixels, sent(prior, self.device or prior.device))
        else:
            refined = pydensecrf_backend.refine(pixels, prior, self.params)
        return _like(probabilities, refined.reshape(probabilities.shape))

    def _refined(self, pixels: np.ndarray | Tensor, prior: Tensor) -> Tensor:
        of = (*prior.shape[1:], prior.device)
        smoothness = self._smoothness[1] if self._smoothness and self._smoothness[0] == of else None
        self._smoothness = None  # one of another size makes room for what is built now
        # No other lattice is kept: with a budget of 0 every image's is dropped after its use.
        kernels = torch_backend.KernelCache(pixels, self.params, prior.device, 0.0, smoothness)
        refined = torch_backend.mean_field(prior, kernels, range(len(pixels)), self.params)
        if self.params.gaussian_compat and len(pixels):
            self._smoothness = of, kernels.smoothness()
        return refined


class DenseCRF:
    """The dense CRF of a set of images of one size, whose lattices are built on an image's first use and kept.

    The lattice of the smoothness kernel depends on the size only and is built once. Those of the appearance kernel are
    kept until they fill the budget; the images that come later have theirs rebuilt on every use. As training visits
    each image once per epoch in random order, keeping the first ones serves the same share of the visits from memory as
    any other choice, while dropping the least recently used ones would serve none.

    On a GPU the lattices of `group` images lie side by side, and they are kept where these are asked for together: in
    calls for images that follow one another, all or always the same ones. Any others are built for the call.

    Parameters
    ----------
    images : (B, H, W, 3) uint8 RGB: array, tensor or h5py data set, kept by reference and read when a lattice is built
    params : the CRF's parameters; the defaults of `CRFParams` when None
    device : where the lattices lie and the filtering is done
    memory_gb : gigabytes (10^9 bytes) for the kept lattices; None: no limit. An image takes about 37 bytes a pixel
        on a CPU and 53 on a GPU, 7 and 10 MB at 432 x 432. The results do not depend on it.

    Raises
    ------
    ValueError
        If the images have another shape or type, or the budget is negative.
    """

    def __init__(
        self,
        images: Images,
        params: CRFParams | None = None,
        device: torch.device | str = "cpu",
        memory_gb: float | None = None,
    ) -> None:
        if memory_gb is not None and not memory_gb >= 0:
            raise ValueError(f"memory_gb must not be negative, got {memory_gb}")
        self.params = params or CRFParams()
        self.device = torch.device(device)
        check_images(images, (4,), "(B, H, W, 3)")
        self._images = images
        self._kernels = torch_backend.KernelCache(images, self.params, self.device, memory_gb)

    def __len__(self) -> int:
        return len(self._images)

    @property
    def group(self) -> int:
        """Images that are refined together, whose lattices are kept side by side; 0 where each is alone (on a CPU)."""
        return torch_backend.batch_size(self._images.shape[1:3], self.device)

    @property
    def memory_bytes(self) -> int:
        """Memory of the lattices that are kept, in bytes: the smoothness kernel's included."""
        return self._kernels.nbytes

    def refine(self, probabilities: Array, indices: Sequence[int] | np.ndarray | Tensor | None = None) -> Array:
        """Mean-field marginals for `images[indices]`, all images when None.

        Parameters
        ----------
        probabilities : (n, H, W) float32 in [0, 1], the probability of salient; on any device, as in `refine`
        indices : n image numbers, in any order

        Returns
        -------
        (n, H, W) float32 in [0, 1], of the kind and device of `probabilities`

        Raises
        ------
        ValueError
            If the shape is not that of the images named, or a value is not a probability.
        IndexError
            If an index is out of range.
        """
        given = range(len(self)) if indices is None else indices
        numbers = given.tolist() if isinstance(given, Tensor) else [int(i) for i in given]
        prior = _as_probabilities(probabilities)
        expected = (len(numbers), *self._images.shape[1:3])
        if prior.shape != expected:
            raise ValueError(f"probabilities must have shape {expected}, got {tuple(prior.shape)}")
        for number in numbers:
            if not 0 <= number < len(self):
                raise IndexError(f"image {number} is out of range for {len(self)} images")
        refined = torch_backend.mean_field(sent(prior, self.device), self._kernels, numbers, self.params)
        return _like(probabilities, refined)


def _as_probabilities(probabilities: np.ndarray | Tensor) -> Tensor:
    if isinstance(probabilities, Tensor):
        values = probabilities.detach()
    else:
        # A copy, as PyTorch takes no read-only array and none with negative strides, which flipping makes.
        values = torch.from_numpy(np.array(probabilities, order="C"))
    # NumPy looks at an array: PyTorch's threads would go on spinning for a while where the CRF is to work.
    check_probabilities(probabilities if isinstance(probabilities, np.ndarray) else values, look=not values.is_cuda)
    return values.to(torch.float32)


def _like(original: Array, refined: Tensor) -> Array:
    return refined.cpu().numpy() if isinstance(original, np.ndarray) else refined.to(original.device)
