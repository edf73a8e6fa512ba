"""Fully connected CRF refinement of saliency maps."""

from usod.crf.densecrf import Backend, DenseCRF, Refiner, refine
from usod.crf.params import CRFParams

__all__ = ["Backend", "CRFParams", "DenseCRF", "Refiner", "refine"]
