"""The result tables of the papers, as they print them, in fractions of 1.

The files in `published/` are one row per number, with the columns `COLUMNS`. `protocol` says how it was measured: a
key of `usod.evaluation.protocols.PROTOCOLS`, or "unknown". Numbers of different protocols must not be compared: on the
same maps they differ by more than most papers claim to improve.
"""

from functools import cache
from importlib import resources

import pandas as pd

from usod.errors import UsageError

COLUMNS = (
    "source",
    "table",
    "method",
    "group",
    "dataset",
    "measure",
    "value",
    "std",
    "protocol",
    "pretraining_labels",
)

TABLES = {
    "deepusps_table1": "DeepUSPS, Table 1. Its own row: F at the fixed threshold 0.5, mean over images, maps and masks "
    "at 432x432, after the dense CRF; mean and standard deviation of three runs. The other rows are quoted from other "
    "papers, F unknown.",
    "deepusps_table3": "DeepUSPS, Table 3 (with the ResNet-101 row of Table 2, which it lacks): F as in its own row of "
    "Table 1. The deviations that it prints for 'train on GT' are those of the 'DeepUSPS' row, digit by digit.",
    "a2s_table1": "A2S, Table I: inter-class variance of activation maps at a threshold. The median's number cannot be "
    "read in our copy of the paper.",
    "a2s_table2": "A2S, Table II. The paper says F averaged over the thresholds 0..255; the released code averages "
    "over images the F at the adaptive threshold, min(2 mean, 1), of min-max normalised maps. The rows it quotes: "
    "DeepUSPS (its ResNet-101 row) at the fixed threshold 0.5, MC and MNL unknown.",
    "a2s_table4": "A2S, Table IV: variants of stage 1, pseudo-labels of the training images; F as in Table II.",
    "a2s_table5": "A2S, Table V: alpha of L_adb, pseudo-labels of the training images; F as in Table II.",
    "a2s_table7": "A2S, Table VII: the detector and its attention, with and without rectifying; F as in Table II.",
    "a2s_table8": "A2S, Table VIII: DeepUSPS's historical moving average against online rectifying; F as in Table II. "
    "`hours` is the time of training, the same on both data sets.",
    "a2s_successors": "A2S-v3 (RGB alone, and with depth and thermal images), A2S-v2 (trained on DUTS-TR, and on "
    "MSRA-B) and STC, MoCo v2's ResNet-50: F and E at the adaptive threshold. A2S-v2's are those of its best epoch. "
    "The quoted row of A2S is in its own Table II the one with a supervised backbone.",
    "csnet": "Others, as CSNet measured them: F at the fixed threshold 0.5. CSNet: DINO ResNet-50; FOUND: DINO "
    "ViT-S/8; TokenCut: DINO ViT-S/16; UMNet starts from a DRN that Cityscapes' labels have trained.",
    "ldps_table1": "LDPS, Table 1: F at the adaptive threshold 2 mean, in the paper and in the code.",
    "ldps_table2": "LDPS, Table 2: VGG-16, beside LPS (Zeng et al. 2018), which was trained on masks; F as in Table 1.",
    "ldps_table3": "LDPS, Table 3: dense CRF and the network trained on each image alone; F as in Table 1. Its caption "
    "says Pascal-S, its rows ECSSD and HKU-IS.",
    "ldps_table4": "LDPS, Table 4: theta_fg when refining SRM's maps; F as in Table 1.",
    "ldps_table5": "LDPS, Table 5: theta_afg and theta_abg when training, SRM's maps; F as in Table 1.",
    "wss_table1": "WSS, Table 1. The paper does not say; its wCtr row equals that of LDPS, so the adaptive threshold.",
}
"""Key of a table -> where it stands and how its rows were measured."""


def published(dataset: str | None = None, table: str | None = None) -> pd.DataFrame:
    """The published numbers, in the papers' order, as a frame with the columns `COLUMNS`.

    Parameters
    ----------
    dataset : only this data set: MSRA-B, ECSSD, DUT-OMRON, SED2, PASCAL-S, DUTS-TE, HKU-IS, THUR15K, MSRA-B-train (its
        training images) or SED (WSS's own
        name, which may mean SED1 and SED2 together); another name gives an empty frame
    table : only this table, a key of `TABLES`

    Returns
    -------
    `value` and `std` (NaN where none is printed) are fractions; `measure` is "f", "mae", "e" (a2s_successors),
    or in A2S's Tables I and VIII "variance" and "hours"; `pretraining_labels` names
    the human labels that went into a method, weights of its backbone included.

    Raises
    ------
    UsageError
        If `table` is not a key of `TABLES`.
    """
    if table is not None and table not in TABLES:
        raise UsageError(f"no published table {table!r}; there are {', '.join(TABLES)}")
    frame = pd.concat([_read(key) for key in TABLES if table in (None, key)], ignore_index=True)
    return frame if dataset is None else frame[frame["dataset"] == dataset].reset_index(drop=True)


@cache
def _read(key: str) -> pd.DataFrame:
    file = resources.files(__package__).joinpath("published", f"{key}.csv")
    # "none" and the like are words here; only an empty std is a missing value.
    frame = pd.read_csv(file.open(encoding="utf-8"), keep_default_na=False, na_values={"std": [""]})
    return frame.loc[:, list(COLUMNS)]
