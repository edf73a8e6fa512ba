"""Names of what is scored: `rbd`, `deepusps-seed0`, `raw-a2s-stage2@TABLE.ROW`."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Self

CRF, RAW = "crf", "raw"
"""Before the name of a system: its maps after the benchmark's dense CRF, a network's predictions without it."""


@dataclass(frozen=True)
class SystemName:
    """A method's maps or a part of a system, in some variant, perhaps with something done to its maps.

    Parameters
    ----------
    part : a method (`rbd`), or a part of a system (`rbd-iter1`, `deepusps-seed0`)
    variant : `TABLE.ROW`; "": the configuration itself
    post : what is done to its maps, the outermost first (`crf`)
    """

    part: str
    variant: str = ""
    post: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str, posts: Collection[str] = (CRF, RAW)) -> Self:
        """The name in a text or a path; `posts` are the words that may stand before a part."""
        name, _, variant = text.partition("@")
        found = []
        while (word := name.partition("-")[0]) in posts and "-" in name:
            found.append(word)
            name = name.partition("-")[2]
        return cls(name, variant, tuple(found))

    def __str__(self) -> str:
        return "-".join([*self.post, self.part]) + (f"@{self.variant}" if self.variant else "")

    def of(self, variant: str) -> Self:
        """The same of another variant."""
        return replace(self, variant=variant)

    @property
    def inner(self) -> Self:
        """What the outermost post-processing is done to."""
        return replace(self, post=self.post[1:])

    @property
    def folder(self) -> str:
        """What stands for the variant in a path: `variants/TABLE.ROW/`, or nothing."""
        return variant_folder(self.variant)


def variant_folder(variant: str) -> str:
    """`TABLE.ROW` -> `variants/TABLE.ROW/`; "" -> ""."""
    return f"variants/{variant}/" if variant else ""


def variant_in(folder: str) -> str:
    """`variants/TABLE.ROW/` -> `TABLE.ROW`; "" -> ""."""
    return folder.removeprefix("variants/").removesuffix("/")
