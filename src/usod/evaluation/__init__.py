"""Measuring: saliency maps against ground-truth masks, and labels against one another.

This package is the only one, besides the oracles of the papers' ablations, that opens ground truth.
"""

from usod.evaluation.benchmark import MEASURES, Benchmark, evaluate, score
from usod.evaluation.protocols import PROTOCOLS, Protocol

__all__ = ["MEASURES", "PROTOCOLS", "Benchmark", "Protocol", "evaluate", "score"]
