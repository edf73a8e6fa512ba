"""Images a second of the evaluation against PySODMetrics 1.6.2, all measures that both have.

    python benchmarks/evaluation.py [--images N]

The ratio is PySODMetrics' time, which has one thread, over ours, on one thread and on all cores (`usod evaluate`).
"""

import argparse

import numpy as np
from timing import best_of, judge, lacking

from usod.data.parallel import threaded_map
from usod.devices import cpu_cores
from usod.evaluation.benchmark import Benchmark

try:
    import py_sod_metrics as psm
except ImportError:
    psm = None


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

    if psm is None:
        lacking("evaluation against PySODMetrics", "pysodmetrics")
        return

    def ours(threads: int) -> None:
        benchmark = Benchmark(normalize=True)
        measured = threaded_map(lambda pair: benchmark.measure("", *pair), data, threads)
        for number, scores in enumerate(measured):
            benchmark.add(str(number), *scores)
        benchmark.results()

    def theirs() -> None:
        kinds = {"with_dynamic": True, "with_adaptive": True}
        f = psm.FmeasureV2(
            {
                "f": psm.FmeasureHandler(**kinds, with_binary=True, beta=0.3),
                "precision": psm.PrecisionHandler(**kinds),
                "recall": psm.RecallHandler(**kinds),
            }
        )
        found = [psm.MAE(), f, psm.WeightedFmeasure(), psm.Smeasure(), psm.Emeasure()]
        for prediction, mask in data:
            for measure in found:
                measure.step(pred=prediction, gt=mask.astype(np.uint8) * 255)
        for measure in found:
            measure.get_results()

    cores = cpu_cores()
    ours(1)  # Numba compiles
    one, many, peer = best_of([lambda: ours(1), lambda: ours(cores), theirs], arguments.repeats)
    for threads, seconds in ((1, one), (cores, many)):
        rates = f"{len(data) / seconds:.0f} images/s, PySODMetrics {len(data) / peer:.0f}"
        what = f"evaluation, all measures, 300x400, {threads} thread{'s' * (threads > 1)}, PySODMetrics' time over ours"
        judge(what, peer / seconds, "x", least=5, beside=rates)


if __name__ == "__main__":
    main()
