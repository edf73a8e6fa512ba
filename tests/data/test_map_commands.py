"""`usod maps merge`, `import` and `export`, and `usod data images`, on two tiny images."""

import numpy as np
import pytest
from PIL import Image

from usod.cli import app
from usod.data.mapstore import MapStore, write_maps
from usod.errors import UsageError, UsodError

LEVELS = np.array([[0.2, 0.6], [0.7, 0.9]])


@pytest.fixture
def usod(tmp_path, monkeypatch):
    """usod(word, ...) in a folder with photos, index.csv, and maps.h5 and first.h5 of both and of one of them."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name in ("a", "b"):
        Image.new("RGB", (2, 2), (9, 90, 200)).save(tmp_path / f"photos/{name}.png")

    def call(*words: str) -> None:
        app([*words, "--quiet"], standalone_mode=False)

    call("data", "index", "photos", "--out", "index.csv")
    for file, ids in (("maps.h5", ["a", "b"]), ("first.h5", ["a"])):
        with write_maps(tmp_path / file, ids, (2, 2), np.full((len(ids), 2), 2), {"labels": "none"}) as rows:
            rows.fill([LEVELS] * len(ids))
    return call


def test_parts_that_lack_an_image_are_not_put_together(usod, tmp_path):
    with pytest.raises(UsodError, match=r"first\.h5 and the other parts lack 1 images of index\.csv, e\.g\. b"):
        usod("maps", "merge", "first.h5", "--index", "index.csv", "--out", "merged.h5")
    assert not (tmp_path / "merged.h5").exists()


@pytest.mark.parametrize(("words", "labels"), [((), "none"), (("--labels", "masks"), "masks")])
def test_imported_maps_have_the_labels_that_are_said_or_their_own(usod, tmp_path, words, labels):
    usod("maps", "import", "maps.h5", "--index", "index.csv", "--out", "theirs.h5", *words)
    with MapStore(tmp_path / "theirs.h5") as theirs:
        assert theirs.labels == labels


@pytest.mark.parametrize(
    ("words", "expected"),
    [((), np.rint(LEVELS * 255)), (("--threshold", "0.65"), [[0, 0], [255, 255]])],
)
def test_exported_maps_are_masks_where_a_threshold_is_said(usod, tmp_path, words, expected):
    usod("maps", "export", "maps.h5", "--out", "out", *words)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "out/b.png")), expected)


def test_an_image_that_has_changed_since_it_was_indexed_is_named(usod, tmp_path):
    Image.new("RGB", (2, 2), (9, 90, 201)).save(tmp_path / "photos/b.png")
    with pytest.raises(UsodError, match=r"photos/b\.png: has changed since it was indexed; run `usod data index`"):
        usod("data", "images", "--index", "index.csv", "--size", "8", "--out", "images.h5")
    assert not (tmp_path / "images.h5").exists()


def test_a_name_is_given_once(usod):
    with pytest.raises(UsageError, match="--maps a=first.h5: 'a' is named twice"):
        usod("vote", "make", "--maps", "a=maps.h5", "--maps", "a=first.h5", "--out", "out.h5")
