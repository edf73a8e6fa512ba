import hashlib
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from usod.data.index import build_index, build_masks, load_mask, merge_votes, read_index, read_masks, write_index
from usod.errors import UsageError, UsodError


def picture(path, size=(6, 4), value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, 0, 0)).save(path)
    return path


@pytest.fixture
def small_set(tmp_path):
    root = tmp_path / "set"
    for number, name in enumerate(("été 1", "0002", "NA")):
        picture(root / "images" / f"{name}.jpg", value=number)
        mask = np.zeros((4, 6), np.uint8)
        mask[:, :number] = 255
        (root / "masks").mkdir(exist_ok=True)
        Image.fromarray(mask).save(root / "masks" / f"{name}.png")
    return root


def test_index_holds_ids_sizes_and_digests_and_survives_the_file(small_set):
    table = build_index(small_set)
    assert list(table["id"]) == ["0002", "NA", "été 1"]  # text that looks like a number or a gap stays text
    assert set(table["height"]) == {4}
    assert set(table["width"]) == {6}
    for row in table.itertuples():
        assert row.sha256 == hashlib.sha256(Path(row.image).read_bytes()).hexdigest()
    write_index(table, small_set / "index.csv")
    assert "images/été 1.jpg" in (small_set / "index.csv").read_text(encoding="utf-8")
    pd.testing.assert_frame_equal(read_index(small_set / "index.csv"), table, check_dtype=False)
    moved = small_set.rename(small_set.parent / "moved")
    assert Path(read_index(moved / "index.csv")["image"][0]).is_file()
    assert sorted(path.name for path in moved.iterdir()) == ["images", "index.csv", "masks"]


def test_a_moved_project_finds_its_files(tmp_path, monkeypatch):
    project = tmp_path / "project"
    picture(project / "data" / "scenes" / "images" / "a.jpg")
    picture(project / "data" / "scenes" / "masks" / "a.png", value=255)
    monkeypatch.chdir(project)
    write_index(build_index("data/scenes"), "results/demo/index.csv")
    write_index(build_masks("data/scenes"), "results/demo/masks.csv")
    assert ",../../data/scenes/masks/a.png," in Path("results/demo/masks.csv").read_text()
    monkeypatch.chdir(tmp_path)
    moved = project.rename(tmp_path / "moved")
    data = moved / "data" / "scenes"
    assert read_index(moved / "results/demo/index.csv")["image"][0] == str(data / "images" / "a.jpg")
    monkeypatch.chdir(moved / "results")
    assert read_masks("demo/masks.csv")["mask"][0] == str(data / "masks" / "a.png")


def test_photographs_beside_the_project_move_with_it(tmp_path, monkeypatch):
    picture(tmp_path / "all" / "photos" / "a.jpg")
    (tmp_path / "all" / "work").mkdir()
    monkeypatch.chdir(tmp_path / "all" / "work")
    write_index(build_index("../photos"), "results/photos/index.csv")
    write_index(build_index(tmp_path / "all" / "photos"), "results/whole/index.csv")
    monkeypatch.chdir(tmp_path)
    moved = (tmp_path / "all").rename(tmp_path / "moved")
    monkeypatch.chdir(moved / "work")
    assert read_index("results/photos/index.csv")["image"][0] == str(moved / "photos" / "a.jpg")
    with pytest.raises(UsodError, match="was the data set moved"):  # a whole path was given: it stays
        read_index("results/whole/index.csv")


def test_a_storage_brings_index_and_scenes_to_the_same_places(tmp_path, monkeypatch):
    """A storage of Snakemake keeps copies in .snakemake/storage; another job has its own working folder."""
    store = Path(".snakemake/storage/fs/mnt/results")
    for place in ("submitted", "elsewhere/deeper"):
        (tmp_path / place).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "submitted")
    picture(store / "data/scenes/images/a.jpg")
    picture(store / "data/scenes/masks/a.png", value=255)
    write_index(build_index(store / "data/scenes", without="results"), store / "demo/index.csv")
    write_index(build_masks(store / "data/scenes", without="results"), store / "demo/masks.csv")
    shutil.move(tmp_path / "submitted/.snakemake", tmp_path / "elsewhere/deeper/.snakemake")
    monkeypatch.chdir(tmp_path / "elsewhere/deeper")
    scenes = tmp_path / "elsewhere/deeper" / store / "data/scenes"
    assert read_index(store / "demo/index.csv")["image"][0] == str(scenes / "images/a.jpg")
    assert read_masks(store / "demo/masks.csv")["mask"][0] == str(scenes / "masks/a.png")


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_a_second_run_in_the_folder_of_the_photographs_finds_the_same(tmp_path, monkeypatch, workers):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("x/a", "y/a", "y/b")):
        picture(tmp_path / f"{name}.jpg", value=number)
    first = build_index(".", without="results", workers=workers)
    for name in ("x/a", "y/a", "y/b"):
        picture(tmp_path / f"results/masks/images/{name}.png", value=255)
    (tmp_path / ".snakemake").mkdir()
    (tmp_path / "results/test.txt").write_text("b\n")
    for again in (build_index(".", without="results"), build_index(".")):
        pd.testing.assert_frame_equal(again, first)
        assert again.attrs == first.attrs
    assert list(first["id"]) == ["b", "x/a", "y/a"]


