"""The gallery's files, and the page as Chromium shows it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from usod.cli import main
from usod.data.index import build_index, build_masks, write_index
from usod.data.mapstore import write_images, write_maps

ATTRIBUTES = {"created_by": "test", "config": {}, "inputs": {}, "usod_version": "0"}
COUNT = 54  # more than a worker takes at a time
IDS = [f"{number:02d}#ä" for number in range(COUNT)]
FILES = [f"sub {number // 30}/{key}.png" for number, key in enumerate(IDS)]


def grey(number):
    return 40 + 4 * number


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photographs of one grey each, 80 x 40, squares of 32 in the store; the map covers a share that grows."""
    folder = tmp_path_factory.mktemp("gallery of all")
    for file in FILES:
        for kind, colour in (("images", (9, 9, 9)), ("masks", 255)):
            path = folder / "set" / kind / file
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB" if kind == "images" else "L", (80, 40), colour).save(path)
    index = build_index(folder / "set")
    assert list(index["id"]) == IDS
    write_index(index, folder / "index.csv")
    (folder / "set/masks" / FILES[1]).unlink()
    write_index(build_masks(folder / "set"), folder / "masks.csv")
    with write_images(folder / "images.h5", IDS, (32, 32), np.array([[40, 80]] * COUNT), ATTRIBUTES) as rows:
        rows.fill(np.full((32, 32, 3), grey(number), np.uint8) for number in range(COUNT))
    for name, level in (("final", 0.6), ("rbd", 0.3)):
        maps = np.zeros((COUNT, 32, 32), np.float32)
        for number in range(COUNT):
            maps[number, : number % 32] = level
        with write_maps(folder / f"{name}.h5", IDS, (32, 32), [[40, 80]] * COUNT, ATTRIBUTES) as rows:
            rows.fill(maps)
    half = np.zeros((40, 80), np.float32)
    half[:, :40] = 1
    with write_maps(folder / "human.h5", [IDS[2]], (40, 80), [[40, 80]], ATTRIBUTES) as rows:
        rows.fill([half])
    doubts = pd.DataFrame({"rank": 1, "id": IDS[::-1], "doubt": np.arange(COUNT)[::-1] / 100, "movement": np.nan})
    doubts.assign(nothing=[0.5, *[np.nan] * (COUNT - 1)]).to_csv(folder / "doubts.csv", index=False)
    pd.DataFrame({"id": IDS, "Größe": range(COUNT), "corrected": [True] + [False] * (COUNT - 1)}).to_csv(
        folder / "more.csv", index=False
    )
    gallery(folder, "--workers", "2", "--name", "a & b", "--side", "64")
    return folder


def words(*more):
    options = ["images=images.h5", "map=final=final.h5", "map=rbd=rbd.h5", "values=doubts.csv", "values=more.csv"]
    options += [
        "truth=masks.csv",
        "index=index.csv",
        "masks=all masks",
        "root=set",
        "corrections=human.h5",
        "out=shown",
    ]
    named = [word for key, value in (o.split("=", 1) for o in options) for word in (f"--{key}", value)]
    return ["usod", "report", "gallery", *named, *more]


def gallery(folder, *more):
    subprocess.run([sys.executable, "-m", *words(*more)], cwd=folder, check=True, capture_output=True)


