"""Where images lie below their folders, and tables that list some of them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from usod.cli import main
from usod.data.index import build_index, write_index
from usod.data.joined import join
from usod.data.listed import listed
from usod.data.mapstore import write_maps
from usod.data.places import places_of, png_places
from usod.errors import UsodError

A, B = Path("photos/a b"), Path("more")
IMAGES = {"a/1": A / "x/1.jpg", "a/1.webp": A / "x/1.webp", "b/1": B / "1.jpg"}


def test_files_of_joined_sets_lie_in_a_folder_of_each():
    images = {key: image.absolute() for key, image in IMAGES.items()}
    folders = {"a": A, "b": Path("elsewhere/../more")}
    assert list(map(str, places_of(images, folders).values())) == ["a/x/1.jpg", "a/x/1.webp", "b/1.jpg"]
    assert list(map(str, png_places(images, folders).values())) == ["a/x/1.jpg.png", "a/x/1.webp.png", "b/1.png"]
    one = {key: image for key, image in IMAGES.items() if key != "b/1"}
    assert str(places_of(one, {"": A})["a/1"]) == "x/1.jpg" and str(places_of(one, {})["a/1"]) == "1.jpg"


@pytest.mark.parametrize(
    ("folders", "line"),
    [({"a": A}, "--part: has no folder for b/1; give b=FOLDER"), ({"a": A, "b": A}, "--part b=photos/a b: ")],
)
def test_an_image_outside_of_the_folders_is_named(folders, line):
    with pytest.raises(UsodError, match=line):
        places_of(IMAGES, folders)


def test_a_list_keeps_its_order_and_names_as_they_are_written(tmp_path):
    """A spreadsheet's mark at the beginning; ids that look like numbers or like nothing."""
    (tmp_path / "list.csv").write_text("rank,id\n1,007\n2,NA\n3,007\n4,é\n", encoding="utf-8-sig")
    assert listed(tmp_path / "list.csv", ["NA", "é", "007"]) == ["007", "NA", "é"]
    assert listed(tmp_path / "list.csv", ["NA", "007"], 2) == ["007", "NA"]
    with pytest.raises(UsodError, match=r"list\.csv: lists 1 images of which there is no map here, e\.g\. é"):
        listed(tmp_path / "list.csv", ["NA", "007"])


def test_maps_of_joined_sets_are_exported_like_their_images(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ids, sizes = ["a/1", "a/2", "b/1"], np.array([[6, 4], [3, 5], [2, 2]])
    for key, (height, width) in zip(ids, sizes, strict=True):
        image = Path("in", *key.split("/")[:-1], "deep", f"{key[-1]}.jpg")
        image.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (int(width), int(height))).save(image)
    for name in ("a", "b"):
        write_index(build_index(Path("in", name)), f"{name}.csv")
    join({name: Path(f"{name}.csv") for name in ("a", "b")}, Path("both.csv"))
    with write_maps(Path("maps.h5"), ids, (2, 2), sizes, {}) as rows:
        rows.fill(np.full((2, 2), level) for level in (0.2, 0.4, 1.0))
    Path("list.csv").write_text("id\nb/1\na/2\n")
    words = ["usod", "maps", "export", "maps.h5", "--out", "out", "--index", "both.csv", "--only", "list.csv"]
    monkeypatch.setattr("sys.argv", [*words, "--part", "a=in/a", "--part", "b=in/b"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert {str(file.relative_to("out")) for file in Path("out").rglob("*.png")} == {"a/deep/2.png", "b/deep/1.png"}
    with Image.open("out/a/deep/2.png") as picture:
        assert picture.size == (5, 3) and picture.getextrema() == (102, 102)
