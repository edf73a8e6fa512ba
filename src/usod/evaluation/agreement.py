"""Which images to look at without ground truth: methods differ on them, or their labels change between stages."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from usod.data.images import resize_map
from usod.emptiness import nothing_in_map, nothing_where_none_agree, soft_iou
from usod.errors import UsageError
from usod.files import atomic_path

Maps = Mapping[str, NDArray]


def agreement(labels: Maps, before: Maps, learnt: Maps | None = None) -> dict[str, float]:
    """How sure the labels of one image are.

    Parameters
    ----------
    labels : method -> its label (H, W) in [0, 1]
    before : method -> the label of the stage before; those that are not in `labels` are ignored
    learnt : system -> what a network that learnt from them says (H, W), for `nothing` only

    Returns
    -------
    agreement : mean over the pairs of methods of the soft intersection over union, sum min(a, b) / sum max(a, b), in
        [0, 1]; two empty labels agree; NaN for a single method
    difference : mean over the pairs of the mean absolute difference
    movement : mean over the methods of the mean absolute difference to the stage before; NaN without one
    undecided : share of pixels whose mean label is within 0.25 of 0.5
    salient : mean of all labels
    nothing : in [0, 1], how likely it is that nothing is salient (`usod.emptiness`): by the agreement of all labels and
        `learnt` maps; by the map where there is only one
    """
    pairs = [(labels[a], labels[b]) for a, b in combinations(labels, 2)]
    moved = [np.abs(labels[name] - old).mean() for name, old in before.items() if name in labels]
    mean = np.mean(list(labels.values()), axis=0)
    return {
        "agreement": float(np.mean([soft_iou(a, b) for a, b in pairs])) if pairs else float("nan"),
        "difference": float(np.mean([np.abs(a - b).mean() for a, b in pairs])) if pairs else float("nan"),
        "movement": float(np.mean(moved)) if moved else float("nan"),
        "undecided": float((np.abs(mean - 0.5) < 0.25).mean()),
        "salient": float(mean.mean()),
        "nothing": _nothing(labels, learnt or {}),
    }


def _nothing(labels: Maps, learnt: Maps) -> float:
    final = np.mean(list((learnt or labels).values()), axis=0)
    maps = [*labels.values(), *learnt.values()]
    if len(maps) == 1:
        return nothing_in_map(final)
    if not any(saliency.any() for saliency in maps):  # they agree, on nothing
        return 1.0
    return nothing_where_none_agree(maps, final)


def ranked(rows: Sequence[Mapping[str, object]], corrected: Collection[str] | None = None) -> pd.DataFrame:
    """The rows of `agreement` with their `id`, the most doubtful image first.

    `doubt` is 1 - agreement, or the movement where there is one method only; `rank` counts from 1. Images of equal
    doubt are ordered by movement, then by id. Images in `corrected` have human masks already: they come last, and
    the column `corrected` is true for them.
    """
    table = pd.DataFrame(rows)
    table["corrected"] = table["id"].isin(list(corrected or ()))
    table["doubt"] = (1 - table["agreement"]).fillna(table["movement"])
    order = ["corrected", "doubt", "movement", "id"]
    table = table.sort_values(order, ascending=[True, False, False, True], ignore_index=True)
    table = table if corrected is not None else table.drop(columns="corrected")
    table.insert(0, "rank", np.arange(1, len(table) + 1))
    return table


def write_arrays(folder: Path, images: Iterator[Maps], ids: Sequence[str], given: str, side: int) -> None:
    """Arrays that cleanlab's segmentation scores take: does a method's label fit what the others say?

    `labels.npy` (N, side, side) uint8 holds 1 where `given` is above 0.5; `pred_probs.npy` (N, 2, side, side) float32
    the probabilities of background and salient, the mean of the other methods; `ids.txt` the images in their order.
    They are written image by image: the whole need not fit into memory.

    Raises
    ------
    UsageError
        If there is no method beside `given`.
    """
    shape = (len(ids), side, side)
    with atomic_path(folder / "labels.npy") as first, atomic_path(folder / "pred_probs.npy") as second:
        labels = np.lib.format.open_memmap(first, "w+", np.uint8, shape)
        probabilities = np.lib.format.open_memmap(second, "w+", np.float32, (len(ids), 2, side, side))
        for number, maps in enumerate(images):
            others = [saliency for name, saliency in maps.items() if name != given]
            if given not in maps or not others:
                raise UsageError(f"--given {given}: one of {', '.join(maps)}, and another beside it, is needed")
            labels[number] = resize_map(maps[given], (side, side)) > 0.5
            salient = resize_map(np.mean(others, axis=0), (side, side))
            probabilities[number] = np.stack([1 - salient, salient])
        for array in (labels, probabilities):
            array.flush()
    (folder / "ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
