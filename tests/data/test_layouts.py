"""Layouts are told from names alone, so the trees of these tests hold empty files."""

import unicodedata

import pytest

from usod.data.layouts import KNOWN_SETS, bare_stem
from usod.data.pairing import find_dataset
from usod.errors import UsageError, UsodError


def tree(root, *names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def pairs(data):
    below = lambda path: path.relative_to(data.root).as_posix() if path else None  # noqa: E731
    return {item.id: (below(item.image), below(item.mask)) for item in data.items}


NATIVE = {
    "ecssd": ("folders", "ECSSD", ["images/0001.jpg", "ground_truth_mask/0001.png"], {"0001": 1}),
    "msra-b": ("flat", "MSRA-B", ["0_0_147.jpg", "0_0_147.png", "1_2_3.jpg", "1_2_3.png"], {"0_0_147": 1, "1_2_3": 1}),
    "msra10k": ("folders", "MSRA10K_Imgs_GT", ["Imgs/5.jpg", "Imgs/5.png"], {"5": 1}),
    "dut-omron": (
        "folders",
        "x",
        ["DUT-OMRON-image/DUT-OMRON-image/a.jpg", "pixelwiseGT-new-PNG/a.png", "__MACOSX/pixelwiseGT-new-PNG/._a.png"],
        {"a": 1},
    ),
    "duts": (
        "folders",
        "DUTS",
        [f"DUTS-{s}/DUTS-{s}-{k}/{n}" for s, n in (("TR", "n1_2"), ("TE", "sun_a")) for k in ("Image", "Mask")],
        {"n1_2": 1, "sun_a": 1},
    ),
    "hku-is": ("folders", "HKU-IS", ["imgs/0004.png", "gt/0004.png", "trainImgSet.mat"], {"0004": 1}),
    "pascal-s": (
        "salobj",
        "salObj",
        ["datasets/imgs/pascal/1.jpg", "datasets/masks/pascal/1.png", "datasets/imgs/ft/2.jpg", "algmaps/pascal/1.png"],
        {"1": 1},
    ),
    "sed2": (
        "weizmann",
        "Weizmann_Seg_DB_2obj",
        ["2obj/b/src_color/b.png", "2obj/b/src_bw/b.png", "2obj/b/human_seg/b_1.png", "2obj/b/human_seg/b_2.png"],
        {"b": 1},
    ),
    "thur15k": (
        "folders",
        "THUR15000",
        ["Plane/Src/1.jpg", "Plane/Src/1.png", "Plane/Src/2.jpg", "Giraffe/Src/1.jpg", "Giraffe/Src/1.png"],
        {"Plane/1": 1, "2": 0, "Giraffe/1": 1},
    ),
    "msb-tr": ("folders", "MSB-TR", ["images/1_1.jpg", "segmentations/1_1.png"], {"1_1": 1}),
}


@pytest.mark.parametrize("name", NATIVE)
def test_native_layouts(tmp_path, name):
    layout, root, files, expected = NATIVE[name]
    files = [
        file if "." in file.rsplit("/", 1)[-1] else file + (".png" if "Mask" in file else ".jpg") for file in files
    ]
    data = find_dataset(tree(tmp_path / root, *files))
    assert (data.layout.name, data.known.name) == (layout, name)
    assert {item.id: int(item.mask is not None) for item in data.items} == expected
    assert not data.unmatched_masks
    for item in data.items:
        assert item.mask is None or item.mask.name == "human_seg" or item.mask.stem == item.image.stem


def test_thur_masks_in_gt_folders(tmp_path):
    data = find_dataset(tree(tmp_path, "Plane/Src/1.jpg", "Plane/GT/1.png", "plane2/Src/1.jpg", "plane2/GT/1.png"))
    assert pairs(data) == {
        "Plane/1": ("Plane/Src/1.jpg", "Plane/GT/1.png"),
        "plane2/1": ("plane2/Src/1.jpg", "plane2/GT/1.png"),
    }


@pytest.mark.parametrize("images", ["images", "Imgs", "RGB", "JPEGImages", "01_img", "img"])
@pytest.mark.parametrize("masks", ["masks", "GT", "gt", "segmentations", "annotations", "02_gt", "SegmentationClass"])
def test_alias_folders(tmp_path, images, masks):
    data = find_dataset(tree(tmp_path, f"{images}/a b.jpg", f"{masks}/a b.png"))
    assert pairs(data) == {"a b": (f"{images}/a b.jpg", f"{masks}/a b.png")}


def test_pairs_by_name_not_by_order(tmp_path):
    data = find_dataset(tree(tmp_path, "images/a.jpg", "images/b.jpg", "masks/b.png", "masks/c.png", "masks/B.txt"))
    assert pairs(data) == {"a": ("images/a.jpg", None), "b": ("images/b.jpg", "masks/b.png")}
    assert [path.name for path in data.unmatched_masks] == ["c.png"]


def test_same_stem_in_two_splits_never_crosses(tmp_path):
    data = find_dataset(tree(tmp_path, "train/images/1.jpg", "test/images/1.jpg", "test/masks/1.png"))
    assert pairs(data) == {"train/1": ("train/images/1.jpg", None), "test/1": ("test/images/1.jpg", "test/masks/1.png")}
    lone = find_dataset(tree(tmp_path / "x", "train/images/1.jpg", "test/masks/1.png"))
    assert pairs(lone) == {"1": ("train/images/1.jpg", None)}


def test_affixes_case_and_unicode_forms_still_pair(tmp_path):
    composed, decomposed = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")
    files = ["images/IMG_1.JPG", "masks/img_1_mask.png", f"images/{composed}.jpg", f"masks/{decomposed}.png"]
    data = find_dataset(tree(tmp_path, *files))
    assert data.items[0].id == "IMG_1"
    assert all(item.mask for item in data.items)
    assert [bare_stem(stem) for stem in ("GT12", "gt_a", "a-GT", "gtr", "mask")] == ["12", "a", "a", "gtr", "mask"]


def test_colliding_images_all_survive_under_stable_ids(tmp_path):
    data = find_dataset(tree(tmp_path, "x/a.jpg", "y/a.jpg", "y/a.bmp", "y/b.jpg"))
    assert set(pairs(data)) == {"x/a", "y/a.jpg", "y/a.bmp", "b"}
    assert len(data.items) == 4


def test_plain_folders_junk_and_links(tmp_path):
    tree(tmp_path, "holiday/a.jpg", "holiday/b.jpg", "holiday/b.png", *(f"holiday/{i}.jpg" for i in range(9)))
    tree(tmp_path, "holiday/._a.jpg", "__MACOSX/a.jpg", ".cache/c.jpg", "holiday/Thumbs.db", "holiday/clip.mp4")
    (tmp_path / "holiday" / "loop").symlink_to(tmp_path)
    data = find_dataset(tmp_path)
    assert data.layout.name == "images"  # one photograph saved twice is no mask
    assert len(data.items) == 12
    assert data.strays == {"._*": 1, ".db": 1, ".mp4": 1}


def test_masks_beside_images_and_elsewhere(tmp_path):
    flat = find_dataset(tree(tmp_path / "flat", "a.jpg", "a.png", "b.png", "b_mask.png"))
    assert flat.layout.name == "flat"
    assert pairs(flat) == {"a": ("a.jpg", "a.png"), "b": ("b.png", "b_mask.png")}
    under = find_dataset(tree(tmp_path / "under", "a.jpg", "masks/a.png"))
    assert pairs(under) == {"a": ("a.jpg", "masks/a.png")}
    masks = tree(tmp_path / "other", "a.png", "deep/zzz.png")
    apart = find_dataset(tree(tmp_path / "apart", "a.jpg"), masks_dir=masks)
    assert apart.items[0].mask == masks / "a.png"
    assert apart.unmatched_masks == [masks / "deep/zzz.png"]


def test_given_masks_replace_those_of_the_layout(tmp_path):
    tree(tmp_path, "2obj/b/src_color/b.png", "2obj/b/human_seg/b_1.png", "merged/b.png", "merged/c.png")
    data = find_dataset(tmp_path, masks_dir=tmp_path / "merged")
    assert pairs(data) == {"b": ("2obj/b/src_color/b.png", "merged/b.png")}
    around = find_dataset(tree(tmp_path / "x", "photos/a.jpg", "truth/a.png") / "photos", masks_dir=tmp_path / "x")
    assert around.items[0].mask == tmp_path / "x" / "truth" / "a.png"
    (tmp_path / "x" / "photos" / "linked").symlink_to(tmp_path / "merged")
    linked = find_dataset(tmp_path / "x" / "photos", masks_dir=tmp_path / "merged")
    assert [item.id for item in linked.items] == ["a"]


@pytest.mark.parametrize("images", ["pics", "photos", "input", "."])
@pytest.mark.parametrize("masks", ["labels", "label", "truth", "alpha", "gt_manual", "masks_machine", "my_annotations"])
def test_a_name_that_may_mean_masks_does_where_the_stems_are_those_of_images(tmp_path, images, masks):
    files = [f"{images}/{i}.jpg" for i in range(4)]
    same = find_dataset(tree(tmp_path / "same", *files, *(f"{masks}/{i}.png" for i in range(3)), f"{masks}/x.png"))
    assert same.layout.name == "folders"
    assert [item.mask.name if item.mask else None for item in same.items] == ["0.png", "1.png", "2.png", None]
    assert [path.name for path in same.unmatched_masks] == ["x.png"]
    other = find_dataset(tree(tmp_path / "other", *files, *(f"{masks}/{i}.png" for i in range(3, 9))))
    assert (other.has_masks, len(other.items)) == (False, 10)  # pictures of labels


@pytest.mark.parametrize("names", [("pics", "my_masks"), ("my", "my_masks"), ("my_images", "my_masks"), ("a", "b-GT")])
def test_a_folder_of_masks_may_have_a_name_before_the_word(tmp_path, names):
    """Twice, so that the stems alone do not tell who belongs to whom."""
    for number in range(2):
        tree(tmp_path / str(number), f"{names[0]}/1.jpg", f"{names[1]}/1.png")
    assert {image.split("/")[0]: mask for image, mask in pairs(find_dataset(tmp_path)).values()} == {
        "0": f"0/{names[1]}/1.png",
        "1": f"1/{names[1]}/1.png",
    }


@pytest.mark.parametrize("images", ["train test", "train_images test_images"])
def test_the_name_before_the_word_tells_sets_apart_that_have_it_too(tmp_path, images):
    for split, folder in zip(("train", "test"), images.split(), strict=True):
        tree(tmp_path, f"{folder}/1.jpg", f"{split}_masks/1.png")
    found = dict(pairs(find_dataset(tmp_path)).values())
    assert found == {f"{folder}/1.jpg": f"{folder.split('_')[0]}_masks/1.png" for folder in images.split()}


def test_a_mask_that_may_be_of_two_images_is_of_none(tmp_path):
    data = find_dataset(tree(tmp_path, "x/1.jpg", "y/1.jpg", "x/2.jpg", "masks/1.png", "masks/2.png"))
    assert [mask for _, mask in pairs(data).values()].count(None) == 2
    assert [path.name for path in data.unmatched_masks] == ["1.png"]


def test_a_folder_that_is_called_masks_goes_before_one_that_may_hold_them(tmp_path):
    data = find_dataset(tree(tmp_path, "images/a.jpg", "alpha/a.png", "masks/a.png"))
    assert pairs(data) == {"a": ("images/a.jpg", "masks/a.png")}
    only = find_dataset(tree(tmp_path / "x", "pics/a.jpg", "labels/a.png"), layout="images")
    assert len(only.items) == 2 and not only.has_masks


def test_splits_in_folders_of_any_name_pair_within_themselves(tmp_path):
    names = [f"{split}/{kind}" for split in ("train", "test") for kind in ("pics/1.jpg", "labels/1.png")]
    data = find_dataset(tree(tmp_path, *names))
    assert {image.split("/")[0]: mask for image, mask in pairs(data).values()} == {
        "train": "train/labels/1.png",
        "test": "test/labels/1.png",
    }


def test_stray_jpg_among_png_masks_loses(tmp_path):
    data = find_dataset(tree(tmp_path, "images/a.jpg", "masks/a.jpg", "masks/a.png"))
    assert pairs(data)["a"][1] == "masks/a.png"
    assert [path.name for path in data.unmatched_masks] == ["a.jpg"]


def test_archives_of_equal_names_are_told_apart_by_size(tmp_path):
    tree(tmp_path, *(f"{folder}/{i:04d}.png" for folder in ("images", "ground_truth_mask") for i in range(200)))
    assert find_dataset(tmp_path).known is KNOWN_SETS["cssd"]


def test_errors(tmp_path):
    with pytest.raises(UsodError, match="no images found"):
        find_dataset(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        find_dataset(tmp_path / "none")
    with pytest.raises(UsageError, match="layout 'ecsd' is unknown"):
        find_dataset(tmp_path, "ecsd")


def test_folders_of_other_bytes_have_the_same_name(tmp_path):
    """As of an archive from macOS, where `ö` is two characters; both folders hold a file of the stem."""
    composed, decomposed = (unicodedata.normalize(form, "Köln") for form in ("NFC", "NFD"))
    data = find_dataset(
        tree(tmp_path, f"images/{composed}/a.jpg", "images/x/a.jpg", f"masks/{decomposed}/a.png", "masks/x/a.png")
    )
    assert [item.mask.parent.name for item in data.items] == [decomposed, "x"]


def test_two_images_that_claim_one_mask_have_none(tmp_path):
    data = find_dataset(tree(tmp_path, "images/a.jpg", "images/a.webp", "images/b.jpg", "masks/a.png", "masks/b.png"))
    assert {item.image.name for item in data.items if item.mask} == {"b.jpg"}
