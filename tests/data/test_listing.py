import os

import pytest

from usod.data.listing import fingerprint
from usod.errors import UsageError, UsodError


def put(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    return root


@pytest.fixture
def root(tmp_path):
    return put(tmp_path / "set", "images/a.jpg", "images/b.jpg", "masks/a.png", "masks/b.png", "train.txt")


def prints(root, **options):
    return {kind: fingerprint(root, kind, **options) for kind in ("images", "masks")}


def touch(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def longer(path):
    """A file of another size that was put there with the date of the one before."""
    before = path.stat().st_mtime_ns
    path.write_text("longer than before")
    os.utime(path, ns=(0, before))


def changed(root, before, **options):
    return {kind for kind, text in prints(root, **options).items() if text != before[kind]}


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (lambda root: touch(root / "images/a.jpg"), {"images"}),
        (lambda root: longer(root / "images/a.jpg"), {"images"}),
        (lambda root: put(root, "images/c.jpg"), {"images"}),
        (lambda root: touch(root / "masks/a.png"), {"masks"}),
        (lambda root: (root / "masks/a.png").write_text("longer than before"), {"masks"}),
        (lambda root: (root / "masks/b.png").unlink(), {"masks"}),
        (lambda root: (root / "images/b.jpg").rename(root / "images/c.jpg"), {"images", "masks"}),
        (lambda root: touch(root / "train.txt"), {"images", "masks"}),
        (lambda root: put(root, "split.csv"), {"images", "masks"}),
        (lambda root: put(root, ".DS_Store", "masks/._a.png", "notes.md", "masks/c.png", "maps/a.png"), set()),
        (lambda root: put(root, "__MACOSX/images/a.jpg", "images/.thumb.jpg", "models/x.h5"), set()),
    ],
)
def test_what_is_noticed(root, change, kinds):
    before = prints(root)
    change(root)
    assert changed(root, before) == kinds


def test_the_first_mask_counts_for_the_images(tmp_path):
    """A set with masks keeps some images for testing: the splits of its images depend on that."""
    root = put(tmp_path, "images/a.jpg", "images/b.jpg")
    before = prints(root)
    put(root, "masks/a.png")
    assert changed(root, before) == {"images", "masks"}
    before = prints(root)
    put(root, "masks/b.png")
    assert changed(root, before) == {"masks"}


def test_a_moved_data_set_keeps_its_fingerprints(root):
    before = prints(root)
    assert changed(root.rename(root.parent / "moved"), before) == set()


@pytest.mark.parametrize("place", ["set/objects_v2", "elsewhere"])
def test_masks_in_a_folder_of_their_own(tmp_path, place):
    root, masks = put(tmp_path / "set", "photos/a.jpg"), put(tmp_path / place, "a.png", "b.png")
    before = prints(root, masks_dir=masks)
    touch(masks / "b.png")  # it has no image
    assert changed(root, before, masks_dir=masks) == set()
    touch(masks / "a.png")
    assert changed(root, before, masks_dir=masks) == {"masks"}


def test_annotators_overlays_are_masks(tmp_path):
    root = put(tmp_path, *(f"2obj/{n}/{file}" for n in "ab" for file in ("src_color/x.png", "human_seg/x_1.png")))
    before = prints(root)
    put(root, "2obj/a/human_seg/.DS_Store", "2obj/a/src_bw/x.png")
    assert changed(root, before) == set()
    put(root, "2obj/a/human_seg/x_2.png")
    assert changed(root, before) == {"masks"}


def test_maps_of_a_folder_and_of_a_file(tmp_path):
    put(tmp_path, "maps/x/a.png", "maps/b.png", "rbd.h5")
    folder, file = fingerprint(tmp_path / "maps", "maps"), fingerprint(tmp_path / "rbd.h5", "maps")
    put(tmp_path, "maps/notes.txt", "maps/.DS_Store")
    assert fingerprint(tmp_path / "maps", "maps") == folder
    touch(tmp_path / "maps/x/a.png")
    touch(tmp_path / "rbd.h5")
    assert fingerprint(tmp_path / "maps", "maps") != folder
    assert fingerprint(tmp_path / "rbd.h5", "maps") != file


@pytest.mark.parametrize("name", ["results", "out"])
def test_results_among_the_photographs_change_nothing(tmp_path, name):
    """`images=.`: a run leaves masks there of the images' own names, lists of splits, names that tell layouts."""
    before = prints(put(tmp_path, "a.jpg", "trip/b.jpg"))
    put(tmp_path, ".snakemake/log", f"{name}/masks/x/a.png", f"{name}/train.txt", f"{name}/s/src_color/a.png")
    assert changed(tmp_path, before, without=tmp_path / name) == set()
    assert bool(changed(tmp_path, before)) == (name == "out")


def test_tags_of_a_table_and_of_annotations(tmp_path):
    put(tmp_path, "tags.csv", "xml/n01/a.xml", "xml/b.xml")
    table, folder = (fingerprint(tmp_path / name, "tags") for name in ("tags.csv", "xml"))
    put(tmp_path, "xml/notes.txt")
    assert fingerprint(tmp_path / "xml", "tags") == folder != table
    assert fingerprint((tmp_path / "xml").rename(tmp_path / "moved"), "tags") == folder
    for change in (lambda: touch(tmp_path / "moved/b.xml"), lambda: (tmp_path / "moved/b.xml").rename(tmp_path / "c")):
        before = fingerprint(tmp_path / "moved", "tags")
        change()
        assert fingerprint(tmp_path / "moved", "tags") != before
    touch(tmp_path / "tags.csv")
    assert fingerprint(tmp_path / "tags.csv", "tags") != table
    assert fingerprint("folders", "tags") == fingerprint("folders", "tags")


def test_links_are_followed_and_a_dangling_one_is_one_line(root, tmp_path):
    (tmp_path / "linked").symlink_to(root)
    (tmp_path / "outer").mkdir()
    (tmp_path / "outer" / "set").symlink_to(root)
    before = prints(tmp_path / "outer")
    touch(root / "images/a.jpg")
    assert changed(tmp_path / "outer", before) == {"images"}
    (root / "images" / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (root / "gone").symlink_to(tmp_path / "nowhere")  # no name of an image: nobody reads it
    with pytest.raises(UsodError, match=r"images/gone\.jpg: is a link to a file that does not exist"):
        fingerprint(root, "images")
    assert fingerprint(root, "masks")


def test_mistakes_are_one_line(tmp_path):
    for kind in ("images", "masks", "maps", "tags"):
        with pytest.raises(UsageError, match="nowhere: no such"):
            fingerprint(tmp_path / "nowhere", kind)
    with pytest.raises(UsageError, match="layout 'ecsd' is unknown"):
        fingerprint(tmp_path, "images", layout="ecsd")
    with pytest.raises(UsodError, match="no images found"):
        fingerprint(tmp_path, "images")
