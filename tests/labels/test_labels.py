"""Masks to other tools and back, through the command line; sources, names, refusals."""

import json
import shutil
import zipfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from PIL import Image

from usod.cli import app as typer_app
from usod.cli import main
from usod.data.images import read_mask
from usod.data.index import build_index, write_index
from usod.data.mapstore import write_maps
from usod.labels.instances import instances_of

FORMATS = {
    "coco": [],
    "coco-polygons": ["--polygons"],
    "yolo": [],
    "label-studio": [],
    "label-studio-polygons": ["--polygons"],
    "cvat": [],
    "cvat-polygons": ["--polygons"],
    "cvat-masks": [],
    "voc": [],
    "fiftyone": [],
}
IDS = {"holes.png": "holes", "a b/schön.jpg": "schön", "turned.jpg": "turned", "empty.png": "empty"} | {
    name: name for name in ("two/same.jpg", "two/same.webp")
}


def call(capsys, *words):
    """Exit code and what was said, of `usod labels WORDS`."""
    with patch("sys.argv", ["usod", "labels", *map(str, words)]), pytest.raises(SystemExit) as stopped:
        main()
    said = capsys.readouterr()
    return stopped.value.code, said.out + said.err


def exported(capsys, desk, out, format, *words, source=None):
    photos, masks, _ = desk
    code, said = call(capsys, "export", source or masks, "--images", photos, "--out", out, "--format", format, *words)
    assert code == 0, said
    return said


def accept(folder):
    """What Label Studio does when a user submits the predictions as they are."""
    tasks = json.loads((folder / "tasks.json").read_text())
    done = [task | {"annotations": task["predictions"], "predictions": []} for task in tasks]
    (folder / "tasks.json").write_text(json.dumps(done))


@pytest.mark.parametrize("name", FORMATS)
def test_masks_come_back_pixel_by_pixel(desk, tmp_path, capsys, name):
    """Objects, difficult names, EXIF; ids as the workflow gives them."""
    photos, _, truth = desk
    format = name.removesuffix("-polygons")
    exported(capsys, desk, tmp_path / "out", format, "--instances", *FORMATS[name])
    if format == "label-studio":
        accept(tmp_path / "out")
    back = tmp_path / "back"
    code, said = call(capsys, "import", tmp_path / "out", "--images", photos, "--out", back, "--with-empty")
    assert code == 0, said
    assert {file.relative_to(back).as_posix() for file in back.rglob("*.png")} == {f"{IDS[n]}.png" for n in truth}
    for photo, mask in truth.items():
        with Image.open(back / f"{IDS[photo]}.png") as picture:
            assert picture.mode == "L"
            assert np.array_equal(np.asarray(picture), mask * np.uint8(255)), photo


@pytest.mark.parametrize(("format", "told"), [("coco", False), ("label-studio", True), ("cvat-masks", True)])
def test_an_image_without_labels_is_an_empty_mask_where_the_tool_says_that_it_was_looked_at(
    desk, tmp_path, capsys, format, told
):
    (tmp_path / "masks").mkdir()
    for name in ("holes", "empty"):
        shutil.copy(desk[1] / f"{name}.png", tmp_path / "masks")
    exported(capsys, desk, tmp_path / "out", format, source=tmp_path / "masks")
    if format == "label-studio":
        accept(tmp_path / "out")
    code, said = call(capsys, "import", tmp_path / "out", "--images", desk[0], "--out", tmp_path / "back")
    assert code == 0 and (tmp_path / "back/holes.png").exists()
    assert (tmp_path / "back/empty.png").exists() == told and ("--with-empty" in said) != told


def test_a_zip_file_is_read_and_nothing_is_written_over(desk, tmp_path, capsys):
    exported(capsys, desk, tmp_path / "voc.zip", "voc")
    code, said = call(capsys, "import", tmp_path / "voc.zip", "--images", desk[0], "--out", tmp_path / "back")
    assert code == 0 and np.array_equal(read_mask(tmp_path / "back/holes.png"), desk[2]["holes.png"]), said
    code, said = call(capsys, "export", desk[1], "--images", desk[0], "--out", tmp_path / "back", "--format", "coco")
    assert code == 2 and "holds files already" in said


