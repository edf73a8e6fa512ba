"""Tables with a row for each image, its id in the column `id`, as other verbs, spreadsheets and people write them."""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from usod.errors import UsodError


def read_rows(path: Path) -> pd.DataFrame:
    """A CSV file with a column `id`, which becomes the table's index.

    Raises
    ------
    UsodError
        If it cannot be read or has no such column.
    """
    try:
        table = pd.read_csv(path, encoding="utf-8-sig")
        # Once more as text: an image may be called NA or 007. In the other columns pandas' words are missing numbers.
        ids = pd.read_csv(path, usecols=["id"], dtype=str, keep_default_na=False, encoding="utf-8-sig")["id"]
        return table.drop(columns="id").set_index(pd.Index(ids, name="id"))
    except (OSError, ValueError, KeyError) as error:
        raise UsodError(f"{path}: not a table with a column id ({' '.join(str(error).split())})") from error


def listed(path: Path, known: Iterable[str], count: int | None = None) -> list[str]:
    """The first `count` ids of such a table, or all, in its order and each once.

    Raises
    ------
    UsodError
        If it cannot be read, is empty, or names an id that is not `known`.
    """
    ids = list(dict.fromkeys(read_rows(path).index))[:count]
    if not ids:
        raise UsodError(f"{path}: lists no image")
    there = set(known)
    if missing := [key for key in ids if key not in there]:
        raise UsodError(f"{path}: lists {len(missing)} images of which there is no map here, e.g. {missing[0]}")
    return ids
