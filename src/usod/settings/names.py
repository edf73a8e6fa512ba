"""Names: of data sets and methods, which are parts of paths and of the names of systems; of scoring protocols."""

import hashlib
import re
import unicodedata
from collections.abc import Collection
from typing import Literal

PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.]*(-[A-Za-z0-9_.]+)*$"
RULE = "take letters (a-z), digits, '.', '_' and single '-', no blanks, a letter or digit first"
"""What PATTERN asks for, in words."""
RESERVED = ("data", "export", "labels", "logs", "masks", "predictions", "report", "scores", "timings", "weights")
"""Folders of `results` that are no data sets."""
LabelFormat = Literal["coco", "yolo", "label-studio", "cvat", "cvat-masks", "voc", "fiftyone"]
"""Formats of other tools: the modules of `usod.labels.formats`."""
ProtocolName = Literal["own", "deepusps", "a2s", "ldps", "wss", "selfmask", "csnet"]
"""How maps are scored: the keys of `usod.evaluation.protocols.PROTOCOLS`."""
F_OF_PROTOCOL: dict[ProtocolName, str] = {
    **dict.fromkeys(("own", "a2s", "ldps", "wss"), "f_adaptive"),
    **dict.fromkeys(("deepusps", "csnet"), "f_fixed"),
    "selfmask": "f_max",
}
"""Which of the scores of single images (`usod.evaluation.MEASURES`) is the most like a protocol's F."""
LONGEST = 60
"""The name is a part of names of files, which have 255 bytes."""
_SPELT = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "Æ": "Ae", "Œ": "Oe", "Ø": "O", "Ł": "L"})


def usable_name(text: str, taken: Collection[str] = RESERVED) -> str:
    """A name of PATTERN that is readable as `text` and none of `taken`: `Urlaub Köln` gives `Urlaub-Koln`.

    A digest of `text` follows where more was lost than blanks and accents, so that `a,b` and `a#b`, or two folders with
    Japanese names, have names of their own, and where the name is taken or too long.
    """
    whole = unicodedata.normalize("NFC", text)
    decomposed = unicodedata.normalize("NFKD", whole.translate(_SPELT))
    letters = "".join(character for character in decomposed if not unicodedata.combining(character))
    name = re.sub(r"[^A-Za-z0-9_.]+", "-", letters).lstrip("-._").rstrip("-.") or "images"
    # Replaced blanks need no digest: folders whose names differ in nothing else are rare.
    lost = name != re.sub(r"\s+", "-", letters.strip())
    if lost or name.casefold() in taken or len(name) > LONGEST or not re.search("[A-Za-z0-9]", letters):
        digest = hashlib.sha256(whole.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        name = f"{name[:LONGEST].rstrip('-.')}-{digest}"
    return name