def test_a_mapstore_and_a_threshold(desk, tmp_path, capsys):
    """Maps at working size are brought to the images' before they are binarised; the score is their mean."""
    index = build_index(desk[0])
    write_index(index, tmp_path / "index.csv")
    sizes = index[["height", "width"]].to_numpy()
    with write_maps(tmp_path / "maps.h5", list(index["id"]), (8, 8), sizes, {}) as rows:
        for key in index["id"]:
            rows[key] = np.full((8, 8), 0.8 if key == "holes" else 0.4)
    words = ["--index", tmp_path / "index.csv", "--out", tmp_path / "out", "--format", "coco", "--threshold", "0.6"]
    code, said = call(capsys, "export", tmp_path / "maps.h5", *words, "--class", "boat")
    assert code == 0, said
    (file,) = (tmp_path / "out").rglob("*.json")
    content = json.loads(file.read_text())
    assert len(content["images"]) == 6 and content["categories"][0]["name"] == "boat"
    (only,) = content["annotations"]
    assert only["score"] == pytest.approx(0.8, abs=0.003) and only["bbox"] == [0, 0, 60, 40] and only["area"] == 2400


def test_human_masks_are_exported_as_drawn(desk, tmp_path, capsys):
    """Else a round through a tool would undo what was mended in the one before."""
    write_index(build_index(desk[0]), tmp_path / "index.csv")
    (tmp_path / "mended").mkdir()
    shutil.copy(desk[1] / "holes.png", tmp_path / "mended")
    (tmp_path / "black").mkdir()
    for name in ("holes", "turned"):
        Image.new("L", (60, 40)).save(tmp_path / f"black/{name}.png")
    words = ["--index", tmp_path / "index.csv", "--out", tmp_path / "human.h5", "-q"]
    typer_app(["data", "corrections", *map(str, [tmp_path / "mended", *words])], standalone_mode=False)
    words = ["--corrections", tmp_path / "human.h5", "--smallest", "0.5", "--threshold", "otsu"]
    exported(capsys, desk, tmp_path / "out", "voc", *words, source=tmp_path / "black")
    code, said = call(capsys, "import", tmp_path / "out", "--images", desk[0], "--out", tmp_path / "back")
    assert code == 0, said
    assert np.array_equal(read_mask(tmp_path / "back/holes.png"), desk[2]["holes.png"])
    assert not read_mask(tmp_path / "back/turned.png").any()


def test_small_components_go_and_the_others_are_objects(desk, tmp_path, capsys):
    said = exported(capsys, desk, tmp_path / "out", "coco", "--instances", "--smallest", "0.0106")
    (file,) = (tmp_path / "out").rglob("*.json")
    content = json.loads(file.read_text())
    (holes,) = (image["id"] for image in content["images"] if image["file_name"] == "holes.png")
    areas = sorted(a["area"] for a in content["annotations"] if a["image_id"] == holes)
    # The ring and the bar; the spot in the ring has 25 of 2400 pixels.
    assert len(areas) == 2 and areas[0] == 7 * 4 - 2 and "1 images are turned by EXIF (e.g. turned.jpg)" in said


def test_copies_of_turned_photographs_are_upright(desk, tmp_path, capsys):
    exported(capsys, desk, tmp_path / "out", "yolo")
    folder = tmp_path / "out/images"
    with Image.open(folder / "turned.jpg") as picture:
        assert picture.size == (60, 40) and picture.getexif().get(0x0112, 1) == 1
    assert (folder / "holes.png").is_symlink() and not (folder / "turned.jpg").is_symlink()


