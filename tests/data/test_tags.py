import pytest

from usod.data.tags import TagChoice, find_tags, tag_matrix, write_tags
from usod.errors import UsageError, UsodError

VOC = "<annotation><object><name>{}</name></object><object><name>{}</name></object></annotation>"


def test_tags_of_a_table(tmp_path):
    (tmp_path / "tags.csv").write_text("id,tags\nb,dog; cat ;dog\na,\nother,fish\n")
    assert find_tags(["a", "b"], tmp_path / "tags.csv") == {"a": [], "b": ["cat", "dog"]}


def test_tags_of_annotations_in_folders(tmp_path):
    """ImageNet DET has a folder per part, PASCAL VOC one folder; ids may or may not name it."""
    (tmp_path / "n01").mkdir()
    (tmp_path / "n01/x_1.xml").write_text(VOC.format("dog", "dog"))
    parts = "<part><name>head</name></part></object></annotation>"
    (tmp_path / "y.xml").write_text(VOC.format("bird", "cat").replace("</object></annotation>", parts))
    found = find_tags(["n01/x_1", "JPEGImages/y", "z"], tmp_path)
    assert found == {"n01/x_1": ["dog"], "JPEGImages/y": ["bird", "cat"], "z": []}


def test_tags_of_folders_names():
    assert find_tags(["cat/1", "pets/dog/2", "3"], "folders") == {"cat/1": ["cat"], "pets/dog/2": ["dog"], "3": []}


def test_folders_are_told_by_the_images_where_ids_are_short():
    """An id has a folder only where a stem is there twice."""
    images = [f"/d/{name}" for name in ("cat/images/1.jpg", "dog/images/1.jpg", "dog/images/7.jpg", "8.jpg")]
    assert find_tags(["cat/1", "dog/1", "7", "8"], "folders", images) == {
        "cat/1": ["cat"],
        "dog/1": ["dog"],
        "7": ["dog"],
        "8": [],
    }
    with pytest.raises(UsodError, match="no image of the index has a tag"):
        find_tags(["1", "2"], "folders", ["/d/images/1.jpg", "/d/images/2.jpg"])


def test_what_is_written_is_read_as_a_matrix(tmp_path):
    write_tags(tmp_path / "out.csv", {"a": ["dog"], "b": [], "c": ["cat", "dog"]})
    names, matrix = tag_matrix(tmp_path / "out.csv", ["c", "a", "b"])
    assert names == ["cat", "dog"] and matrix.tolist() == [[True, True], [False, True], [False, False]]
    with pytest.raises(UsodError, match="'a;b': ';' separates tags"):
        write_tags(tmp_path / "out.csv", {"a": ["a;b"]})


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ("id,kind\na,x\n", "has the columns id and tags"),
        ("id,tags\nb,x\n", "1 of 1 images have no row: a"),
        ("id,tags\na,\n", "no image of the index has a tag"),
        ("", "not readable as a table"),
    ],
)
def test_a_wrong_table_is_one_line(tmp_path, content, line):
    (tmp_path / "tags.csv").write_text(content)
    with pytest.raises(UsodError, match=line) as caught:
        find_tags(["a"], tmp_path / "tags.csv")
    assert "tags.csv" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    ['<!DOCTYPE x [<!ENTITY a "aaaa">]><annotation><object><name>&a;</name></object></annotation>', "<annotation"],
)
def test_hostile_and_broken_annotations_are_refused(tmp_path, content):
    (tmp_path / "a.xml").write_text(content)
    with pytest.raises(UsodError, match=r"a\.xml"):
        find_tags(["a"], tmp_path)


def test_missing_sources_are_named(tmp_path):
    with pytest.raises(UsodError, match="none.csv"):
        find_tags(["a"], tmp_path / "none.csv")
    with pytest.raises(UsodError, match="no .xml files"):
        find_tags(["a"], tmp_path)


def test_images_are_chosen_by_their_tags(tmp_path):
    source = tmp_path / "tags.csv"
    source.write_text("id,tags\na,cat\nb,dog;cat\nc,dog\nd,\n")
    ids = ["a", "b", "c", "d"]

    def keeps(**choice):
        return TagChoice(source, **choice).keeps(ids, ids)

    assert keeps(only=["cat"]) == [True, True, False, False]
    assert keeps(without=["cat"]) == [False, False, True, True], "an image without tags has none of them"
    assert keeps(only=["dog"], without=["cat"]) == [False, False, True, False]
    with pytest.raises(UsageError, match="no image has the tag 'mouse'; there are cat, dog"):
        keeps(without=["mouse"])
    with pytest.raises(UsageError, match="no image is left"):
        keeps(only=["cat"], without=["cat"])
