import hashlib

import numpy as np
import pytest
import scipy.io

from usod.data.pairing import find_dataset
from usod.data.splits import assign_splits
from usod.errors import UsodError


def make(root, *names, **texts):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    for name, text in texts.items():
        (root / name.replace("__", ".")).write_text(text)
    return find_dataset(root)


def test_msra_b_lists_name_masks_and_leave_the_test_images_out(tmp_path):
    stems = ["0_0_1", "0_0_2", "1_1_3", "1_1_4"]
    files = [f"MSRA-B/{stem}{suffix}" for stem in stems for suffix in (".jpg", ".png")]
    lists = {"train_cvpr2013__txt": "0_0_2.png\n1_1_3.png\n", "valid_cvpr2013__txt": "0_0_1.png\r\nlost.png\n"}
    splits = assign_splits(make(tmp_path, *files, **lists))
    assert splits.of == {"0_0_1": "val", "0_0_2": "train", "1_1_3": "train", "1_1_4": "test"}
    assert splits.notes == [
        "1 names of valid_cvpr2013.txt are not among the images, e.g. 'lost.png'",
        "1 images are in no list and count as test",
    ]


def test_hku_is_lists_are_matlab_cell_arrays(tmp_path):
    data = make(tmp_path, "HKU-IS/imgs/1.png", "HKU-IS/imgs/2.png", "HKU-IS/gt/1.png", "HKU-IS/gt/2.png")
    for split, name in (("train", "2.png"), ("test", "1.png")):
        cells = np.empty((1, 1), object)
        cells[0, 0] = name
        scipy.io.savemat(tmp_path / "HKU-IS" / f"{split}ImgSet.mat", {f"{split}ImgSet": cells})
    assert assign_splits(data).of == {"1": "test", "2": "train"}


def test_lists_of_pairs_paths_and_names_with_spaces(tmp_path):
    files = ["image/a b.jpg", "image/c.jpg", "image/d.e.jpg", "image/f.jpg", "image/g.jpg"]
    lists = {"train__txt": "a b.jpg\nimage/c.jpg mask/c.png\n", "test__txt": "d.e\n./image/f\n"}
    splits = assign_splits(make(tmp_path, *files, **lists))
    assert splits.of == {"a b": "train", "c": "train", "d.e": "test", "f": "test", "g": "unused"}
    only_test = assign_splits(make(tmp_path / "x", "image/a.jpg", "image/b.jpg", test__txt="b\n"))
    assert only_test.of == {"a": "train", "b": "test"}


def test_lists_in_a_folder_that_is_left_out_do_not_count(tmp_path):
    make(tmp_path, "a.jpg", "b.jpg", "out/x.jpg", "lists/x")
    (tmp_path / "out/test.txt").write_text("a\n")
    assert assign_splits(find_dataset(tmp_path, without=tmp_path / "out")).of == {"a": "train", "b": "train"}
    (tmp_path / "lists/test.txt").write_text("a\n")
    assert assign_splits(find_dataset(tmp_path, without=tmp_path / "out")).of == {"a": "test", "b": "train"}


def test_split_csv_goes_before_everything(tmp_path):
    data = make(tmp_path, "train/a.jpg", "train/b.jpg", split__csv="id,split\na,valid\nc,test\n", train__txt="a.jpg\n")
    splits = assign_splits(data)
    assert splits.of == {"a": "val", "b": "unused"}
    assert len(splits.notes) == 2
    (tmp_path / "split.csv").write_text("name,split\na,test\n")
    with pytest.raises(UsodError, match=r"split\.csv: needs the columns id,split, has name,split"):
        assign_splits(data)


def test_folders(tmp_path):
    data = make(tmp_path, "DUTS-TR/DUTS-TR-Image/a.jpg", "DUTS-TE/DUTS-TE-Image/b.jpg")
    assert assign_splits(data).of == {"a": "train", "b": "test"}
    mmseg = make(tmp_path / "m", "images/training/a.jpg", "images/validation/b.jpg", "annotations/validation/b.png")
    assert assign_splits(mmseg).of == {"a": "train", "b": "val"}
    vehicles = make(tmp_path / "v", "bus/a.jpg", "train/b.jpg")  # a class of that name, not a split
    assert assign_splits(vehicles).of == {"a": "train", "b": "train"}
    assert assign_splits(make(tmp_path / "ECSSD", "images/0001.jpg")).of == {"0001": "test"}


def test_hashed_share_is_stable_and_of_the_right_size(tmp_path):
    names = [f"i{k:03d}" for k in range(400)]
    data = make(tmp_path, *(f"images/{name}.jpg" for name in names), *(f"masks/{name}.png" for name in names))
    of = assign_splits(data).of
    by_hand = {name: int(hashlib.sha256(name.encode()).hexdigest()[:16], 16) < 0.2 * 2**64 for name in names}
    assert {name: split == "test" for name, split in of.items()} == by_hand
    assert 50 < sum(by_hand.values()) < 110
    more = make(tmp_path, "images/new.jpg")
    assert {key: split for key, split in assign_splits(more).of.items() if key != "new"} == of
    assert set(assign_splits(make(tmp_path / "unlabelled", "a.jpg", "b.jpg")).of.values()) == {"train"}


def test_a_name_in_two_lists_is_a_note(tmp_path):
    data = make(tmp_path, "image/a.jpg", "image/b.jpg", train__txt="a\nb\n", test__txt="b\n")
    assert assign_splits(data).notes == ["1 images are in more than one list, e.g. b"]


def test_a_list_that_begins_with_a_mark_of_its_encoding(tmp_path):
    """As editors on Windows save text."""
    data = make(tmp_path, "image/a.jpg", "image/b.jpg")
    (tmp_path / "train.txt").write_text("a\n", encoding="utf-8-sig")
    splits = assign_splits(data)
    assert splits.of == {"a": "train", "b": "test"} and not splits.ours
    (tmp_path / "train.txt").unlink()
    assert assign_splits(data).ours


def test_a_name_that_no_table_can_hold_is_one_line(tmp_path):
    try:
        data = make(tmp_path, "a.jpg", b"caf\xe9.jpg".decode(errors="surrogateescape"))
    except OSError:
        pytest.skip("this file system refuses such names by itself")
    with pytest.raises(UsodError, match=r"the name of 'caf\\udce9' is not UTF-8; rename the file"):
        assign_splits(data)
