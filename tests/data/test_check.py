from dataclasses import replace

import numpy as np
from PIL import Image

from usod.data.check import check
from usod.data.layouts import KNOWN_SETS


def put(path, size=(6, 4), value=0, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 0)).save(path)


def test_every_problem_is_found_in_one_pass(tmp_path):
    root = tmp_path / "PASCAL-S"
    for number, name in enumerate(("fine", "empty", "turned", "broken", "bare", "graded", "full")):
        put(root / "images" / f"{name}.png", value=number)
        if name != "bare":
            half = np.zeros((4, 6), np.uint8)
            half[:2] = 255
            (root / "masks").mkdir(exist_ok=True)
            Image.fromarray(half).save(root / "masks" / f"{name}.png")
    put(root / "images" / "copy.png", value=0)
    put(root / "masks" / "copy.png", value=255, mode="L")
    put(root / "masks" / "empty.png", value=0, mode="L")
    put(root / "masks" / "full.png", value=1, mode="L")
    put(root / "masks" / "turned.png", (4, 6), 255, "L")
    put(root / "masks" / "lonely.png", value=255, mode="L")
    put(root / "masks" / "graded.png", value=100, mode="L")
    put(root / "maps" / "fine.png")
    (root / "images" / "broken.png").write_bytes(b"x")
    (root / "masks" / "broken.png").write_bytes(b"x")
    (root / "notes.doc").touch()
    (root / "split.csv").write_text("id,split\nfine,train\ncopy,test\n")
    report = check(root)
    assert (report.layout, report.data_set, report.images, report.masks) == ("folders", "pascal-s", 8, 7)
    assert report.without_mask == ["bare"]
    assert [path.rsplit("/", 1)[-1] for path in report.without_image] == ["lonely.png"]
    assert report.size_mismatches == ["turned (image 6x4, mask 4x6)"]
    assert report.empty_masks == ["empty", "graded"]  # 100/255 is below the threshold
    assert report.graded_masks == ["graded"]
    assert report.full_masks == ["copy", "full", "turned"]
    assert len(report.unreadable) == 2
    assert report.duplicates == report.shared_by_splits == [["copy", "fine"]]
    assert (report.strays, report.outside) == ({".doc": 1}, 1)
    assert report.counts_differ == ["8 images, a complete pascal-s has 850"]
    assert any("PASCAL VOC" in warning for warning in report.warnings)
    assert not report.ok
    text = "\n".join(report.lines())
    for word in ("lonely.png", "turned (image 6x4, mask 4x6)", "copy = fine", "problems found", "1 .doc"):
        assert word in text


def test_masks_of_other_names_are_no_clean_set(tmp_path):
    for number in range(6):
        put(tmp_path / "images" / f"photo{number}.png", value=number)
        put(tmp_path / "masks" / f"{number}.png", value=255, mode="L")
    report = check(tmp_path)
    assert (report.images, report.masks, report.ok) == (6, 0, False)
    text = "\n".join(report.lines())
    assert "no mask has the name of an image: e.g. image photo0.png, mask 0.png; rename" in text
    assert "masks without image: 6" in text and report.lines()[-1] == "problems found"
    (tmp_path / "masks" / "0.png").rename(tmp_path / "masks" / "photo0.png")
    text = "\n".join(check(tmp_path).lines())
    assert "masks without image: 5" in text and "images without mask: 5" in text and "problems found" in text
    assert "no mask has" not in text


def test_a_set_that_was_published_with_masks_for_some_is_complete(tmp_path, monkeypatch):
    root = tmp_path / "THUR15K"
    monkeypatch.setitem(KNOWN_SETS, "thur15k", replace(KNOWN_SETS["thur15k"], expected={"all": 2, "masks": 1}))
    for number in range(2):
        put(root / "Plane/Src" / f"{number}.jpg", value=99 * number)
    half = np.zeros((4, 6), np.uint8)
    half[:2] = 255
    Image.fromarray(half).save(root / "Plane/Src/0.png")
    report = check(root)
    assert (report.data_set, report.masks, report.without_mask) == ("thur15k", 1, ["1"])
    assert report.ok
    (root / "Plane/Src/0.png").unlink()
    put(root / "Plane/Src" / "0.jpg", value=99)
    Image.fromarray(half).save(root / "Plane/Src/1.png")
    Image.fromarray(half).save(root / "Plane/Src/0.png")
    (root / "Plane/Src/2.jpg").write_bytes((root / "Plane/Src/0.jpg").read_bytes())
    assert not check(root).ok  # one more image without mask than was published


def test_what_is_left_out_is_said_with_the_reason(tmp_path):
    put(tmp_path / "a.png")
    (tmp_path / "b.mov").touch()
    assert any(line.startswith("1 film (.mov) was left out: take pictures out") for line in check(tmp_path).lines())


def test_a_clean_set_of_images_only_is_ok(tmp_path):
    put(tmp_path / "a.png")
    report = check(tmp_path)
    assert report.ok
    assert report.lines()[-1] == "ok"
    assert "without mask" not in "\n".join(report.lines())


def test_a_mask_of_another_size_alone_is_a_problem(tmp_path):
    put(tmp_path / "images" / "a.png")
    put(tmp_path / "masks" / "a.png", (6, 5), 255, "L")
    report = check(tmp_path)
    assert not report.ok and report.lines()[-1] == "problems found"
