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
    memory_gb : for lattices that are kept between epochs; None: half of a GPU's memory that is free, a quarter of the
        machine's, where trainings run side by side
    """
    if config is None:
        return None
    share = 2 if device.type == "cuda" else 4
    budget = available_memory(device) / (share * 1e9) if memory_gb is None else memory_gb
    return DenseCRF(images, CRFParams(**config.model_dump()), device, memory_gb=budget)
