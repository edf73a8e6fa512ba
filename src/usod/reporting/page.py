"""The report as one self-contained HTML page: it can be mailed, opened without a network, and printed."""

import base64
import html
import io
import re
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from PIL import Image
from pydantic import Field

from usod.errors import UsageError, UsodError
from usod.sections import Section

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


class Item(Section):
    """A picture (.svg, .png) or a text with tables (.md) of the report."""

    title: str = ""
    caption: str = ""
    file: str


class Chapter(Section):
    title: str
    items: list[Item] = Field(min_length=1)


class Plan(Section):
    """What the page holds, in its order."""

    title: str
    intro: str = ""
    chapters: list[Chapter]


def make_page(plan: Plan) -> str:
    """The page, all pictures inside it.

    Raises
    ------
    UsodError
        If a file cannot be read.
    UsageError
        If one is neither a picture nor Markdown.
    """
    chapters = [chapter for chapter in plan.chapters if chapter.items]
    links = "".join(f'<li><a href="#{_anchor(c.title)}">{html.escape(c.title)}</a></li>' for c in chapters)
    body = [f"<h1>{html.escape(plan.title)}</h1>", f"<p>{html.escape(plan.intro)}</p>", f"<nav><ul>{links}</ul></nav>"]
    for chapter in chapters:
        body.append(f'<h2 id="{_anchor(chapter.title)}">{html.escape(chapter.title)}</h2>')
        body += [_item(item) for item in chapter.items]
    head = ['<meta charset="utf-8">', '<meta name="viewport" content="width=device-width, initial-scale=1">']
    head += [f"<title>{html.escape(plan.title)}</title>", f"<style>{_STYLE}</style>"]
    lines = ["<!doctype html>", '<html lang="en">', "<head>", *head, "</head>", "<body>", *body, "</body>", "</html>"]
    return "\n".join(lines) + "\n"


def _item(item: Item) -> str:
    path = Path(item.file)
    title = f"<h3>{html.escape(item.title)}</h3>\n" if item.title else ""
    caption = html.escape(" ".join(item.caption.split()))
    try:
        if path.suffix == ".md":
            text = MarkdownIt("commonmark", {"html": False}).enable("table").render(path.read_text(encoding="utf-8"))
            # Without the sign that only tells a column of numbers; a wide table scrolls by itself.
            text = text.replace("<table>", '<div class="scroll"><table>').replace("</table>", "</table></div>")
            return f'{title}<p class="caption">{caption}</p>\n{text}'
        if path.suffix not in (".svg", ".png"):
            raise UsageError(f"{path}: a report holds .svg, .png and .md")
        picture = _vector(path) if path.suffix == ".svg" else _pixels(path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsodError(f"{path}: cannot be read for the report ({error})") from error
    picture = f'<img {picture} alt="{html.escape(item.title or path.stem)}">'
    return f"{title}<figure>{picture}<figcaption>{caption}</figcaption></figure>"


def _vector(path: Path) -> str:
    """An SVG stays one: sharp at any size and in print. As a picture of its own its ids cannot clash with others'."""
    return f'src="data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode("ascii")}"'


def _pixels(path: Path) -> str:
    """A PNG as WebP, a tenth of the size, shown at the size it was drawn for."""
    with Image.open(path) as picture:
        dpi = float(picture.info.get("dpi", (96,))[0])
        content = io.BytesIO()
        picture.convert("RGB").save(content, "webp", quality=85)
        width = round(picture.width * 96 / dpi)
    return f'width="{width}" src="data:image/webp;base64,{base64.b64encode(content.getvalue()).decode("ascii")}"'


def _anchor(title: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")


def parse_plan(values: Any) -> Plan:
    """A checked Plan.

    Raises
    ------
    UsageError
        One line that names the wrong keys.
    """
    from pydantic import ValidationError

    from usod.sections import explain

    try:
        return Plan.model_validate(values)
    except ValidationError as error:
        raise UsageError(f"--plan: {explain(error)}") from error
