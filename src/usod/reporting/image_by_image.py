"""Two systems' scores of the same images."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from usod.data.listed import read_rows
from usod.errors import UsageError, UsodError


def read_both(first: Path, second: Path, measures: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Measure -> columns `first` and `second`, a row per image that both have scored.

    Parameters
    ----------
    first, second : scores per image (`usod evaluate --per-image`)

    Raises
    ------
    UsageError
        If a file lacks a measure.
    UsodError
        If they have no image in common.
    """
    frames = [read_rows(path) for path in (first, second)]
    for path, frame in zip((first, second), frames, strict=True):
        if missing := [measure for measure in measures if measure not in frame]:
            raise UsageError(f"--measure {missing[0]}: not in {path}")
    names = ("first", "second")
    found = {measure: pd.concat([frame[measure] for frame in frames], axis=1, keys=names) for measure in measures}
    if not set(frames[0].index) & set(frames[1].index):
        raise UsodError(f"{second}: no image in common with {first}")
    return {measure: both.dropna() for measure, both in found.items()}


def extremes(errors: pd.DataFrame, count: int) -> dict[str, list[str]]:
    """Which images tell most about two systems (DeepUSPS, Figure 5).

    Parameters
    ----------
    errors : columns `first` and `second`, an error of each image; larger is worse
    count : of the images of each kind

    Returns
    -------
    ids, the clearest case first: `both` fail (the smaller error is large), the `first` is better, the `second` is
    better. An image that is in an earlier list is in none of the later ones
    """
    gain = errors["second"] - errors["first"]
    kinds = {"both": errors.min(axis=1), "first": gain[gain > 0], "second": -gain[gain < 0]}
    found: dict[str, list[str]] = {}
    for kind, clear in kinds.items():
        left = clear.drop([key for keys in found.values() for key in keys], errors="ignore")
        found[kind] = list(left.sort_values(ascending=False, kind="stable").index[:count])
    return found
