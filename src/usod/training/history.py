"""The history of a training: one CSV row per epoch."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from usod.files import atomic_path

COLUMNS = (
    "epoch",
    "loss",
    "lr",
    "seconds",
    "images_per_s",
    "seconds_data",
    "seconds_network",
    "seconds_crf",
    "seconds_average",
    "device_memory_mb",
)


def write_history(path: str | Path, rows: Sequence[dict[str, float]]) -> None:
    """Write the rows of `Trainer.fit` (none: the header alone), atomically."""
    with atomic_path(path) as temporary:
        pd.DataFrame(list(rows), columns=list(COLUMNS)).to_csv(temporary, index=False, float_format="%.6g")
