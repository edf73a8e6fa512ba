"""Fully connected CRF refinement of saliency maps."""

from usod.crf.densecrf import Backend, CRFParams, DenseCRF, refine

__all__ = ["Backend", "CRFParams", "DenseCRF", "refine"]
