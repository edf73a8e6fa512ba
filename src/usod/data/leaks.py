"""Images that two data sets share: equal files, and copies that were scaled, compressed, greyed or slightly cropped.

A perceptual hash finds the candidates, thumbnails of these decide: flat pictures, such as a plane in the sky, have
nearly equal hashes without being alike. On SOD, SED2, half of PASCAL-S and 1000 images of MSRA the limits find the
three pairs that people take for one photograph, whose thumbnails correlate by .86 and more, and none beside (.75 at
most).
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from usod.data.images import thumbnail
from usod.data.index import DHASH
from usod.data.parallel import READERS, read_all
from usod.errors import UsodError

BITS = 20
"""Of 128, in which the hashes of a pair may differ; copies at another size or quality differ in 7 at most."""
CORRELATION = 0.8
"""Of 32x32 grey thumbnails, which a pair has at least."""
COLUMNS = ("a", "b", "how", "bits", "correlation")


def find_leaks(a: pd.DataFrame, b: pd.DataFrame, workers: int = READERS) -> pd.DataFrame:
    """The pairs of an image of `a` and an image of `b` that are one photograph, mirrored ones apart.

    Parameters
    ----------
    a, b : of `usod.data.index.read_index`
    workers : threads that read candidates

    Returns
    -------
    a, b (ids), how (`equal`: the same bytes, or `alike`), bits in which the hashes differ, correlation of thumbnails
    (1 for equal files), in order of a's rows

    Raises
    ------
    UsodError
        If a table is of an older usod, or a candidate cannot be read.
    """
    for table in (a, b):
        # Of sets that were joined one part can lack it.
        if DHASH not in table or not table[DHASH].str.fullmatch("[0-9a-f]{32}").all():
            raise UsodError("an index without the column dhash is of an older usod; make it with `usod data index`")
    pairs = list(_candidates(a, b))
    one, other = a[["id", "image", "sha256"]].to_numpy(str), b[["id", "image", "sha256"]].to_numpy(str)
    paths = sorted({one[i, 1] for i, _, _ in pairs} | {other[j, 1] for _, j, _ in pairs})
    normal = dict(zip(paths, read_all(_normal, paths, "comparing", False, workers), strict=True))
    rows = []
    for i, j, bits in pairs:
        (id_a, file_a, digest_a), (id_b, file_b, digest_b) = one[i], other[j]
        equal = digest_a == digest_b
        correlation = 1.0 if equal else float((normal[file_a] * normal[file_b]).sum())
        if correlation >= CORRELATION:
            rows.append((id_a, id_b, "equal" if equal else "alike", bits, correlation))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def read_leaks(path: str | Path) -> pd.DataFrame:
    """A table of `usod data leaks`. Raises UsodError where it is none."""
    try:
        return pd.read_csv(path, dtype={"a": str, "b": str}, keep_default_na=False, encoding="utf-8")[list(COLUMNS)]
    except (OSError, ValueError, KeyError) as error:
        raise UsodError(f"{path}: not a table of `usod data leaks` ({' '.join(str(error).split())})") from error


def leaked(leaks: pd.DataFrame, a: str, b: str) -> str:
    """One sentence on the pairs that `find_leaks` gave for data sets of these names; empty where there are none."""
    if leaks.empty:
        return ""
    count, equal = leaks["b"].nunique(), leaks.loc[leaks["how"] == "equal", "b"].nunique()
    looks = f"1 image of {b} looks" if count == 1 else f"{count} images of {b} look"
    return f"{looks} like images of {a}{f', {equal} of them the same file' if equal else ''}."


def _candidates(a: pd.DataFrame, b: pd.DataFrame, rows: int = 256) -> Iterator[tuple[int, int, int]]:
    """(row of a, row of b, bits) of the pairs whose hashes differ in BITS at most."""
    one, other = _words(a), _words(b)
    for start in range(0, len(one), rows):
        differ = one[start : start + rows, None] ^ other[None]
        bits = np.bitwise_count(differ).sum(-1, dtype=np.uint16)
        for i, j in zip(*np.nonzero(bits <= BITS), strict=True):
            yield start + int(i), int(j), int(bits[i, j])


def _words(table: pd.DataFrame) -> np.ndarray:
    """The hashes as (N, 2) uint64."""
    return np.frombuffer(bytes.fromhex("".join(table[DHASH])), np.uint64).reshape(-1, 2)


def _normal(path: str) -> np.ndarray:
    """A thumbnail, (32, 32) float32 of mean 0 and norm 1; of one colour all 0."""
    grey = thumbnail(path, 32).astype(np.float32)
    grey -= grey.mean()
    return grey / max(float(np.linalg.norm(grey)), 1e-6)
