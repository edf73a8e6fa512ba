"""The dense CRF of a training's predictions."""

import numpy as np
import torch

from usod.crf import CRFParams, DenseCRF
from usod.memory import available_memory
from usod.settings.sections import CrfConfig


def crf_of(
    images: np.ndarray, config: CrfConfig | None, device: torch.device, memory_gb: float | None = None
) -> DenseCRF | None:
    """The CRF in a step's settings, if there is one.

    Parameters
    ----------
    images : (N, H, W, 3) uint8
    memory_gb : for lattices that are kept between epochs; None: a quarter of the memory that is free, as trainings may
        run side by side
    """
    if config is None:
        return None
    budget = available_memory(device) / 4e9 if memory_gb is None else memory_gb
    return DenseCRF(images, CRFParams(**config.model_dump()), device, memory_gb=budget)
