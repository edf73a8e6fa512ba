"""Rights of images: licence and author, from a table or one text for all, so that they go where a network goes."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from usod.errors import UsageError, UsodError

UNKNOWN = "unknown"
_SHOWN = 8


def rights_of(source: str, ids: Sequence[str]) -> list[str]:
    """The rights of images, in their order; `unknown` of those that a table does not name.

    Parameters
    ----------
    source : a CSV file with the columns id and rights, the id being an image's or its file name where that is there
        once; any other text holds for all images

    Raises
    ------
    UsageError
        If the text is the name of a CSV file that does not exist.
    UsodError
        If the table cannot be read, or names an image that there is not, or one twice.
    """
    path = Path(source)
    if path.suffix.lower() != ".csv":
        return [source] * len(ids)
    if not path.is_file():
        raise UsageError(f"rights: no file {source}; give a CSV (id,rights), or the rights of all images in words")
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, usecols=["id", "rights"], encoding="utf-8")
    except (OSError, ValueError) as error:
        raise UsodError(f"{path}: no CSV table of id and rights ({' '.join(str(error).split())})") from error
    names = Counter(Path(key).name for key in ids)
    known = {Path(key).name: key for key in ids if names[Path(key).name] == 1} | {key: key for key in ids}
    found: dict[str, str] = {}
    for name, text in zip(table["id"], table["rights"], strict=True):
        key = known.get(name) or known.get(Path(name).with_suffix("").as_posix()) or known.get(Path(name).stem)
        if key is None:
            raise UsodError(f"{path}: names {name!r}, which is no image of the data set; its id or file name is wanted")
        if key in found:
            raise UsodError(f"{path}: names {name!r} twice; keep one line for each image")
        found[key] = text.strip() or UNKNOWN
    return [found.get(key, UNKNOWN) for key in ids]


def in_sum(rights: Iterable[str]) -> str:
    """How many images have which rights, the most frequent first: `200 CC-BY 4.0, 100 unknown`."""
    counts = Counter(rights).most_common()
    more = [f"{sum(count for _, count in counts[_SHOWN:])} others"] if len(counts) > _SHOWN else []
    between = "; " if any("," in text for text, _ in counts) else ", "
    return between.join([*(f"{count} {text}" for text, count in counts[:_SHOWN]), *more])
