from pathlib import PurePosixPath

from usod.data.tree import image_files, is_image, scan


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


def test_a_folder_can_be_left_out(tmp_path):
    put(tmp_path, "a.jpg", "Masks/a.png", "Masks/deep/b.png")
    files = scan(tmp_path, without=tmp_path / "." / "Masks")
    assert files.images == [PurePosixPath("a.jpg")]
    assert files.folders == [(), ("masks",)]
    assert len(scan(tmp_path / "Masks", without=tmp_path).images) == 2  # a folder around it leaves nothing out
