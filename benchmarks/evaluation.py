"""Images a second of the evaluation against PySODMetrics 1.6.2, all measures that both have, on one thread.

    python benchmarks/evaluation.py [--images N]

The ratio is PySODMetrics' time over ours.
"""

import argparse
import sys

import numpy as np
from py_sod_metrics import MAE, Emeasure, Fmeasure, Smeasure, WeightedFmeasure
from timing import best_of

from usod.evaluation.benchmark import Benchmark


def pairs(count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Noisy discs of 300x400: uint8 maps and boolean masks."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:300, :400]
    made = []
    for _ in range(count):
        distance = np.hypot(y - rng.uniform(80, 220), x - rng.uniform(100, 300))
        radius = rng.uniform(30, 80)
        noisy = 255 / (1 + np.exp((distance - radius) / 8)) + rng.normal(0, 20, distance.shape)
        made.append((noisy.clip(0, 255).astype(np.uint8), distance < radius))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    data = pairs(arguments.images)

    def ours() -> None:
        benchmark = Benchmark(normalize=True)
        for prediction, mask in data:
            benchmark.step(prediction, mask)
        benchmark.results()

    def theirs() -> None:
        measures = [MAE(), Fmeasure(), WeightedFmeasure(), Smeasure(), Emeasure()]
        for prediction, mask in data:
            for measure in measures:
                measure.step(pred=prediction, gt=mask.astype(np.uint8) * 255)
        for measure in measures:
            measure.get_results()

    ours_s, theirs_s = best_of([ours, theirs], arguments.repeats)
    rates = [len(data) / seconds for seconds in (ours_s, theirs_s)]
    sys.stdout.write(
        f"evaluation at 300x400: {rates[0]:.1f} images/s, PySODMetrics {rates[1]:.1f} images/s, "
        f"{theirs_s / ours_s:.2f} x faster\n"
    )


if __name__ == "__main__":
    main()
