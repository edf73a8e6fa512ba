"""Votes of several label sets on what is salient in an image, without training.

Every label set is a mask, its vote. By `majority` a pixel's share is that of the votes for it; `weighted` counts each
vote by how much it agrees with the others in that image; `best` takes one vote as it is, as SelfMask does (Shin et al.,
CVPRW 2022). A pixel is salient where its share is more than half.
"""

from collections.abc import Callable, Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

Votes = NDArray[np.bool_]


def discretisation_threshold(maps: Iterable[np.ndarray], factor: float = 1.5, scope: str = "dataset") -> np.ndarray:
    """gamma = 1.5 mu (DeepUSPS, section 3.1), one per image: a map's vote is where it is above.

    Parameters
    ----------
    maps : (N, H, W) uint8, 0..255 = [0, 1]; they may come one by one
    factor : 1.5
    scope : "dataset": mu is the method's mean over all images, which is what the released code's constants are
        (MC .31, HS .36, DSR .23, RBD .25); "image": the mean of each map

    Returns
    -------
    (N,) float32 thresholds on the [0, 1] scale, below 1
    """
    means = np.array([m.mean() for m in maps], np.float64) / 255
    if scope == "dataset":
        means = np.full_like(means, means.mean())
    # A bright set could ask for more than 1: then nothing would be salient.
    return np.minimum(factor * means, 254.5 / 255).astype(np.float32)


def overlap(votes: Votes) -> NDArray[np.float64]:
    """Intersection over union of each two votes: (K, H, W) -> (K, K) in [0, 1]; two empty ones agree."""
    flat = votes.reshape(len(votes), -1).astype(np.float32)  # counts below 2^24 are exact
    common = (flat @ flat.T).astype(np.float64)
    sizes = np.diag(common)
    union = sizes[:, None] + sizes - common
    return np.divide(common, union, out=np.ones_like(common), where=union > 0)


def agreement(votes: Votes) -> NDArray[np.float64]:
    """How much each vote agrees with the others, as weights w_i of an image that sum to 1.

    w_i is proportional to a_i = 1 / (K - 1) sum_{j != i} IoU(v_i, v_j); where no two votes overlap, and for a single
    one, all weigh the same.

    Parameters
    ----------
    votes : (K, H, W), what each of K label sets calls salient

    Returns
    -------
    (K,)
    """
    agreed = overlap(votes).sum(1) - 1
    total = agreed.sum()
    return agreed / total if total > 0 else np.full(len(votes), 1 / len(votes))


def spanning(votes: Votes) -> NDArray[np.bool_]:
    """Which votes (K, H, W) touch both the top and the bottom of the frame, or both its left and its right: (K,)."""
    top_and_bottom = votes[:, 0].any(1) & votes[:, -1].any(1)
    return np.asarray(top_and_bottom | (votes[:, :, 0].any(1) & votes[:, :, -1].any(1)))


def majority(votes: Votes) -> NDArray[np.float32]:
    """The share of the votes (K, H, W) that call each pixel salient: (H, W) in [0, 1]."""
    return votes.mean(0, dtype=np.float32)


def weighted(votes: Votes) -> NDArray[np.float32]:
    """The mean of the votes (K, H, W), weighted by their `agreement`: (H, W) in [0, 1]."""
    return np.tensordot(agreement(votes), votes, 1).astype(np.float32)


def best(votes: Votes) -> NDArray[np.float32]:
    """SelfMask's choice: of the votes that do not span the frame the one with the largest sum of IoU to the rest.

    If all span it, it is chosen among all. Of equals, such as two votes always are, it is the first.

    Parameters
    ----------
    votes : (K, H, W)

    Returns
    -------
    (H, W), 0 or 1
    """
    span = spanning(votes)
    candidates = votes if span.all() else votes[~span]
    return candidates[np.argmax(overlap(candidates).sum(1))].astype(np.float32)


RULES: Mapping[str, Callable[[Votes], NDArray[np.float32]]] = {
    "majority": majority,
    "weighted": weighted,
    "best": best,
}
"""Votes (K, H, W) -> each pixel's share of them, (H, W) in [0, 1]."""


def fuse(votes: Votes, rule: str, soft: bool = False) -> NDArray[np.float32]:
    """The label of an image by one of `RULES`.

    Parameters
    ----------
    votes : (K, H, W), what each of K label sets calls salient
    rule : a key of `RULES`
    soft : keep the shares

    Returns
    -------
    (H, W): 1 where the share is more than half, else 0; or the share, in [0, 1]
    """
    share = RULES[rule](votes)
    return share if soft else (share > 0.5).astype(np.float32)
