"""Scoring saliency maps against ground-truth masks, and setting the scores beside published ones.

This package is the only one, besides the oracles of the papers' ablations, that opens ground truth.
"""

from usod.evaluation.benchmark import MEASURES, Benchmark, evaluate, score
from usod.evaluation.published import published

__all__ = ["MEASURES", "Benchmark", "evaluate", "published", "score"]
