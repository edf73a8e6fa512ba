"""The report as one self-contained HTML page: it can be mailed, opened without a network, and printed."""

import base64
import io
import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markdown_it import MarkdownIt
from PIL import Image
from pydantic import Field

from usod.errors import UsageError, UsodError
from usod.settings.sections import Section

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, "Helvetica Neue", Arial, sans-serif; color: #1a1a1a; max-width: 66rem;
  margin: 0 auto; padding: 1rem 1.5rem 4rem; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 1.5rem 0 .5rem; }
h2 { font-size: 1.35rem; margin: 3rem 0 .5rem; padding-top: .6rem; border-top: 2px solid #0072B2; }
h3 { font-size: 1.05rem; margin: 2rem 0 .3rem; }
nav ul { columns: 14rem; list-style: none; padding: 0; margin: 1rem 0; }
nav a { color: #00558a; }
figure { margin: .5rem 0 1.5rem; }
img { max-width: 100%; height: auto; }
p.caption, figcaption { color: #444; font-size: .92rem; max-width: 46rem; margin: .3rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .8rem; font-variant-numeric: tabular-nums; margin: .6rem 0; }
th, td { padding: .2rem .4rem; border-bottom: 1px solid #ddd; vertical-align: top; }
thead th { border-bottom: 2px solid #444; text-align: left; vertical-align: bottom; }
td { white-space: nowrap; }
td:first-child { white-space: normal; }
tbody tr:hover { background: #f3f7fa; }
pre { font-size: .8rem; background: #f6f6f6; padding: .8rem; overflow-x: auto; }
@page { margin: 16mm; }
@media print {
  body { font-size: 10pt; max-width: none; padding: 0; }
  nav { display: none; }
  h2 { break-before: page; }
  h2:first-of-type { break-before: auto; }
  h3 { break-after: avoid; }
  figure, tr { break-inside: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 6.5pt; }
  th, td { padding: 1pt 2.5pt; }
  img { max-height: 195mm; width: auto; }
  pre { white-space: pre-wrap; columns: 3; font-size: 6pt; }
}
"""


_TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ page.title }}</title>
<style>{{ style | safe }}</style>
</head>
<body>
<h1>{{ page.title }}</h1>
<p>{{ page.intro }}</p>
<nav><ul>
{% for chapter in page.chapters %}
<li><a href="#{{ chapter.title | anchor }}">{{ chapter.title }}</a></li>
{% endfor %}
</ul></nav>
{% for chapter in page.chapters %}
<h2 id="{{ chapter.title | anchor }}">{{ chapter.title }}</h2>
{% for item in chapter["items"] %}
{% if item.title %}
<h3>{{ item.title }}</h3>
{% endif %}
{% if item.file.endswith(".md") %}
<p class="caption">{{ item.caption }}</p>
{{ item.file | tables | safe }}
{% else %}
<figure>
<img{{ item.file | picture | xmlattr }} alt="{{ item.title or item.file | stem }}">
<figcaption>{{ item.caption }}</figcaption>
</figure>
{% endif %}
{% endfor %}
{% endfor %}
</body>
</html>
"""


class Item(Section):
    """A picture (.svg, .png) or a text with tables (.md) of the report."""

    title: str = ""
    caption: str = ""
    file: str


class Chapter(Section):
    title: str
    items: list[Item] = Field(min_length=1)


class Page(Section):
    """What the page holds, in its order."""

    title: str
    intro: str = ""
    chapters: list[Chapter]


def make_page(page: Page) -> str:
    """The page as HTML, all pictures inside it.

    Raises
    ------
    UsodError
        If a file cannot be read.
    UsageError
        If one is neither a picture nor Markdown.
    """
    environment = Environment(autoescape=True, trim_blocks=True, keep_trailing_newline=True, undefined=StrictUndefined)
    environment.filters |= {"anchor": _anchor, "picture": _picture, "stem": _stem, "tables": _tables}
    return environment.from_string(_TEMPLATE).render(page=page, style=_STYLE)


def _read(file: str) -> bytes:
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UsodError(f"{file}: cannot be read for the report ({error})") from error


def _tables(file: str) -> str:
    """Markdown as HTML; a wide table scrolls by itself."""
    try:
        text = _read(file).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsodError(f"{file}: cannot be read for the report ({error})") from error
    text = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return text.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")


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
