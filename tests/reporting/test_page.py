import html.parser

import numpy as np
import pytest
from PIL import Image

from usod.errors import UsageError, UsodError
from usod.reporting.page import make_page, parse_page


class Tags(html.parser.HTMLParser):
    """What a browser would load and show."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.links, self.anchors, self.cells = [], [], [], []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.inside = tag
        self.sources += [given["src"]] if "src" in given else []
        self.links += [given["href"]] if "href" in given else []
        self.anchors += [given["id"]] if "id" in given else []

    def handle_data(self, data):
        self.cells += [data.strip()] if self.inside in ("td", "th") and data.strip() else []


@pytest.fixture
def files(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"></svg>')
    (tmp_path / "c.md").write_text("| System | F ↑ |\n| --- | ---: |\n| <script>x | 90.31 |\n")
    return tmp_path


def plan(*items):
    return parse_page({"title": "T & t", "chapters": [{"title": "Scores", "items": [{"file": str(i)} for i in items]}]})


def test_the_page_holds_everything_and_loads_nothing(files):
    text = make_page(plan(files / "a.png", files / "b.svg", files / "c.md"))
    tags = Tags(text)
    assert len(tags.sources) == 2 and all(source.startswith("data:image/") for source in tags.sources)
    assert tags.links == ["#scores"] and tags.anchors == ["scores"]
    assert tags.cells == ["System", "F ↑", "<script>x", "90.31"]
    assert "<script" not in text and "<title>T &amp; t</title>" in text


def test_a_picture_is_shown_at_the_size_it_was_drawn_for(files):
    Image.fromarray(np.zeros((6, 40), np.uint8)).save(files / "fine.png", dpi=(192, 192))
    assert 'width="20"' in make_page(plan(files / "fine.png")) and 'width="4"' in make_page(plan(files / "a.png"))


def test_what_is_missing_or_foreign_is_one_line(files):
    with pytest.raises(UsodError, match=r"none.png: cannot be read for the report"):
        make_page(plan(files / "none.png"))
    with pytest.raises(UsageError, match=r"d.txt: a report holds"):
        make_page(plan(files / "d.txt"))
    with pytest.raises(UsageError, match=r"--plan: chapters.0.items.0.path: unknown key"):
        parse_page({"title": "T", "chapters": [{"title": "S", "items": [{"file": "a.md", "path": "a.md"}]}]})