@pytest.mark.parametrize("elsewhere", ["images", "index"])
def test_paths_between_the_project_and_another_place_are_absolute(small_set, tmp_path, monkeypatch, elsewhere):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(small_set if elsewhere == "index" else tmp_path / "empty")
    target = tmp_path / "empty" / "out" / "index.csv"
    write_index(build_index(small_set), target)
    assert f",{small_set}/images/NA.jpg," in target.read_text(encoding="utf-8")
    assert Path(read_index(target)["image"][0]).is_file()


def test_a_folder_of_masks_inside_the_root_holds_no_images(tmp_path):
    for number, name in enumerate("abc"):
        picture(tmp_path / "photos" / f"{name}.jpg", value=number)
        picture(tmp_path / "objects_v2" / f"{name}.png", value=255)
    masks = tmp_path / "objects_v2"
    assert len(build_index(tmp_path)) == 6  # no such folder name tells masks
    masks.joinpath("a.png").chmod(0)
    table = build_index(tmp_path, masks_dir=masks)
    masks.joinpath("a.png").chmod(0o644)
    truth = build_masks(tmp_path, masks_dir=masks)
    assert list(table["id"]) == list(truth["id"]) == ["a", "b", "c"]
    assert {Path(path).parent.name for path in table["image"]} == {"photos"}
    assert list(truth["mask"]) == [str(masks / f"{name}.png") for name in "abc"]
    for split in set(table["split"]):
        ids = list(table["id"][table["split"] == split])
        assert list(build_masks(tmp_path, masks_dir=masks, split=split)["id"]) == ids
    with pytest.raises(UsageError, match="objects_v2: holds the images too"):
        build_index(masks, masks_dir=tmp_path / "photos" / ".." / "objects_v2")
    with pytest.raises(UsageError, match="nowhere: no such folder"):
        build_index(tmp_path, masks_dir=tmp_path / "nowhere")


def test_what_is_left_out_is_a_note(small_set):
    for name in ("film.MP4", "a.cr2", "set.zip", "notes.pdf"):
        (small_set / name).touch()
    picture(small_set / "other" / "x.jpg")
    films, raw, outside = build_index(small_set).attrs["notes"]
    assert films.startswith("1 film (.mp4) was left out: ") and raw.startswith("1 raw photograph (.cr2)")
    assert outside.startswith("1 images lie in folders of neither images nor masks, e.g. ")
    shutil.rmtree(small_set)
    small_set.mkdir()
    for name in ("film.mp4", "notes.pdf"):
        (small_set / name).touch()
    with pytest.raises(
        UsodError, match=r"no images found; 1 film \(\.mp4\) was .* ffmpeg .*; 1 document \(\.pdf\) was"
    ):
        build_index(small_set)


def test_progress_is_a_line_in_a_log(small_set, capsys):
    build_index(small_set)
    assert capsys.readouterr().err == ""
    build_index(small_set, progress=True)
    assert capsys.readouterr().err.startswith("indexing: 3 images in ")


def test_a_table_that_cannot_be_written_is_one_line(small_set, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsodError, match=r"file/index\.csv: cannot be written"):
        write_index(build_index(small_set), tmp_path / "file" / "index.csv")


def test_index_never_opens_a_mask(small_set):
    for mask in (small_set / "masks").iterdir():
        mask.write_bytes(b"not a mask")
        mask.chmod(0)
    assert len(build_index(small_set)) == 3


def test_masks_have_the_ids_of_the_index(small_set):
    table = build_masks(small_set)
    assert list(table["id"]) == list(build_index(small_set)["id"])
    assert dict(zip(table["id"], table["foreground_share"], strict=True)) == {"été 1": 0, "0002": 1 / 6, "NA": 2 / 6}
    assert table.attrs["notes"] == ["1 masks are empty, e.g. été 1"]
    write_index(table, small_set / "masks.csv")
    row = read_masks(small_set / "masks.csv").iloc[0]
    mask = load_mask(row["mask"], row["threshold"])
    assert mask.dtype == bool
    assert mask.sum() == 4


def test_splits_select_rows(small_set):
    (small_set / "test.txt").write_text("NA.jpg\n")
    assert list(build_index(small_set, split="test")["id"]) == ["NA"]
    assert list(build_masks(small_set, split="train")["id"]) == ["0002", "été 1"]
    with pytest.raises(UsageError, match="split 'val' has no images; there are test, train"):
        build_index(small_set, split="val")


