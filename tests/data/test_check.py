import numpy as np
from PIL import Image

from usod.data.check import check


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


def test_a_clean_set_of_images_only_is_ok(tmp_path):
    put(tmp_path / "a.png")
    report = check(tmp_path)
    assert report.ok
    assert report.lines()[-1] == "ok"
    assert "without mask" not in "\n".join(report.lines())
