"""`usod data` as the workflow and a person call it."""

import subprocess

import numpy as np
import pytest
from PIL import Image

from .. import forked


def usod(*arguments):
    command = [forked.command(), "data", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def put(root, *names):
    """Pictures whose left half is white: masks of one another."""
    half = np.zeros((4, 6), np.uint8)
    half[:, :3] = 255
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(half).save(root / name)
    return root


@pytest.mark.parametrize("verb", ["index", "masks", "check"])
def test_folders_are_left_out(tmp_path, verb):
    root = put(tmp_path / "set", "images/a.png", "masks/a.png", "out/images/b.png", "more/masks/c.png")
    out = [] if verb == "check" else ["--out", tmp_path / "table.csv"]
    done = usod(verb, root, "--without", root / "out", "--without", root / "more", "--workers", 2, *out)
    assert done.returncode == 0, done.stderr
    if verb == "check":
        assert "images: 1, masks: 1" in done.stdout and "without image" not in done.stdout
    else:
        (row,) = (tmp_path / "table.csv").read_text().splitlines()[1:]
        assert row.startswith(f"a,set/{'images' if verb == 'index' else 'masks'}/a.png,")


def test_masks_that_match_no_image_fail_the_check(tmp_path):
    root = put(
        tmp_path, *(f"{kind}/{name}{k}.png" for kind, name in (("images", "p"), ("masks", "m")) for k in range(6))
    )
    done = usod("check", root)
    assert done.returncode == 1
    assert done.stdout.splitlines()[-1] == "problems found" and "image p0.png, mask m0.png" in done.stdout


def test_a_file_in_the_place_of_a_folder_is_one_line(tmp_path):
    done = usod("index", put(tmp_path, "p0.png") / "p0.png", "--out", tmp_path / "table.csv")
    assert done.returncode == 2 and not (tmp_path / "table.csv").exists()
    assert done.stderr == f"usod: error: {tmp_path}/p0.png: is a file, give its folder\n"


def test_tags_of_folders(tmp_path):
    root = put(tmp_path / "set", "cat/1.png", "dog/2.png", "dog/3.png")
    assert usod("index", root, "--out", tmp_path / "index.csv").returncode == 0
    done = usod("tags", "--index", tmp_path / "index.csv", "--source", "folders", "--out", tmp_path / "tags.csv")
    assert (tmp_path / "tags.csv").read_text() == "id,tags\n1,cat\n2,dog\n3,dog\n", done.stderr


def test_a_set_without_its_lists_does_not_pass_for_the_published_split(tmp_path):
    """MSRA-B comes without its lists in many copies; a split by a hash must not be scored under the papers' name."""
    root = put(tmp_path / "MSRA-B", *(f"{kind}/{name}.png" for kind in ("images", "masks") for name in range(20)))
    for name in range(20):
        Image.new("RGB", (6, 4), (name, 0, 0)).save(root / f"images/{name}.png")  # no two are equal
    checked = usod("check", root).stdout.splitlines()
    assert checked[-1] == "ok, but not with its published split"
    assert any("warning: this is not the published split of msra-b" in line for line in checked)
    index, published = tmp_path / "index.csv", ("--published-as", "MSRA-B")
    refused = usod("index", root, "--split", "test", *published, "--out", index)
    assert refused.returncode == 2 and not index.exists() and refused.stderr.count("\n") == 1
    assert "its split test (hash of the id, 20% test) is not that of MSRA-B" in refused.stderr
    loud = usod("index", root, "--split", "test", "--out", index)
    assert "note: this is not the published split of msra-b" in loud.stderr
    assert all("not the published split" in line for line in index.read_text().splitlines()[1:])
    assert usod("index", root, *published, "--out", index).returncode == 0, "all of it is no split"
    (root / "train_cvpr2013.txt").write_text("\n".join(f"{name}.png" for name in range(5)))
    assert usod("index", root, "--split", "test", *published, "--out", index).returncode == 0
    assert len(index.read_text().splitlines()) == 16 and "published" not in index.read_text()
    assert usod("check", root).stdout.splitlines()[-1] == "ok"


@pytest.mark.parametrize("verb", ["index", "masks"])
def test_only_the_images_of_certain_tags_are_listed(tmp_path, verb):
    root = put(tmp_path / "set", *(f"{kind}/{name}.png" for kind in ("images", "masks") for name in "abc"))
    (tmp_path / "tags.csv").write_text("id,tags\na,cat\nb,cat;dog\nc,dog\n")
    named = ("--only-tag", "cat", "--without-tag", "dog")
    done = usod(verb, root, "--tags", tmp_path / "tags.csv", *named, "--out", tmp_path / "table.csv")
    assert done.returncode == 0, done.stderr
    assert [row[:2] for row in (tmp_path / "table.csv").read_text().splitlines()[1:]] == ["a,"]
    lost = usod(verb, root, *named, "--out", tmp_path / "table.csv")
    assert lost.returncode == 2 and "say where the tags are, --tags" in lost.stderr
