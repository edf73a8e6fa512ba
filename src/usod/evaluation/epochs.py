"""Scores of watched images after every epoch of a training (the curves of A2S, Fig. 9)."""

from collections import defaultdict

import pandas as pd

from usod.data.images import resize_map
from usod.data.mapstore import Maps
from usod.errors import UsodError
from usod.evaluation import measures
from usod.evaluation.benchmark import MaskTable


def evaluate_epochs(watched: Maps, masks: pd.DataFrame) -> pd.DataFrame:
    """MAE and adaptive F of every epoch, averaged over the images that were watched.

    Parameters
    ----------
    watched : maps whose ids are EPOCH/ID, as `usod a2s stage1 --out-watched` writes them
    masks : the table of `usod.data.index.read_masks`

    Returns
    -------
    One row per epoch, 0 is before training: `epoch`, `n`, `mae`, `f_adaptive` (fractions), at the masks' sizes

    Raises
    ------
    UsodError
        If an id names no epoch, or no watched image has a mask.
    """
    lookup = MaskTable(masks)
    scores: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for name in watched.ids:
        epoch, _, key = name.partition("/")
        if not epoch.isdigit():
            raise UsodError(f"{watched.path}: {name!r} is not EPOCH/ID; give the watched maps of a training")
        if key in lookup:
            mask = lookup[key]
            prediction = resize_map(watched[name], mask.shape).astype(float)
            f = measures.f_measure(*measures.adaptive_precision_recall(prediction, mask))
            scores[int(epoch)].append((measures.mae(prediction, mask), float(f)))
    if not scores:
        raise UsodError(f"{watched.path}: no watched image has a mask")
    rows = [(epoch, len(found), *pd.DataFrame(found).mean()) for epoch, found in sorted(scores.items())]
    return pd.DataFrame(rows, columns=["epoch", "n", "mae", "f_adaptive"])
