import base64
import html.parser
import io

import numpy as np
import pytest
from PIL import Image

from usod.data.mapstore import write_images, write_maps
from usod.errors import UsageError, UsodError
from usod.reporting import page


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


def make_page(given):
    return page.make_page(given, lambda saliency: saliency > 0.5)


def plan(*items):
    return page.parse_page(
        {"title": "T & t", "chapters": [{"title": "Scores", "items": [{"file": str(i)} for i in items]}]}
    )


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
        page.parse_page({"title": "T", "chapters": [{"title": "S", "items": [{"file": "a.md", "path": "a.md"}]}]})


def table(columns):
    cells = [f"c{number}" for number in range(columns)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (cells, ["---"] * columns, cells))


def test_a_wide_table_is_folded_under_its_title_with_its_note(tmp_path):
    file = tmp_path / "t.md"
    file.write_text(
        f"**Few**\n\n{table(10)}\n\nFew note.\n\n**Many**\n\n{table(11)}\n\nMany note.\n\n**Last**\n\n{table(2)}\n"
    )
    shown = make_page(plan(file)).partition("<body>")[2]
    before, _, rest = shown.partition("<details>")
    folded, _, after = rest.partition("</details>")
    assert "Few note." in before and before.count("<table>") == 1 and "<p><strong>Few</strong></p>" in before
    assert "<summary>Many</summary>" in folded and "Many note." in folded and folded.count("<td") == 11
    assert "<p><strong>Last</strong></p>" in after and after.count("<table>") == 1 and "<details>" not in after


def test_it_begins_with_images_beside_their_masks_then_says_what_to_do(tmp_path):
    attributes = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0"}
    ids = [f"i{number}" for number in range(5)]
    with write_images(tmp_path / "images.h5", ids, (8, 8), np.array([[40, 80]] * 5), attributes) as rows:
        rows.fill(np.full((8, 8, 3), 50 * number, np.uint8) for number in range(5))
    with write_maps(tmp_path / "maps.h5", ids, (8, 8), [[40, 80]] * 5, attributes) as rows:
        rows.fill(np.full((8, 8), 0.2 * number) for number in range(5))
    first = {"images": str(tmp_path / "images.h5"), "maps": str(tmp_path / "maps.h5"), "count": 2}
    step = {"title": "Next", "command": "usod x > y", "links": [{"text": "there", "to": "../a%20b"}]}
    text = make_page(page.parse_page({"title": "T", "first": first, "steps": [step], "chapters": []}))
    tags = Tags(text)
    pictures = [Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) for source in tags.sources]
    assert [picture.size for picture in pictures] == [(80, 40)] * 4, "in the proportions of the images"
    levels = [np.asarray(picture).mean() for picture in pictures]
    assert levels == pytest.approx([0, 0, 100, 0], abs=4), "every second image, and its map of .4, below the threshold"
    assert tags.links == ["../a%20b"] and "<span>x</span> <span>&gt;</span> <span>y</span>" in text
    assert text.index("<img") < text.index("<span>usod") < text.index("<main")
