"""The report as one self-contained HTML page: it can be mailed, opened without a network, and printed."""

import base64
import io
import re
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from usod.data.mapstore import ImageStore, MapStore
from usod.errors import UsageError, UsodError
from usod.reporting.templates import render
from usod.reporting.thumbnails import mask_of, strip, thumbnail
from usod.settings.sections import Section

WIDE = 10
"""Tables with more columns are folded."""
_SHOWN = 320
"""Longest side of the first pictures: twice what they take on the screen, for screens that have twice the pixels."""


class Item(Section):
    """A picture (.svg, .png) or a text with tables (.md) of the report."""

    title: str = ""
    caption: str = ""
    file: str


class Chapter(Section):
    title: str
    items: list[Item] = Field(min_length=1)


class First(Section):
    """Some images with their masks, at the top: stores of images, maps and human masks; how many of the set."""

    images: str
    maps: str
    corrections: str | None = None
    count: int = Field(12, ge=1)


class Link(Section):
    text: str
    to: str


class Step(Section):
    """Something to do with the results: in words, as a command, with links to what it is about."""

    title: str
    text: str = ""
    command: str = ""
    links: list[Link] = Field([])


class Page(Section):
    """What the page holds, in its order."""

    title: str
    intro: str = ""
    first: First | None = None
    steps: list[Step] = Field([])
    chapters: list[Chapter]


def make_page(page: Page, binary: Callable[[NDArray], NDArray]) -> str:
    """The page as HTML, all pictures inside it.

    Parameters
    ----------
    binary : saliency (H, W) in [0, 1] -> mask (H, W) bool, of the first pictures

    Raises
    ------
    UsodError
        If a file cannot be read.
    UsageError
        If one is neither a picture nor Markdown.
    """
    filters = {"anchor": _anchor, "picture": _picture, "stem": _stem, "tables": _tables}
    return render("page", filters, page=page, shown=_first_pictures(page.first, binary) if page.first else [])


def _first_pictures(first: First, binary: Callable[[NDArray], NDArray]) -> list[dict[str, Any]]:
    """Name, image and mask (as addresses that hold them) and size of some images."""
    found = []
    with ImageStore(first.images) as images, MapStore(first.maps) as maps, ExitStack() as stack:
        human = stack.enter_context(MapStore(first.corrections)) if first.corrections else None
        maps.require(images.ids)
        for key in images.ids[:: max(1, len(images) // first.count)][: first.count]:
            height, width = map(int, images.original_size[images.ids.index(key)])
            pictures = {
                "image": _inside("webp", thumbnail(images[key], (height, width), _SHOWN)),
                "mask": _inside("webp", strip([mask_of(key, maps, binary, human)], (height, width), _SHOWN)),
            }
            found.append({"name": key, "width": width, "height": height, **pictures})
    return found


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UsodError(f"{file}: cannot be read for the report ({error})") from error


def _tables(file: str) -> str:
    """Markdown as HTML; a wide table is folded under its title, and scrolls by itself where it must."""
    try:
        text = _read(file).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsodError(f"{file}: cannot be read for the report ({error})") from error
    text = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return re.sub(
        r"(?:<p><strong>([^<]*)</strong></p>\s*)?(<table>.*?</table>)(\s*<p>(?!<strong>).*?</p>)?",
        _table,
        text,
        flags=re.DOTALL,
    )


def _table(found: re.Match[str]) -> str:
    """A table with its title above and its note below, as `typeset.markdown` writes them."""
    title, table, note = (part or "" for part in found.groups())
    columns = table.partition("</thead>")[0].count("<th") - 1  # one is <thead>
    body = f'<div class="scroll">{table}</div>{note}'
    if columns <= WIDE:
        return f"<p><strong>{title}</strong></p>{body}" if title else body
    return f"<details><summary>{title or f'Table of {columns} columns'}</summary>{body}</details>"


def _picture(file: str) -> dict[str, Any]:
    """Attributes of an img that holds the picture.

    An SVG stays one: sharp at any size and in print, and as a picture of its own its ids cannot clash with others'. A
    PNG becomes WebP, a tenth of the size, and is shown at the size it was drawn for.
    """
    if file.endswith(".svg"):
        return {"src": _inside("svg+xml", _read(file))}
    if not file.endswith(".png"):
        raise UsageError(f"{file}: a report holds .svg, .png and .md")
    try:
        with Image.open(io.BytesIO(_read(file))) as picture:
            dpi = float(picture.info.get("dpi", (96,))[0])
            content = io.BytesIO()
            picture.convert("RGB").save(content, "webp", quality=85)
            return {"width": round(picture.width * 96 / dpi), "src": _inside("webp", content.getvalue())}
    except OSError as error:
        raise UsodError(f"{file}: cannot be read for the report ({error})") from error


def _inside(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _stem(file: str) -> str:
    return Path(file).stem


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def parse_page(values: Any) -> Page:
    """A checked `Page`.

    Raises
    ------
    UsageError
        One line that names the wrong keys.
    """
    from pydantic import ValidationError

    from usod.settings.sections import explain

    try:
        return Page.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"--plan: {explain(error)}") from error
