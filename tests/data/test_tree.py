import os
from collections import Counter
from pathlib import PurePosixPath

import pytest

from usod.data import tree
from usod.data.tree import image_files, is_image, left_out, png_names, scan
from usod.errors import UsageError, UsodError


def put(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def test_what_counts_as_an_image():
    assert all(map(is_image, ("a.jpg", "B.PNG", "c d.jpeg", "é.webp", "x.y.tif")))
    assert not any(map(is_image, ("a.txt", "jpg", ".jpg", ".a.jpg", "._a.jpg", "a.jpg~", "Thumbs.db")))


def test_hidden_and_foreign_files_are_left_out_everywhere(tmp_path):
    put(tmp_path, "b.jpg", "x/a.PNG", ".hidden/c.jpg", "x/__MACOSX/a.jpg", "x/._a.png", "x/.DS_Store", "x/n.txt", "y/d")
    (tmp_path / "photos.jpg").mkdir()  # a folder of such a name is none
    assert image_files(tmp_path) == [tmp_path / "b.jpg", tmp_path / "x" / "a.PNG"]
    assert scan(tmp_path).strays == {"._*": 1, "hidden": 1, "no suffix": 1}


def test_linked_folders_are_read_once(tmp_path):
    put(tmp_path / "elsewhere", "a.jpg")
    put(tmp_path / "root", "b.jpg")
    (tmp_path / "root" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "root")
    assert image_files(tmp_path / "root") == [tmp_path / "root" / "b.jpg", tmp_path / "root" / "link" / "a.jpg"]


def test_folders_can_be_left_out(tmp_path):
    put(tmp_path, "a.jpg", "Masks/a.png", "Masks/deep/b.png", "out/c.jpg")
    files = scan(tmp_path, tmp_path / "out", masks=tmp_path / "." / "Masks")
    assert files.images == [PurePosixPath("a.jpg")]
    assert files.folders == [(), ("masks",)]  # the name of the masks' folder tells the layout
    assert scan(tmp_path, [tmp_path / "out", tmp_path / "Masks", tmp_path / "not there yet"]).folders == [()]
    assert len(scan(tmp_path / "Masks", without=tmp_path).images) == 2  # a folder around it leaves nothing out
    with pytest.raises(UsageError, match="out: is the folder of the results"):
        scan(tmp_path / "out", tmp_path / "Masks" / ".." / "out")


def test_the_results_of_an_earlier_run_are_no_images(tmp_path):
    put(tmp_path, "a.jpg", "results/masks/a.png", "trip/b.jpg", "trip/results/scenes/b.png")
    assert len(image_files(tmp_path)) == 4  # somebody's own folder of that name
    (tmp_path / ".snakemake").mkdir()
    (tmp_path / "trip" / ".snakemake").touch()  # no folder: no run was here
    assert image_files(tmp_path) == [tmp_path / name for name in ("a.jpg", "trip/b.jpg", "trip/results/scenes/b.png")]
    (tmp_path / "trip" / ".snakemake").unlink()
    (tmp_path / "trip" / ".snakemake").mkdir()
    assert image_files(tmp_path) == [tmp_path / "a.jpg", tmp_path / "trip" / "b.jpg"]
    assert len(image_files(tmp_path / "results")) == len(image_files(tmp_path / "trip/results/scenes")) == 1


def test_files_that_hold_pictures_are_counted_with_what_to_do():
    strays = Counter({".mp4": 2, ".mov": 1, ".nef": 1, ".db": 4, ".zip": 1})
    films, raw = left_out(strays)
    assert films.startswith("3 films (.mov, .mp4) were left out: ") and "ffmpeg -i" in films
    assert raw.startswith("1 raw photograph (.nef) was left out: ")
    assert left_out(strays, wrapped=True)[2:] == ["1 archive (.zip) was left out: unpack first"]
    assert left_out(Counter({".db": 1, "hidden": 2})) == []


@pytest.mark.parametrize("installed", [True, False])
def test_heic_counts_where_it_can_be_read(monkeypatch, tmp_path, installed):
    monkeypatch.setattr(tree, "find_spec", lambda name: installed and name == "pillow_heif")
    tree._readable.cache_clear()
    try:
        found = scan(put(tmp_path, "a.HEIC", "b.jpg"))
    finally:
        tree._readable.cache_clear()
    assert len(found.images) == 1 + installed
    sentences = left_out(found.strays)
    assert sentences == [] if installed else sentences[0].endswith("pip install 'usod[heif]'")


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    put(tmp_path, "a.jpg", "locked/b.jpg")
    scandir = os.scandir

    def locked(path):
        if str(path).endswith("locked"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", locked)
    with pytest.raises(UsodError, match="locked: cannot be read"):
        scan(tmp_path)


def test_pngs_of_images_of_one_stem_have_whole_names():
    names = png_names(map(PurePosixPath, ("x/a.jpg", "x/a.webp", "b.jpg", "y/a.jpg")))
    assert {str(image): str(name) for image, name in names.items()} == {
        "x/a.jpg": "x/a.jpg.png",
        "x/a.webp": "x/a.webp.png",
        "b.jpg": "b.png",
        "y/a.jpg": "y/a.png",
    }