def test_a_mask_at_another_scale_passes_a_turned_one_does_not(small_set):
    Image.new("L", (12, 8), 255).save(small_set / "masks" / "NA.png")
    assert build_masks(small_set)["foreground_share"].max() == 1
    Image.new("L", (4, 6), 255).save(small_set / "masks" / "NA.png")
    with pytest.raises(UsodError, match=r"NA\.png: is 4x6, its image .*NA\.jpg is 6x4"):
        build_masks(small_set)


def test_one_line_for_each_mistake(small_set, tmp_path):
    whole = (small_set / "images" / "NA.jpg").read_bytes()
    (small_set / "images" / "NA.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsodError, match=r"NA\.jpg: cannot be decoded"):
        build_index(small_set)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsodError, match="no images found"):
        build_index(tmp_path / "empty")
    with pytest.raises(UsodError, match="no mask matches an image by name; .* or set has_masks: false"):
        build_masks(picture(tmp_path / "bare" / "a.jpg").parent)
    picture(tmp_path / "bare" / "masks" / "b.png")
    with pytest.raises(UsodError, match=r"no mask matches .* \(e\.g\. image a\.jpg, mask b\.png\)"):
        build_masks(tmp_path / "bare")
    tables = {
        "none.csv": (None, "no such file"),
        "mask.csv": ("id,mask\na,b\n", "lacks the columns image, height"),
        "void.csv": ("", "cannot be read as a CSV table"),
        "rows.csv": ("id,image,height,width,sha256,split\n", "no rows"),
        "twice.csv": ("id,image,height,width,sha256,split\na,b,1,1,0,x\na,c,1,1,0,x\n", "the id 'a' twice"),
        "moved.csv": ("id,image,height,width,sha256,split\na,b.jpg,1,1,0,x\n", "was the data set moved"),
        "text.csv": ("id,image,height,width,sha256,split\na,b.jpg,one,1,0,x\n", "no number"),
    }
    for name, (text, message) in tables.items():
        if text is not None:
            (tmp_path / name).write_text(text)
        with pytest.raises(UsodError, match=message) as caught:
            read_index(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def overlay(path, red, blue):
    path.parent.mkdir(parents=True, exist_ok=True)
    canvas = np.full((1, 4, 3), 120, np.uint8)
    canvas[0, red] = (255, 0, 30)
    canvas[0, blue] = (0, 40, 255)
    Image.fromarray(canvas).save(path)


def test_weizmann_votes(tmp_path):
    folder = tmp_path / "2obj" / "b" / "human_seg"
    picture(tmp_path / "2obj" / "b" / "src_color" / "b.png", size=(4, 1))
    overlay(folder / "b_1.png", [0, 1], [3])
    assert merge_votes(folder).tolist() == [[True, True, False, True]]  # one annotator decides alone
    overlay(folder / "b_2.png", [1], [2, 3])
    assert merge_votes(folder).tolist() == [[False, True, False, True]]  # two must agree
    overlay(folder / "b_3.png", [3], [2])  # the colours may differ
    assert merge_votes(folder).tolist() == [[False, True, True, True]]
    table = build_masks(tmp_path)
    assert list(table["id"]) == ["b"]
    assert table["mask"][0] == str(folder)
    assert load_mask(table["mask"][0]).mean() == table["foreground_share"][0] == 0.75


@pytest.mark.real_data
@pytest.mark.skipif("USOD_REAL_DATA" not in os.environ, reason="USOD_REAL_DATA is not set")
def test_real_sets():
    data = Path(os.environ["USOD_REAL_DATA"]) / "data"
    counts = {"SED2": (100, 100, 0), "SOD": (300, 300, 2), "MSRA1000": (1000, 0, 0)}
    for name, (images, masks, empty) in counts.items():
        assert len(build_index(data / name)) == images
        if masks:
            table = build_masks(data / name)
            assert (len(table), (table["foreground_share"] == 0).sum()) == (masks, empty)


def test_two_splits_are_chosen_together_and_a_hash_is_no_published_one(small_set):
    (small_set / "train.txt").write_text("0002\n")
    (small_set / "valid.txt").write_text("NA\n")
    assert list(build_index(small_set, split="train+val", published_as="ECSSD")["id"]) == ["0002", "NA"]
    for name in ("train.txt", "valid.txt"):
        (small_set / name).unlink()
    with pytest.raises(UsageError, match="is not that of ECSSD in published tables"):
        build_index(small_set, split="train", published_as="ECSSD")


def test_the_threshold_of_masks_goes_with_them(small_set):
    table = build_masks(small_set, threshold=0.2)
    assert set(table["threshold"]) == {0.2}