def test_labels_of_stored_pixels_are_turned(desk, tmp_path, capsys):
    """A tool that ignores EXIF has labels of the sideways photograph."""
    photos, _, truth = desk
    stored = np.rot90(truth["turned.jpg"])  # EXIF 6 is undone by a quarter turn to the right
    cvat = tmp_path / "annotations.xml"
    rle = f"0, {stored.size}"
    rows, columns = np.flatnonzero(stored.any(1)), np.flatnonzero(stored.any(0))
    box = f'left="{columns[0]}" top="{rows[0]}" width="{len(columns)}" height="{len(rows)}"'
    rle = f"0, {len(rows) * len(columns)}"
    cvat.write_text(
        f'<annotations><image id="0" name="turned.jpg" width="40" height="60"><mask label="x" rle="{rle}" {box}/>'
        '<box label="x" xtl="1" ytl="1" xbr="9" ybr="9"/></image></annotations>'
    )
    code, said = call(capsys, "import", cvat, "--images", photos, "--out", tmp_path / "back")
    assert code == 0 and "not masks, left out: 1 box" in said
    assert np.array_equal(read_mask(tmp_path / "back/turned.png"), truth["turned.jpg"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"file_name": "other.jpg", "usod_id": None}, "1 of 6 images are not among yours"),
        ({"file_name": "same.jpg.png", "usod_id": "two/same.jpg"}, "has labels of two/same.jpg twice"),
        ({"height": 41}, "its labels are of an image of"),
    ],
)
def test_what_does_not_fit_the_images_is_refused_whole(desk, tmp_path, capsys, change, said):
    exported(capsys, desk, tmp_path / "out", "coco")
    (file,) = (tmp_path / "out").rglob("*.json")
    content = json.loads(file.read_text())
    content["images"][[image["file_name"] for image in content["images"]].index("holes.png")] |= change
    file.write_text(json.dumps(content))
    code, told = call(capsys, "import", file, "--images", desk[0], "--out", tmp_path / "back")
    assert code == 1 and said in told and not (tmp_path / "back").exists()


@pytest.mark.parametrize("place", ["new", "two/new", ""])
def test_nothing_is_exported_among_the_images(desk, capsys, place):
    """The next run would take it for photographs."""
    photos, masks, _ = desk
    before = sorted(photos.rglob("*"))
    code, told = call(capsys, "export", masks, "--images", photos, "--out", photos / place, "--format", "coco")
    assert code == 2 and f"lies among the images of {photos}; give a folder beside them" in told
    assert sorted(photos.rglob("*")) == before


def _coco(segmentation, **image):
    return json.dumps(
        {
            "images": [{"id": 1, "file_name": "holes.png", "height": 40, "width": 60} | image],
            "categories": [{"id": 1, "name": "x"}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "segmentation": segmentation}],
        }
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", _coco([[1, 2, 3]]), "holes.png: not whole shapes"),
        ("a.json", _coco({"size": [40, 60], "counts": [1, 2]}), "run lengths of 3 pixels"),
        ("a.json", _coco([], height="x"), "not COCO instances"),
        ("a.json", json.dumps([{"data": {"text": "hello"}, "annotations": [{"result": []}]}]), "Label Studio's format"),
        ("a.json", json.dumps([{"data": {"image": "x.png"}, "annotations": [5]}]), "Label Studio's format"),
        (
            "a.xml",
            '<annotations><image name="holes.png" width="60" height="40"><mask label="x" rle="0, 4" left="59" top="0" '
            'width="2" height="2"/></image></annotations>',
            "holes.png: not whole shapes",
        ),
        ("labels/holes.txt", "0 nan 0.1 0.5 0.1 0.5 0.5", "holes.txt: not lines of a class and a polygon"),
        ("SegmentationClass/holes.png", "no picture", "holes.png: is not an image"),
        ("a.zip", "PK\x05\x06" + "\0" * 4 + "\1\0\1\0" + "\x20" + "\0" * 9, "cannot be unpacked"),
    ],
)
def test_malformed_files_are_refused_in_one_line(desk, tmp_path, capsys, name, content, said):
    file = tmp_path / "in" / name
    file.parent.mkdir(parents=True)
    file.write_text(content)
    source = tmp_path / "in" if "/" in name else file
    code, told = call(capsys, "import", source, "--images", desk[0], "--out", tmp_path / "back")
    assert code == 1 and said in told and not (tmp_path / "back").exists()


