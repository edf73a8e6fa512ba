"""The same refinement by pydensecrf, the Python interface to Krähenbühl's C++ code: one image at a time, on a CPU."""

import numpy as np
import torch
from torch import Tensor

from usod.crf.params import CRFParams
from usod.errors import UsodError


def refine(images: np.ndarray | Tensor, prior: Tensor, params: CRFParams) -> Tensor:
    """Marginals of salient (B, H, W) float32 for (B, H, W, 3) uint8 images and (B, H, W) float32 priors.

    Raises
    ------
    UsodError
        If pydensecrf is not installed.
    """
    try:
        from pydensecrf.densecrf import DIAG_KERNEL, NORMALIZE_SYMMETRIC, DenseCRF2D
    except ImportError as error:
        raise UsodError(
            "crf backend 'pydensecrf' is not installed: run pip install 'usod[crf]', or choose backend 'torch'"
        ) from error

    options = {"kernel": DIAG_KERNEL, "normalization": NORMALIZE_SYMMETRIC}
    pixels = images.cpu().numpy() if isinstance(images, Tensor) else images
    refined = np.empty(prior.shape, dtype=np.float32)
    for image, salient, out in zip(pixels, prior.cpu().numpy(), refined, strict=True):
        height, width = salient.shape
        labels = np.stack((1 - salient, salient)).reshape(2, -1)
        crf = DenseCRF2D(width, height, 2)
        crf.setUnaryEnergy(-np.log(np.maximum(labels, np.float32(params.clip))))
        if params.gaussian_compat:
            crf.addPairwiseGaussian(sxy=params.gaussian_sxy, compat=params.gaussian_compat, **options)
        if params.bilateral_compat:
            # pydensecrf asks for a writable buffer: a copy.
            crf.addPairwiseBilateral(
                sxy=params.bilateral_sxy,
                srgb=params.bilateral_srgb,
                rgbim=np.array(image, order="C"),
                compat=params.bilateral_compat,
                **options,
            )
        out[:] = np.asarray(crf.inference(params.iterations))[1].reshape(height, width)
    return torch.from_numpy(refined)