def document(folder):
    text = (folder / "shown/images.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("const GALLERY = ").removesuffix(";\n"))


def test_every_image_has_its_own_pictures_and_values(folder):
    found = document(folder)
    assert found["ids"] == IDS and found["layers"] == ["mask", "final", "rbd", "ground truth"]
    assert found["columns"].keys() == {"doubt", "nothing", "Größe", "corrected", "area"}, (
        "neither the rank nor what no image has"
    )
    assert found["columns"]["doubt"] == [number / 100 for number in range(COUNT)], "by id, not in the table's order"
    assert found["columns"]["nothing"] == [None] * (COUNT - 1) + [0.5]
    assert found["columns"]["corrected"] == [1] + [0] * (COUNT - 1)
    assert found["columns"]["area"][5] == pytest.approx(5 / 32, abs=1e-4)
    assert found["columns"]["area"][2] == 0.5, "that of the person's mask"
    for number in (0, 1, 31, COUNT - 1):
        with Image.open(folder / f"shown/pictures/0/{number}.webp") as image:
            assert image.size == (64, 32), "the proportions of the photograph, not of the store"
            assert abs(np.asarray(image).mean() - grey(number)) < 3
        with Image.open(folder / f"shown/pictures/0/{number}-maps.webp") as maps:
            assert maps.size == (64, 4 * 32)
            mask, final, rbd, truth = np.asarray(maps)[..., 0].reshape(4, 32, 64).mean((1, 2)) / 255
        share = (number % 32) / 32
        assert [mask, final, rbd] == pytest.approx([share, 0.6 * share, 0.3 * share], abs=0.02)
        assert truth == pytest.approx(0.5 if number == 1 else 1.0, abs=0.02), "grey: there is none"


def test_the_page_finds_photographs_and_masks_where_they_are(folder):
    found = document(folder)
    for places, first in ((found["photographs"], "set/images"), (found["masks"], "all masks/images")):
        path = folder / "shown" / places["folder"] / places["files"][40]
        assert path.resolve() == (folder / first / FILES[40]).resolve(), places


@pytest.mark.parametrize(
    ("wrong", "line", "code"),
    [
        (["--map", "few=few.h5"], "few.h5: 51 of 54 images have no map here", 1),
        (["--values", "no.csv"], "no.csv: not a table with a column id", 1),
        (["--values", "twice.csv"], "twice.csv: has 'a' twice", 1),
        (["--threshold", "7"], "--threshold 7: give a number", 2),
    ],
)
def test_a_wrong_call_is_one_line_and_leaves_nothing(folder, monkeypatch, capsys, wrong, line, code):
    with write_maps(folder / "few.h5", IDS[:3], (4, 4), [[4, 4]] * 3, ATTRIBUTES) as rows:
        rows.fill(np.zeros((3, 4, 4)))
    (folder / "no.csv").write_text("name\n1\n")
    (folder / "twice.csv").write_text("id,x\na,1\na,2\n")
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", words(*wrong, "--out", "none"))
    with pytest.raises(SystemExit) as stopped:
        main()
    error = capsys.readouterr().err
    assert stopped.value.code == code and line in error and error.count("\n") == 1
    assert not (folder / "none").exists()


def test_an_index_of_other_images_is_one_line(folder, monkeypatch, capsys):
    for name in ("o.h5", "o-maps.h5"):
        write, shape = (write_images, (4, 4, 3)) if name == "o.h5" else (write_maps, (4, 4))
        with write(folder / name, ["none"], (4, 4), np.array([[4, 4]]), ATTRIBUTES) as rows:
            rows.fill(np.zeros((1, *shape), np.uint8))
    call = "usod report gallery --images o.h5 --map a=o-maps.h5 --index index.csv --out none"
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", call.split())
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1 and "index.csv: has no image 'none'" in capsys.readouterr().err
    assert not (folder / "none").exists()


# ---- in Chromium


@pytest.fixture(scope="module")
def chromium():
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if found is None:
        pytest.skip("no Chromium on PATH")
    return found


SCRIPT = """
<script>
const seen = JSON.parse(sessionStorage.seen || "{}");
const press = (key, on = document.activeElement) =>
  on.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const type = (text) => { $("filter").value = text; $("filter").dispatchEvent(new Event("input")); };
const sort = (key) => { $("sort").value = key; $("sort").dispatchEvent(new Event("change")); };
const order = () => [...shown];
const status_ = () => $("status").textContent;
addEventListener("load", () => setTimeout(() => {
  if (!sessionStorage.seen) {
    seen.first = order();
    seen.cells = document.querySelectorAll(".cell").length;
    press("ArrowRight"); press(" ");
    press("End"); press(" ");
    seen.csv = csv();
    type("SUB doubt>=.20 area<0.1"); seen.filtered = [order(), status_()];
    type("nosuch>1"); seen.wrong = status_();
    type("größe<3 corrected=0"); seen.letters = order().sort();
    type("-1/ 3"); seen.without = order();
    type(""); sort("nothing"); seen.nothing = order().slice(0, 2);
    sort("area"); seen.area = order().slice(0, 2);
    sort("doubt");
    grid.focus(); press("Home"); press("Enter");
    seen.large = [$("enlarged").open, $("title").textContent];
    press("ArrowRight"); press("3"); press(" ");
    seen.next = [$("title").textContent, layers[state.layer], $("tick").textContent];
    press("Enter"); seen.closed = !$("enlarged").open; grid.focus(); press("v");
    press("/"); seen.focus = document.activeElement.id;
    seen.address = location.hash;
    sessionStorage.seen = JSON.stringify(seen);
    location.reload();
    return;
  }
  seen.kept = [...ticked].sort();
  seen.view = [state.view, layers[state.layer]];
  $("only").click(); seen.ticked = order();
  seen.wide = document.documentElement.scrollWidth > innerWidth;
  const told = Object.assign(document.createElement("pre"), { id: "seen", textContent: JSON.stringify(seen) });
  document.body.replaceChildren(told);
}, 50));
</script>"""


def test_keys_filters_and_ticks_in_a_browser(folder, chromium, tmp_path):
    page = (folder / "shown/index.html").read_text(encoding="utf-8")
    (folder / "shown/driven.html").write_text(page.replace("</body>", f"{SCRIPT}</body>"), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}", "--window-size=520,420"]
    address = (folder / "shown/driven.html").as_uri()
    call = [chromium, *options, "--virtual-time-budget=5000", "--dump-dom", address]
    dom = subprocess.run(call, capture_output=True, text=True, timeout=60).stdout
    assert '<pre id="seen">' in dom, dom[-2000:]
    seen = json.loads(
        dom.partition('<pre id="seen">')[2].partition("</pre>")[0].replace("&gt;", ">").replace("&amp;", "&")
    )
    doubtful = list(range(COUNT))[::-1]
    assert seen["first"] == doubtful and 6 <= seen["cells"] < COUNT, "only what is on the screen is made"
    paths = [f"{folder}/set/images/{FILES[n]}" for n in (0, 52)]
    assert seen["csv"] == f"id,path\n{IDS[0]},{paths[0]}\n{IDS[52]},{paths[1]}\n"
    expected = [n for n in doubtful if n >= 20 and (n % 32) / 32 < 0.1]
    assert seen["filtered"] == [expected, f"{len(expected)} of {COUNT} images"]
    assert seen["wrong"] == "No value “nosuch”: there are doubt, nothing, Größe, corrected, area"
    assert seen["letters"] == [1, 2], "whatever the letters of a column"
    assert seen["without"] == [n for n in doubtful if n < 30 and "3" in FILES[n]]
    assert seen["nothing"] == [COUNT - 1, 0], "images without the value come last"
    assert seen["area"] == [31, 30]
    assert seen["large"] == [True, IDS[53]]
    assert seen["next"] == [IDS[52], "rbd", "Tick"], "space took the tick away"
    assert seen["closed"], "enter closes what it has opened"
    assert seen["focus"] == "filter" and "view=image" in seen["address"]
    assert seen["kept"] == [IDS[0]] and seen["view"] == ["image", "rbd"], "after a reload"
    assert seen["ticked"] == [0] and not seen["wide"]


def test_the_page_asks_for_no_other_place(folder):
    page = (folder / "shown/index.html").read_text(encoding="utf-8")
    assert "http:" not in page and "https:" not in page and "<title>a &amp; b:" in page
    assert "fetch(" not in page, "browsers refuse it for pages from disk"
    assert sorted(path.name for path in (folder / "shown").iterdir() if path.suffix != ".html") == [
        "images.js",
        "pictures",
    ]
    assert Path(folder / "shown/pictures/0").is_dir()