def test_a_zip_file_of_macos_is_read_and_none_leads_outside(desk, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("export/p.json", _coco([[0, 0, 9, 0, 9, 9, 0, 9]]))
        archive.writestr("__MACOSX/export/._p.json", b"\0\5\xff")
        archive.writestr("../outside.txt", "x")
    code, said = call(capsys, "import", tmp_path / "in.zip", "--images", desk[0], "--out", tmp_path / "back")
    assert code == 0 and read_mask(tmp_path / "back/holes.png").sum() == 81, said
    assert not list(tmp_path.parent.glob("outside*")) and {f.name for f in tmp_path.iterdir()} == {"in.zip", "back"}


def test_ultralytics_finds_the_labels_of_images_in_a_folder_called_images(tmp_path, capsys):
    """It puts `labels` in the place of the last `images` of an image's path, and `.txt` for its ending."""
    mask = np.eye(20, dtype=np.uint8).repeat(2, 1) * 255
    for name, drawn in (("images/x.png", mask), ("more/images/labels/y.png", mask[::-1])):
        for folder in ("data", "masks"):
            (tmp_path / folder / name).parent.mkdir(parents=True)
            Image.fromarray(drawn).save(tmp_path / folder / name)
    words = ["--images", tmp_path / "data", "--out", tmp_path / "yolo", "--format", "yolo"]
    assert call(capsys, "export", tmp_path / "masks", *words)[0] == 0
    images = [str(file) for file in (tmp_path / "yolo/images").rglob("*.png")]
    assert len(images) == 2
    for image in images:
        assert Path("/labels/".join(image.rsplit("/images/", 1)).rsplit(".", 1)[0] + ".txt").is_file()
    back = ["--images", tmp_path / "data", "--out", tmp_path / "back"]
    assert call(capsys, "import", tmp_path / "yolo", *back)[0] == 0
    found = [read_mask(file) for file in sorted((tmp_path / "back").rglob("*.png"))]
    assert np.array_equal(found[0], mask > 0) and np.array_equal(found[1], mask[::-1] > 0)


def test_a_class_of_yolo_without_a_name_is_told(desk, tmp_path, capsys):
    (tmp_path / "in/labels").mkdir(parents=True)
    (tmp_path / "in/labels/holes.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5")
    words = ["--images", desk[0], "--out", tmp_path / "back", "--class", "boat"]
    code, said = call(capsys, "import", tmp_path / "in", *words)
    assert code == 1 and "data.yaml has no name for its class 0" in said


def test_only_the_asked_class_and_the_last_annotation_of_label_studio_count(desk, tmp_path, capsys):
    square = {"points": [[0, 0], [50, 0], [50, 100], [0, 100]], "polygonlabels": ["boat"]}
    other = {"points": [[50, 0], [100, 0], [100, 100], [50, 100]], "polygonlabels": ["sea"]}
    sizes = {"original_width": 60, "original_height": 40, "type": "polygonlabels"}
    regions = [sizes | {"value": square}, sizes | {"value": other}]
    annotations = [
        {"result": regions, "updated_at": "2026-01-02"},
        {"result": [], "updated_at": "2026-01-01"},
        {"result": [], "updated_at": "2026-01-03", "was_cancelled": True},
    ]
    tasks = [
        {"data": {"image": "/data/upload/7/1a2b3c4d-holes.png"}, "annotations": annotations},
        {"data": {"image": "https://host/x/a%20b/sch%C3%B6n.jpg"}, "annotations": [], "predictions": [{"result": []}]},
    ]
    (tmp_path / "p.json").write_text(json.dumps(tasks))
    words = ["--images", desk[0], "--out", tmp_path / "back", "--class", "boat"]
    code, said = call(capsys, "import", tmp_path / "p.json", *words)
    assert code == 0 and "1 images have no label" in said
    (file,) = (tmp_path / "back").rglob("*.png")
    mask = read_mask(file)
    assert file.name == "holes.png" and mask[:, :30].all() and not mask[:, 30:].any()


def test_simplified_polygons_have_fewer_points_and_nearly_the_same_pixels():
    from usod.labels.polygons import polygons, rasterise

    yy, xx = np.mgrid[:200, :200]
    disc = (np.hypot(yy - 100, xx - 100) < 80) & (np.hypot(yy - 100, xx - 90) > 30)
    (exact,), (few,) = polygons(disc), polygons(disc, simplify=1.5)
    assert np.array_equal(rasterise([exact], disc.shape), disc)
    assert len(few) < len(exact) / 4 and (rasterise([few], disc.shape) != disc).mean() < 0.01


def test_listed_images_alone_in_their_order(desk, tmp_path, capsys):
    (tmp_path / "doubts.csv").write_text("rank,id\n1,two/same.webp\n2,holes\n3,empty\n")
    exported(capsys, desk, tmp_path / "out", "coco", "--only", tmp_path / "doubts.csv", "--count", 2)
    content = json.loads((tmp_path / "out/annotations/instances_default.json").read_text())
    assert [image["file_name"] for image in content["images"]] == ["two/same.webp", "holes.png"]
    code, said = call(capsys, "import", tmp_path / "out", "--images", desk[0], "--out", tmp_path / "back")
    assert code == 0 and len(list((tmp_path / "back").rglob("*.png"))) == 2, said


def test_images_of_several_folders_are_those_of_the_joined_set(desk, tmp_path, capsys):
    """The masks lie as the workflow places those of `train: [a, b]`."""
    photos, masks, truth = desk
    words = ["--part", f"a={photos / 'two'}", "--part", f"b={photos / 'a b'}"]
    for name, folder in (("a", "two"), ("b", "a b")):
        shutil.copytree(masks / folder, tmp_path / "masks" / name)
    out = tmp_path / "out"
    code, said = call(capsys, "export", tmp_path / "masks", *words, "--out", out, "--format", "coco")
    assert code == 0 and "3 images" in said
    content = json.loads((out / "annotations/instances_default.json").read_text())
    assert {image["file_name"] for image in content["images"]} == {"a/same.jpg", "a/same.webp", "b/schön.jpg"}
    code, said = call(capsys, "import", out, *words, "--out", tmp_path / "back")
    assert code == 0 and np.array_equal(read_mask(tmp_path / "back/b/schön.png"), truth["a b/schön.jpg"]), said


def test_wrong_sources_are_told(desk, tmp_path, capsys):
    photos, _, _ = desk
    (tmp_path / "none").mkdir()
    shutil.copy(photos / "holes.png", tmp_path / "none/unknown.png")
    rest = ["--images", photos, "--out", tmp_path / "out", "--format", "coco"]
    code, said = call(capsys, "export", tmp_path / "none", *rest)
    assert code == 1 and "none of its maps has the name of an image (e.g. map unknown.png" in said
    code, said = call(capsys, "export", desk[1], "--out", tmp_path / "out", "--format", "coco")
    assert code == 2 and "--images FOLDER or --index" in said
    (tmp_path / "x.txt").write_text("no")
    code, said = call(capsys, "import", tmp_path / "x.txt", "--images", photos, "--out", tmp_path / "back")
    assert code == 1 and "say which with --format" in said
    assert not (tmp_path / "out").exists() and not (tmp_path / "back").exists()


def test_a_model_is_asked_about_the_photographs(desk, tmp_path, capsys):
    import torch

    from usod.models.build import build_network
    from usod.models.config import NetworkConfig
    from usod.models.model_file import save_model

    config = NetworkConfig(light_width=8)
    network = build_network(config)
    for parameter in network.parameters():
        torch.nn.init.zeros_(parameter)  # says 0.5 everywhere
    save_model(tmp_path / "m.safetensors", network, config, input_size=64)
    exported(capsys, desk, tmp_path / "out", "cvat", "--threshold", "0.4", source=tmp_path / "m.safetensors")
    text = (tmp_path / "out/annotations.xml").read_text()
    assert 'rle="0, 2400" left="0" top="0" width="60" height="40"' in text and text.count("<mask") == 6


def test_pixels_that_touch_at_a_corner_are_one_object():
    corner = np.eye(3, 6, dtype=bool) | np.eye(3, 6, 5, dtype=bool)
    first, second = instances_of(corner, np.full((3, 6), 0.5), split=True)
    assert first.crop.sum() == 3 and second.box == (5, 0, 1, 1) and first.score == 0.5
